"""A budget, the period it counts in, and what may be wrong with one. Nothing here does I/O or reads a clock."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from urllib.parse import urlsplit

from routing import destinations
from routing.destinations import Address, Network
from routing.validation import CLIENTS

ALL, PROJECT, CLIENT = "all", "project", "client"
DAY, MONTH = "day", "month"
SCOPES, PERIODS = (ALL, PROJECT, CLIENT), (DAY, MONTH)
# Shares of the limit, in percent, at which somebody is told.
THRESHOLDS = (80, 100)
MAX_USD = 99_999_999


@dataclass(frozen=True, slots=True)
class Key:
    """What costs are summed by: budgets with the same key share a sum."""

    scope: str
    value: str  # of a project or client; "" for all
    period: str

    def takes(self, project: str, client: str) -> bool:
        """Tell whether what this project and client spend counts."""
        return self.scope == ALL or self.value == (project if self.scope == PROJECT else client)


@dataclass(frozen=True, slots=True)
class Budget:
    """So many USD in each period. `source` is "file" or "admin"."""

    name: str
    scope: str = ALL
    value: str = ""
    period: str = MONTH
    limit_usd: float = 0.0
    refuse: bool = False
    webhook_url: str = ""
    enabled: bool = True
    source: str = "file"

    @property
    def key(self) -> Key:
        """What its sum is found by."""
        return Key(self.scope, self.value, self.period)

    @property
    def covers(self) -> str:
        """Say whose costs count."""
        return "everything" if self.scope == ALL else f"{self.scope} {self.value}"


@dataclass(frozen=True, slots=True)
class Period:
    """From `start` up to, but without, `end`; both in UTC."""

    start: datetime
    end: datetime

    def elapsed(self, now: datetime) -> float:
        """Give the share of it that is over, 0 to 1."""
        return min(max((now - self.start) / (self.end - self.start), 0.0), 1.0)


def period_at(kind: str, now: datetime, zone: tzinfo) -> Period:
    """Give the day or month of `now` by the clocks of `zone`."""
    start = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None, fold=0)
    if kind == DAY:
        end = start + timedelta(days=1)
    else:
        start = start.replace(day=1)
        end = (start + timedelta(days=32)).replace(day=1)
    return Period(start.replace(tzinfo=zone).astimezone(UTC), end.replace(tzinfo=zone).astimezone(UTC))


def forecast(spent: float, period: Period, now: datetime, pace: float | None) -> float:
    """Give what will have been spent at the period's end, in USD.

    `pace` is what a second of the last days cost; where it is not known, the period goes on as it began.
    """
    if pace is None:
        elapsed = period.elapsed(now)
        return spent / elapsed if elapsed else spent
    return spent + pace * max((period.end - now).total_seconds(), 0.0)


def problems_of(budget: Budget, allowed: Iterable[Network] = ()) -> list[str]:
    """Say what is wrong with `budget`, each as ``field: what was expected``. Webhooks may be in `allowed` networks."""
    found = []
    if not budget.name.strip() or len(budget.name) > 100 or not budget.name.isprintable():
        found.append("name: expected up to 100 printable characters")
    for field, known in (("scope", SCOPES), ("period", PERIODS)):
        if getattr(budget, field) not in known:
            found.append(f"{field}: expected one of {', '.join(known)}, got {getattr(budget, field)!r}")
    if budget.scope == ALL and budget.value:
        found.append("value: expected nothing with scope all")
    elif budget.scope == CLIENT and budget.value not in CLIENTS:
        found.append(f"value: expected one of the clients ({', '.join(CLIENTS)}), got {budget.value!r}")
    elif budget.scope == PROJECT and not (0 < len(budget.value) <= 255 and budget.value.isprintable()):
        found.append("value: expected the name of a project")
    if not math.isfinite(budget.limit_usd) or not 0 < budget.limit_usd <= MAX_USD:
        found.append(f"limit_usd: expected more than 0 and at most {MAX_USD}, got {budget.limit_usd}")
    if budget.webhook_url and (problem := problem_of_webhook(budget.webhook_url, allowed)):
        found.append(f"webhook_url: {problem}")
    return found


def problem_of_webhook(url: str, allowed: Iterable[Network] = ()) -> str:
    """Say why `url` is no address that a notice may go to, or nothing. What its name resolves to is looked at later."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid or not url.isascii() or not url.isprintable() or " " in url or len(url) > 1000:
        return "expected an address such as https://hooks.example.com/budget"
    if parts.username is not None or parts.password is not None:
        return "expected an address without a user and password"
    address = destinations.literal(parts.hostname or "")
    return problem_of_address(address, parts.hostname or "", allowed) if address is not None else ""


def problem_of_address(address: Address, host: str, allowed: Iterable[Network] = ()) -> str:
    """Say why nothing may be sent to `address`, by which `host` is found; or nothing.

    Networks of one's own are allowed, for there one's own programs are. Not allowed are those of routing/destinations.py, but
    for `allowed` ones, and this machine under a name that does not say so.
    """
    if problem := destinations.problem_of_address(address, allowed):
        return f"expected an address that notices may go to; {problem}"
    named = destinations.literal(host)
    names_this_machine = host == "localhost" or (named is not None and named.is_loopback)
    if address.is_loopback and not names_this_machine:
        return f"expected localhost where this machine is meant, got a name for {address}"
    return ""
