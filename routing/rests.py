"""Rests of providers, written down so that a restart does not end them."""

import logging
import queue
import threading
import time

from django.db import Error, close_old_connections

from routing import board, models

logger = logging.getLogger("lunaroute.routing")


def restore(of: board.Board) -> None:
    """Take up the rests that were under way when the process before this one ended."""
    try:
        rows = list(models.Rest.objects.filter(until__gt=time.time()))
    except Error as error:
        logger.warning("rests of providers from before the start are not known: %s", error)
    else:
        of.restore_rests({row.provider: board.Rest(row.until, row.why, row.limits) for row in rows})


def keep(name: str, rest: board.Rest | None) -> None:
    """Write down the rest of one provider, or that it has none."""
    if rest is None:
        models.Rest.objects.filter(provider=name).delete()
    else:
        values = {"until": rest.until, "why": rest.why, "limits": rest.limits}
        models.Rest.objects.update_or_create(provider=name, defaults=values)


class Keeper:
    """Writes rests in a thread of its own: `changed` is the board's ``on_rest_changed``, and never waits."""

    def __init__(self, of: board.Board) -> None:
        self._board = of
        self._names: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="routing-rests", daemon=True)
        self._thread.start()

    def changed(self, name: str) -> None:
        """What `name` rests is new."""
        self._names.put(name)

    def stop(self, timeout: float = 2) -> None:
        """Write what there still is, and end; wait so many seconds for that."""
        self._names.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        while (name := self._names.get()) is not None:
            try:
                close_old_connections()
                keep(name, self._board.rests().get(name))
            except Error as error:
                logger.warning("the rest of %s is not written down: %s", name, error)
        close_old_connections()
