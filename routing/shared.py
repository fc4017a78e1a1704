"""What is found out about providers, written down: a rest outlives a restart, and other processes leave alone who fails.

Rests and open breakers of all processes stand in the database; each change raises routing's revision, so that every
process takes it up with its next request. Redis would be quicker, and one thing more that can be gone: until the others
hear of it, each finds out by itself what it needs to.
"""

import logging
import queue
import threading
import time
from collections.abc import Mapping

from django.db import Error, close_old_connections, connection

from routing import board, models, revision

logger = logging.getLogger("lunaroute.routing")

# Seconds between two announcements to other processes.
PAUSE = 0.2


def read() -> tuple[dict[str, board.Rest], dict[str, float]]:
    """Give the rests and the open breakers under way, for `board.follow`. Raises what the database says."""
    now = time.time()
    rests = {
        row.provider: board.Rest(row.until, row.why, row.limits) for row in models.Rest.objects.filter(until__gt=now)
    }
    return rests, dict(models.Trip.objects.values_list("provider", "until"))


def restore(of: board.Board) -> None:
    """Take up the rests that were under way when the process before this one ended."""
    try:
        rests, _ = read()
    except Error as error:
        logger.warning("rests of providers from before the start are not known: %s", error)
    else:
        of.restore_rests(rests)


def keep(name: str, rest: board.Rest | None) -> None:
    """Write down the rest of one provider, or that it has none."""
    if rest is None:
        models.Rest.objects.filter(provider=name).delete()
    else:
        values = {"until": rest.until, "why": rest.why, "limits": rest.limits}
        models.Rest.objects.update_or_create(provider=name, defaults=values)


def keep_trip(name: str, trips: Mapping[str, float]) -> None:
    """Write down that a provider's breaker is open, or that it is not."""
    if name in trips:
        models.Trip.objects.update_or_create(provider=name, defaults={"until": trips[name]})
    else:
        models.Trip.objects.filter(provider=name).delete()


class Keeper:
    """Writes in a thread of its own: `rest_changed` and `trip_changed` are the board's callbacks, and never wait.

    With `is_announced` other processes hear of it.
    """

    def __init__(self, of: board.Board, is_announced: bool = False) -> None:
        self._board, self._is_announced = of, is_announced
        self._changes: queue.SimpleQueue[tuple[str, str] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="routing-shared", daemon=True)
        self._thread.start()

    def rest_changed(self, name: str) -> None:
        """What `name` rests is new."""
        self._changes.put(("rest", name))

    def trip_changed(self, name: str) -> None:
        """Whether the breaker of `name` is open is new."""
        self._changes.put(("trip", name))

    def stop(self, timeout: float = 2) -> None:
        """Write what there still is, and end; wait so many seconds for that."""
        self._changes.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        while (change := self._changes.get()) is not None:
            changes = {change}
            if self._is_announced:
                time.sleep(PAUSE)  # many a request may meet the same limit
                while not self._changes.empty() and (more := self._changes.get()) is not None:
                    changes.add(more)
            self._write(changes)
            connection.close()
        close_old_connections()

    def _write(self, changes: set[tuple[str, str]]) -> None:
        try:
            close_old_connections()
            for what, name in sorted(changes):
                if what == "rest":
                    keep(name, self._board.rests().get(name))
                else:
                    keep_trip(name, self._board.trips())
            if self._is_announced:
                revision.changed()
        except Error as error:
            names = ", ".join(sorted({name for _, name in changes}))
            logger.warning("what was found out about %s is not written down: %s", names, error)
