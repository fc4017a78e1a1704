"""What a provider says of its limits in the headers of an answer, and for how long it is left alone after it refused.

Retry-After: RFC 9110, section 10.2.3. Anthropic: https://docs.anthropic.com/en/api/rate-limits#response-headers. OpenAI:
https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite

# Seconds: the longest rest that a header asks for, and the longest that we choose.
LONGEST, LONGEST_OWN = 86400.0, 3600.0
# An overloaded provider (529) that names no time is tried again sooner than one that refuses an account.
OVERLOADED_BASE = 5.0

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_ANTHROPIC = "anthropic-ratelimit-"
_UNIFIED = "anthropic-ratelimit-unified-"
_OPENAI_KINDS = ("requests", "tokens")


@dataclass(frozen=True, slots=True)
class Quota:
    """One limit as the provider last told it. `reset_at` is seconds since the epoch; None: not told."""

    name: str
    limit: float | None
    remaining: float | None
    reset_at: float | None

    @property
    def is_exhausted(self) -> bool:
        return self.remaining is not None and self.remaining <= 0


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Give the seconds that `headers` (names in lower case) ask to wait, or None. `now`: seconds since the epoch."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return _bounded(milliseconds / 1000)
    text = headers.get("retry-after")
    if text is None:
        return None
    seconds = _number(text)
    if seconds is None:
        try:
            when = parsedate_to_datetime(text)
        except (TypeError, ValueError, IndexError, OverflowError):
            return None
        seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - now
    return _bounded(seconds)


def quotas_of(headers: Mapping[str, str], now: float) -> tuple[Quota, ...]:
    """Give the limits that `headers` (names in lower case) tell of. `now`: seconds since the epoch."""
    found: dict[str, dict[str, float | None]] = {}
    for name, value in headers.items():
        if name.startswith(_UNIFIED):
            _unified(found, name.removeprefix(_UNIFIED), value)
        elif name.startswith(_ANTHROPIC):
            kind, _, what = name.removeprefix(_ANTHROPIC).rpartition("-")
            if kind and what in ("limit", "remaining", "reset"):
                found.setdefault(kind, {})[what] = _time(value) if what == "reset" else _number(value)
        elif name.startswith("x-ratelimit-"):
            what, _, kind = name.removeprefix("x-ratelimit-").partition("-")
            if kind in _OPENAI_KINDS and what in ("limit", "remaining", "reset"):
                seconds = _duration(value) if what == "reset" else None
                found.setdefault(kind, {})[what] = (
                    (now + seconds if seconds is not None else None) if what == "reset" else _number(value)
                )
    return tuple(
        Quota(name, parts.get("limit"), parts.get("remaining"), parts.get("reset"))
        for name, parts in sorted(found.items())
        if any(value is not None for value in parts.values())
    )


def _unified(found: dict, rest: str, value: str) -> None:
    """Subscriptions: windows such as ``5h`` and ``7d``, each with its use as a share of 1 and the time of its reset."""
    window, _, what = rest.rpartition("-")
    name = f"unified {window}".strip()
    if what == "reset":
        found.setdefault(name, {})["reset"] = _time(value)
    elif what == "utilization" and (used := _number(value)) is not None:
        found.setdefault(name, {}).update(limit=1.0, remaining=max(1.0 - used, 0.0))
    elif what == "status" and value == "rejected":
        found.setdefault(name, {})["remaining"] = 0.0


def rest_after(status: int, headers: Mapping[str, str], now: float, times: int, base: float) -> float:
    """Give the seconds for which a provider is left alone that answered `status` (429 or 529).

    As it asked for; else until the last of its exhausted limits is over; else `base` seconds, doubled with each of the
    `times` that it refused in a row before.
    """
    asked = retry_after(headers, now)
    if asked is not None:
        return asked
    resets = [q.reset_at - now for q in quotas_of(headers, now) if q.is_exhausted and q.reset_at is not None]
    if any(seconds > 0 for seconds in resets):
        return _bounded(max(resets))
    base = min(base, OVERLOADED_BASE) if status == 529 else base
    return min(base * 2.0 ** min(times, 30), LONGEST_OWN)


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), LONGEST)


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return value if value is not None and isfinite(value) else None


def _duration(text: str) -> float | None:
    """Read such as ``1s``, ``6m0s``, ``12ms``, or plain seconds."""
    parts = _DURATION.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text.strip():
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)
    return _number(text)


def _time(text: str) -> float | None:
    """Read an RFC 3339 time, or seconds since the epoch."""
    seconds = _number(text)
    if seconds is not None:
        return seconds
    try:
        when = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
