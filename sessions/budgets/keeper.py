"""Watches budgets in the process that serves: counts as the recorder tells, asks the database now and then, tells and stops.

No request waits for any of this: what is refused stands ready in a frozen object (proxy/stops.py).
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic

from django.conf import settings
from django.db import Error, close_old_connections, connection
from django.db.models.signals import post_delete, post_save
from django.utils import timezone

from proxy.stops import Stop, Stops
from sessions.budgets import notices, sources, spending
from sessions.budgets.definitions import CLIENT, PROJECT, Budget, Key
from sessions.budgets.models import Budget as Row
from sessions.budgets.spending import Total
from sessions.news import Change

logger = logging.getLogger("lunaroute.budgets")

# Seconds: between two sums where other hosts may spend, where they may not, and two looks for budgets where there are none.
SHARED_EVERY, ALONE_EVERY, IDLE_EVERY = 5.0, 60.0, 15.0
# A sum that takes long is asked for less often: at most a twentieth of the time.
SHARE = 20


class Keeper(threading.Thread):
    """`use` takes what is to be refused from now on, None where nothing is; `told` is called after a notice.

    Neither may wait: `use` is called in the event loop, too.
    """

    def __init__(self, use: Callable[[Stops | None], None], told: Callable[[], None] = lambda: None) -> None:
        super().__init__(name="budgets", daemon=True)
        self._use, self._told = use, told
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._budgets: tuple[Budget, ...] = ()
        self._totals: dict[Key, Total] = {}
        self._added: dict[Key, float] = {}  # since the last sum
        self._end = self._is_in_trouble = False

    def begin(self) -> None:
        """Sum up once, so that the first request already meets what is refused, and go on in the background."""
        self.look()
        for signal in (post_save, post_delete):
            signal.connect(self._changed, sender=Row, weak=False, dispatch_uid=f"budgets.{id(signal)}")
        self.start()

    def count(self, change: Change) -> None:
        """Take what the recorder tells (a listener of sessions.live_hub)."""
        if not self._totals or change.what != "ended" or change.kind != "model":
            return
        cost = change.cost_usd or 0.0
        is_unpriced = change.cost_usd is None and bool(change.tokens)
        if not cost and not is_unpriced:
            return
        with self._lock:
            for key, total in self._totals.items():
                if key.takes(change.project, change.client):
                    spent, unpriced = total.spent_usd + cost, total.unpriced + is_unpriced
                    self._totals[key] = replace(total, spent_usd=spent, unpriced=unpriced)
                    self._added[key] = self._added.get(key, 0.0) + cost
        if self._is_news(change.project, change.client, cost):
            self._use(self._stops())
            self._wake.set()

    def run(self) -> None:
        """Look again and again until `stop`."""
        pause = self._pause(0.0)
        while not self._end:
            self._wake.wait(pause)
            self._wake.clear()
            if self._end:
                return
            began = monotonic()
            close_old_connections()
            self.look()
            connection.close()  # others may have it until the next look
            pause = self._pause(monotonic() - began)

    def stop(self) -> None:
        """End, and note what was counted last."""
        self._end = True
        self._wake.set()
        self.join(2)
        self.look()

    def look(self) -> None:
        """Sum up, tell, and say what is refused. Raises nothing: where the database cannot be asked, all stays as it is."""
        now = datetime.now(UTC)
        with self._lock:
            added, self._added = self._added, {}
        try:
            budgets = sources.load()
            totals = spending.read(budgets, now, added, write=True)
            news = notices.write(budgets, totals)
        except Error as error:
            with self._lock:
                for key, cost in added.items():
                    self._added[key] = self._added.get(key, 0.0) + cost
            if not self._is_in_trouble:
                logger.warning("budgets cannot be summed up at the moment: %s", " ".join(str(error).split()))
            self._is_in_trouble = True
            return
        self._is_in_trouble = False
        with self._lock:
            if not settings.LUNAROUTE.session_recording.enabled:
                totals = {k: replace(t, spent_usd=t.spent_usd + self._added.get(k, 0.0)) for k, t in totals.items()}
            self._budgets, self._totals = budgets, totals
        self._use(self._stops())
        for told in news:
            logger.warning("%s", told.words)
            if told.budget.webhook_url:
                from sessions.budgets import webhook  # loads an HTTP client, which few need

                webhook.tell(told)
        if news:
            self._told()

    def _is_news(self, project: str, client: str, cost: float) -> bool:
        """Tell whether this cost has taken a budget across a threshold."""
        for budget in self._budgets:
            total = self._totals.get(budget.key)
            if budget.enabled and total is not None and budget.key.takes(project, client):
                for threshold in notices.THRESHOLDS:
                    mark = budget.limit_usd * threshold / 100
                    if total.spent_usd - cost < mark <= total.spent_usd:
                        return True
        return False

    def _stops(self) -> Stops | None:
        return stops_of(self._budgets, self._totals)

    def _pause(self, took: float) -> float:
        """Seconds until the next look: at the latest when a period ends."""
        if not self._totals:
            return IDLE_EVERY
        # What came while the database was asked may be in no sum yet.
        is_shared = not is_alone() or bool(self._added)
        every = SHARED_EVERY if is_shared else ALONE_EVERY
        left = min((total.period.end - datetime.now(UTC)).total_seconds() for total in self._totals.values())
        return max(min(max(every, took * SHARE), left + 0.1), 0.1)

    def _changed(self, **_: object) -> None:
        self._wake.set()


def is_alone() -> bool:
    """Tell whether no other process serves from this database."""
    return connection.vendor == "sqlite" and settings.LUNAROUTE.http_server.web_processes == 1


def stops_of(budgets: tuple[Budget, ...], totals: dict[Key, Total]) -> Stops | None:
    """Give what is refused where so much was spent; None where no budget refuses anything."""
    everything, projects, clients = None, {}, {}
    for budget in budgets:
        total = totals.get(budget.key)
        if not (budget.enabled and budget.refuse) or total is None or total.spent_usd < budget.limit_usd:
            continue
        stop = Stop(_message(budget, total), total.period.end.timestamp())
        if budget.scope == PROJECT:
            projects[budget.value] = _later(projects.get(budget.value), stop)
        elif budget.scope == CLIENT:
            clients[budget.value] = _later(clients.get(budget.value), stop)
        else:
            everything = _later(everything, stop)
    return Stops(everything, projects, clients) if any(b.enabled and b.refuse for b in budgets) else None


def _later(one: Stop | None, other: Stop) -> Stop:
    """Of two that refuse the same, the one that lasts longer."""
    return other if one is None or other.until > one.until else one


def _message(budget: Budget, total: Total) -> str:
    resets = total.period.end.astimezone(timezone.get_default_timezone())
    return (
        f"LunaRoute's budget {budget.name!r} ({budget.covers}) is used up: ${total.spent_usd:,.2f} of "
        f"${budget.limit_usd:,.2f} spent this {budget.period}. It resets at {resets:%Y-%m-%d %H:%M %Z}."
    )
