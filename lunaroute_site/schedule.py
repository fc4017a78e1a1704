"""Celery's beat with a small JSON file for a memory.

Celery's own scheduler keeps its times in a dbm that it writes every three minutes: a worker that is killed in between runs
everything again.
"""

import logging
import os
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from celery.beat import ScheduleEntry, Scheduler
from kombu import Connection, Producer

from lunaroute_site import states

logger = logging.getLogger("lunaroute.worker")

SCHEDULE = "schedule.json"
# Seconds until a broker that took no message is tried again.
TRY_AGAIN = 5


class Schedule(Scheduler):
    """Runs what is due; what has become due several times while nobody was there, once."""

    def __init__(self, *arguments: object, schedule_filename: str, **options: object) -> None:
        self._path = Path(schedule_filename)
        self._is_in_trouble = False
        super().__init__(*arguments, **options)

    def setup_schedule(self) -> None:
        """Take the entries of the configuration, with the times of the last run of each."""
        with suppress(OSError):  # a beat that runs apart from any worker is the first on its home
            os.umask(0o077)
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = states.read(self._path.parent, self._path.name)
        if not kept and self._path.exists():
            logger.warning("%s cannot be read: it is made anew", self._path)
        self.merge_inplace(self.app.conf.beat_schedule)
        now = self.app.now()
        for entry in self.schedule.values():
            at = _time(kept.get(entry.name))
            # A time yet to come was written under another clock: nothing would run until then.
            entry.last_run_at = min(at, now) if at else now
            # One that waits until the next is sent is not run twice.
            entry.options.setdefault("expires", entry.schedule.seconds)
        self.sync()

    def reserve(self, entry: ScheduleEntry) -> ScheduleEntry:
        """Note that an entry runs now: before it is sent, so that a kill between the two repeats nothing."""
        following = super().reserve(entry)
        self.sync()
        return following

    def apply_entry(self, entry: ScheduleEntry, producer: Producer | None = None) -> None:
        """Send a task. Where the broker does not take it, it stays due."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except Exception as error:  # whatever a broker's library raises
            self.schedule[entry.name] = entry
            self._heap = None
            self._note_trouble(error)
            time.sleep(TRY_AGAIN)
        else:
            if self._is_in_trouble:
                logger.warning("the broker is there again: the worker goes on")
            self._is_in_trouble = False
        self.sync()

    def _ensure_connected(self) -> Connection:
        return self.connection.ensure_connection(lambda error, _: self._note_trouble(error))

    def _note_trouble(self, error: Exception) -> None:
        if not self._is_in_trouble:
            logger.warning("the worker waits for its broker: %s", " ".join(str(error).split()))
        self._is_in_trouble = True

    def sync(self) -> None:
        """Write down when each entry ran, or, where it never has, since when it waits."""
        times = {entry.name: entry.last_run_at.isoformat() for entry in self.schedule.values()}
        states.write(self._path.parent, self._path.name, times)


def _time(kept: object) -> datetime | None:
    """Give the time that was written down; None where that makes no sense."""
    with suppress(TypeError, ValueError):
        at = datetime.fromisoformat(kept)
        return at if at.tzinfo else None
    return None
