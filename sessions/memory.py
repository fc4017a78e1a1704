"""A record in memory alone, for what nobody records: its tokens, cost and tools count, and no byte of it reaches a disk.

The recorder's process works on a database of its own then, which goes with it. It holds the latest sessions, as many as
statistics show.
"""

from datetime import datetime
from typing import Any

from django.core.management import call_command
from django.db import connection, connections

from sessions import prices
from sessions.deletion import StillRunning, delete
from sessions.digest import Event
from sessions.models import Session
from sessions.store import Batch, Store

# Shared by the process's threads; Django closes no database in memory, so it lasts as long as the process.
NAME = "file:lunaroute?mode=memory&cache=shared"
# By this name the process still reaches the database on disk.
ON_DISK = "disk"
# Bytes that the database may hold, and of how many batches one looks whether it holds more.
MAX_SIZE, LOOK_EVERY = 64 << 20, 50
# Sessions that are kept in any case: one that is talked in should not lose its sums.
MIN_SESSIONS = 10


def use() -> None:
    """Let this process, and only this one, record into memory from now on."""
    connections.close_all()
    on_disk = connections.settings["default"]
    in_memory: dict[str, Any] = {
        **on_disk,
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": NAME,
        "OPTIONS": {"init_command": "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA temp_store=MEMORY;"},
    }
    connections.settings.update({"default": in_memory, ON_DISK: on_disk})
    del connections["default"]
    call_command("migrate", "record", verbosity=0, interactive=False)
    prices.read_from(ON_DISK)


class MemoryStore(Store):
    """A store that forgets: it keeps `max_sessions`, and no more than MAX_SIZE."""

    def __init__(self, *arguments: Any, max_sessions: int) -> None:
        super().__init__(*arguments)
        self._max_sessions = max(max_sessions, MIN_SESSIONS)
        self._batches = 0

    def apply(self, events: list[Event]) -> Batch:
        """Count `events`."""
        batch = super().apply(events)
        self._batches += 1
        if self._batches % LOOK_EVERY == 0:
            self.forget()
        return batch

    def forget(self) -> None:
        """Delete the sessions that were used last so long ago that they are too many or too large; not one that runs."""
        last_used = dict(Session.objects.values_list("pk", "completed_at"))
        ended = sorted((at, pk) for pk, at in last_used.items() if isinstance(at, datetime))
        while ended and (len(last_used) > self._max_sessions or _size() > MAX_SIZE):
            _, pk = ended.pop(0)
            try:
                delete([pk])
            except StillRunning:
                continue
            del last_used[pk]


def _size() -> int:
    """Bytes that the database holds."""
    with connection.cursor() as cursor:
        pages, free, size = (
            cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
    return (pages - free) * size
