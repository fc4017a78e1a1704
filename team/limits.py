"""What each user may use: requests a minute, tokens a day, USD a month. Watched in each process that serves."""

import logging
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic, time

from django.conf import settings
from django.db import Error, close_old_connections, connection
from django.utils import timezone

from proxy.meter import Meter
from proxy.stops import Stop
from sessions.budgets.definitions import DAY, MONTH, Period, period_at
from sessions.budgets.keeper import is_alone
from sessions.news import Change
from sessions.stats.span import moment, rows
from team.models import Limit

logger = logging.getLogger("lunaroute.team")

# Seconds between two sums where other hosts may add to them, and where they may not. As for budgets, at most a twentieth
# of the time is spent on it.
SHARED_EVERY, ALONE_EVERY, SHARE = 5.0, 60.0, 20
# How errors of requests begin that were not let in (proxy/views.py).
REFUSED = "budget"


@dataclass(slots=True)
class Used:
    """What a user has used: tokens of the day, USD of the month."""

    tokens: int = 0
    cost_usd: float = 0.0


class Keeper(threading.Thread):
    """Sums up, counts what the recorder tells in between, and tells `meter` who is stopped."""

    def __init__(self, meter: Meter) -> None:
        super().__init__(name="limits", daemon=True)
        self._meter = meter
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._limits: dict[str, Limit] = {}
        self._used: dict[str, Used] = {}
        self._elsewhere: dict[str, int] = {}
        self._running: set[str] = set()  # requests of other processes
        self._end = self._is_in_trouble = False

    def begin(self) -> None:
        """Sum up once, and go on in the background."""
        self.look()
        self.start()

    def look_again(self) -> None:
        """Take what the limits are now, and sum up soon. Raises nothing, as `look`."""
        with suppress(Error):  # said by the look that follows
            limits = _limits()
            with self._lock:
                self._limits = limits
            self._tell()
        self._wake.set()

    def stop(self) -> None:
        """End."""
        self._end = True
        self._wake.set()
        self.join(2)

    def count(self, change: Change) -> None:
        """Take what the recorder tells of any web process of this host (a listener of sessions.live_hub)."""
        if change.kind != "model" or change.what != "ended" or not change.owner:
            return
        with self._lock:
            used = self._used.setdefault(change.owner, Used())
            before = self._is_beyond(change.owner, used)
            used.tokens += sum(change.tokens.values())
            used.cost_usd += change.cost_usd or 0.0
            is_news = self._is_beyond(change.owner, used) != before
        if is_news:
            self._tell()

    def heard(self, change: Change) -> None:
        """Take what the recorder tells of other web processes of this host."""
        if change.kind != "model" or not change.owner:
            return
        is_new = change.request_id not in self._running  # one that was short is told of once, at its end
        (self._running.discard if change.what == "ended" else self._running.add)(change.request_id)
        if is_new and not change.error.startswith(REFUSED):
            self._meter.heard(change.owner, time())

    def run(self) -> None:
        """Look again and again until `stop`."""
        took = 0.0
        while not self._end:
            every = ALONE_EVERY if is_alone() else SHARED_EVERY
            left = (min(p.end for p in _periods()) - datetime.now(UTC)).total_seconds()
            self._wake.wait(max(min(max(every, took * SHARE), left + 0.1), 0.1))
            self._wake.clear()
            if not self._end:
                began = monotonic()
                close_old_connections()
                self.look()
                connection.close()  # others may have it until the next look
                took = monotonic() - began

    def look(self) -> None:
        """Sum up. Raises nothing: where the database cannot be asked, all stays as it is."""
        try:
            limits = _limits()
            used, elsewhere = (used_by_all(), _elsewhere()) if limits else ({}, {})
        except Error as error:
            if not self._is_in_trouble:
                logger.warning("limits of users cannot be looked at: %s", " ".join(str(error).split()))
            self._is_in_trouble = True
            return
        self._is_in_trouble = False
        with self._lock:
            if settings.LUNAROUTE.session_recording.enabled:
                self._used = used
            self._limits, self._elsewhere = limits, elsewhere
        self._tell()

    def _limit_of(self, user: str) -> Limit | None:
        return self._limits.get(user) or self._limits.get("")

    def _is_beyond(self, user: str, used: Used) -> str:
        limit = self._limit_of(user)
        if limit is None:
            return ""
        if limit.tokens_per_day is not None and used.tokens >= limit.tokens_per_day:
            return f"{used.tokens:,} of {limit.tokens_per_day:,} tokens a day"
        if limit.usd_per_month is not None and used.cost_usd >= limit.usd_per_month:
            return f"${used.cost_usd:,.2f} of ${limit.usd_per_month:,.2f} a month"
        return ""

    def _tell(self) -> None:
        day, month = _periods()
        with self._lock:
            stops = {}
            for user, used in self._used.items():
                if words := self._is_beyond(user, used):
                    until = (day if "a day" in words else month).end
                    resets = f"{until.astimezone(timezone.get_default_timezone()):%Y-%m-%d %H:%M %Z}"
                    message = f"LunaRoute's limit of {user} is used up: {words}. It resets at {resets}."
                    stops[user] = Stop(message, until.timestamp())
            requests = {user: limit.requests_per_minute or 0 for user, limit in self._limits.items() if user}
            default = self._limits[""].requests_per_minute or 0 if "" in self._limits else 0
            self._meter.use(requests, default, stops, self._elsewhere)


def _limits() -> dict[str, Limit]:
    return {row.user.get_username() if row.user else "": row for row in Limit.objects.select_related("user")}


def used_by_all() -> dict[str, Used]:
    """Give what each user has used, by the record. Raises what the database says."""
    day, month = _periods()
    found = rows(
        "SELECT s.owner, SUM(CASE WHEN e.started_at >= %s THEN e.total_tokens ELSE 0 END), SUM(e.cost_usd)"
        " FROM exchanges e JOIN sessions s ON s.id = e.session_id"
        " WHERE e.started_at >= %s AND e.kind || '' = 'model' AND s.owner <> '' GROUP BY s.owner",
        [moment(day.start), moment(month.start)],
    )
    return {owner: Used(int(tokens or 0), float(cost or 0.0)) for owner, tokens, cost in found}


def _elsewhere() -> dict[str, int]:
    """Give how many requests of the last minute other hosts have recorded, by user."""
    if connection.vendor == "sqlite":
        return {}
    found = rows(
        "SELECT s.owner, COUNT(*) FROM exchanges e JOIN sessions s ON s.id = e.session_id"
        " WHERE e.started_at >= %s AND e.kind || '' = 'model' AND s.owner <> '' AND e.recorder <> %s"
        f" AND e.error NOT LIKE '{REFUSED}%%' GROUP BY s.owner",
        [moment(datetime.now(UTC) - timedelta(minutes=1)), settings.LUNAROUTE.identity],
    )
    return dict(found)


def _periods() -> tuple[Period, Period]:
    now, zone = datetime.now(UTC), timezone.get_default_timezone()
    return period_at(DAY, now, zone), period_at(MONTH, now, zone)
