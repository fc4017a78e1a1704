"""What a provider's answer says about its limits: how long to leave it alone, and how much of each quota is left.

Headers are pairs of raw bytes, as they came. Nothing that a provider may send there raises anything. Sources:
RFC 9110 section 10.2.3 (Retry-After); docs.anthropic.com/en/api/rate-limits; platform.openai.com/docs/guides/rate-limits;
the ``unified`` quotas are those of Anthropic's subscriptions, which no page describes.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

RATE_LIMITED, OVERLOADED = 429, 529  # 529: Anthropic's "overloaded_error"
MAX_TOLD_SECS = 86_400.0  # what a provider asks for is honoured up to here
MAX_GUESSED_SECS = 3_600.0  # what is guessed without its word, up to here
OVERLOADED_SECS = 5.0  # an overload is soon over, a quota is not

Headers = Iterable[tuple[bytes, bytes]]

_ANTHROPIC, _UNIFIED, _OPENAI = "anthropic-ratelimit-", "anthropic-ratelimit-unified-", "x-ratelimit-"
_CODEX = "x-codex-"  # of ChatGPT's subscriptions: no page describes them, but the client reads them
_PREFIXES = (b"retry-after", _ANTHROPIC.encode(), _OPENAI.encode(), _CODEX.encode())
_NUMBER = re.compile(r"\d{1,18}(?:\.\d{1,18})?", re.ASCII)
_DURATION = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)(ms|us|µs|ns|[dhms])", re.ASCII)
_UNITS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


@dataclass(frozen=True, slots=True)
class Quota:
    """One limit of a provider. `reset_at` is in seconds since the epoch; None is what was not said.

    Where the provider tells only a share that is used (``unified``…), `limit` is 1 and `remaining` the share left.
    """

    name: str  # "requests", "tokens", "input-tokens", "unified-5h", …
    limit: float | None = None
    remaining: float | None = None
    reset_at: float | None = None


def limit_headers(headers: Headers) -> tuple[tuple[bytes, bytes], ...]:
    """Give those of `headers` that this module reads."""
    return tuple([pair for pair in headers if pair[0].lower().startswith(_PREFIXES)])


def retry_after(headers: Headers, now_wall: float) -> float | None:
    """Give the seconds that the provider asks to be left alone, at most a day, or None where it says nothing of use.

    ``retry-after-ms`` (OpenAI's) is finer and goes first; then ``Retry-After`` in seconds or as a date. A date that is
    over counts as nothing said: the clocks may differ.
    """
    found = {name.lower(): value for name, value in headers if name.lower().startswith(b"retry-after")}
    millis = _number(_text(found.get(b"retry-after-ms", b"")))
    if millis is not None:
        return min(millis / 1000, MAX_TOLD_SECS)
    value = _text(found.get(b"retry-after", b""))
    seconds = _number(value)
    if seconds is None:
        date = _http_date(value)
        seconds = date - now_wall if date is not None else None
    return min(seconds, MAX_TOLD_SECS) if seconds is not None and seconds >= 0 else None


def quotas_of(headers: Headers, now_wall: float) -> tuple[Quota, ...]:
    """Give the quotas that an answer of `now_wall` tells, in the order in which they come."""
    quotas: dict[str, Quota] = {}
    for raw_name, raw_value in headers:
        name, value = _text(raw_name).lower(), _text(raw_value)
        if name.startswith(_UNIFIED):
            _unified(quotas, name.removeprefix(_UNIFIED), value)
        elif name.startswith(_ANTHROPIC):
            kind, _, what = name.removeprefix(_ANTHROPIC).rpartition("-")
            _note(quotas, kind, what, value, now_wall)
        elif name.startswith(_CODEX):
            _codex(quotas, name.removeprefix(_CODEX), value, now_wall)
        elif name.startswith(_OPENAI):
            what, _, kind = name.removeprefix(_OPENAI).partition("-")
            _note(quotas, kind, what, value, now_wall)
    return tuple(quotas.values())


def rest_after(status: int, headers: Headers, now_wall: float, attempts: int, base: float) -> float:
    """Give the seconds that a provider is left alone after a 429 or 529, the `attempts`-th after others in a row (from 0).

    What it asks for, else until the last of its exhausted quotas begins anew, both at most a day; else `base` doubled
    with each in a row, at most an hour. A 529 without a word is an overload, not a quota: five seconds, doubled
    likewise, at most `base`.
    """
    headers = tuple(headers)
    told = retry_after(headers, now_wall)
    if told is not None:
        return told
    doubled = 2.0 ** min(max(attempts, 0), 30)
    if status == OVERLOADED:
        return min(OVERLOADED_SECS * doubled, base, MAX_GUESSED_SECS)
    resets = [q.reset_at for q in quotas_of(headers, now_wall) if q.remaining == 0 and q.reset_at is not None]
    if resets and max(resets) > now_wall:
        return min(max(resets) - now_wall, MAX_TOLD_SECS)
    return min(base * doubled, MAX_GUESSED_SECS)


def _note(quotas: dict[str, Quota], kind: str, what: str, value: str, now_wall: float) -> None:
    if not kind or what not in ("limit", "remaining", "reset"):
        return
    key = "reset_at" if what == "reset" else what
    number = _reset(value, now_wall) if what == "reset" else _number(value)
    if number is not None:
        quotas[kind] = replace(quotas.get(kind, Quota(kind)), **{key: number})


def _unified(quotas: dict[str, Quota], name: str, value: str) -> None:
    window, _, what = name.rpartition("-")
    # "overage" says whether more than the subscription may be used: no window that fills and empties.
    if window.startswith("overage"):
        return
    kind = f"unified-{window}" if window else "unified"
    quota, number = quotas.get(kind, Quota(kind)), _number(value)
    if what == "reset" and number is not None:
        quotas[kind] = replace(quota, reset_at=number)
    elif what == "utilization" and number is not None and quota.remaining != 0:
        quotas[kind] = replace(quota, limit=1.0, remaining=round(max(1 - number, 0.0), 6))
    elif what == "status" and value.lower() == "rejected":
        quotas[kind] = replace(quota, limit=1.0, remaining=0.0)


def _codex(quotas: dict[str, Quota], name: str, value: str, now_wall: float) -> None:
    window, _, what = name.partition("-")
    number = _number(value)
    if window not in ("primary", "secondary") or number is None:
        return
    kind = f"codex-{window}"
    quota = quotas.get(kind, Quota(kind))
    if what == "used-percent":
        quotas[kind] = replace(quota, limit=1.0, remaining=round(max(1 - number / 100, 0.0), 6))
    elif what == "reset-at":
        quotas[kind] = replace(quota, reset_at=number)
    elif what == "reset-after-seconds" and quota.reset_at is None:
        quotas[kind] = replace(quota, reset_at=now_wall + number)


def _reset(value: str, now_wall: float) -> float | None:
    """Give the time of a reset told as a duration ("6m0s"), as seconds, or as an RFC 3339 time."""
    seconds = _number(value)
    if seconds is None:
        seconds = _duration(value)
    return now_wall + seconds if seconds is not None else _rfc3339(value)


def _number(value: str) -> float | None:
    return float(value) if _NUMBER.fullmatch(value) else None


def _duration(value: str) -> float | None:
    parts = _DURATION.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value:
        return None
    return math.fsum(float(number) * _UNITS[unit] for number, unit in parts)


def _rfc3339(value: str) -> float | None:
    try:
        return _epoch(datetime.fromisoformat(value))
    except (ValueError, OverflowError):
        return None


def _http_date(value: str) -> float | None:
    try:
        return _epoch(parsedate_to_datetime(value))
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _epoch(time: datetime) -> float:
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _text(raw: bytes) -> str:
    return raw.decode("latin-1").strip()
