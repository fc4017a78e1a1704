"""When the worker's tasks ran: Celery's beat with a small JSON file for a memory, which `lunaroute-server status` reads.

Celery's own scheduler keeps its times in a dbm that it writes every three minutes: a worker that is killed in between runs
everything again.
"""

import logging
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from celery import Celery, signals
from celery.beat import ScheduleEntry, Scheduler
from kombu import Connection, Producer

from lunaroute_site import states

logger = logging.getLogger("lunaroute.worker")

SCHEDULE, RUNS = "schedule.json", "runs.json"
# Seconds until a broker that took no message is tried again.
TRY_AGAIN = 5


class Schedule(Scheduler):
    """Runs what is due; what has become due several times while nobody was there, once."""

    def __init__(self, *arguments: object, schedule_filename: str, **options: object) -> None:
        self._path = Path(schedule_filename)
        self._ran: set[str] = set()
        self._is_in_trouble = False
        super().__init__(*arguments, **options)

    def setup_schedule(self) -> None:
        """Take the entries of the configuration, with the times of the last run of each."""
        kept = states.read(self._path)
        if kept is None and self._path.exists():
            logger.warning("%s cannot be read: it is made anew", self._path)
        self.merge_inplace(self.app.conf.beat_schedule)
        now = self.app.now()
        for entry in self.schedule.values():
            before = (kept or {}).get(entry.name)
            at = _time(before)
            if at and before.get("has_run") is True:
                self._ran.add(entry.name)
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
            self._ran.add(entry.name)
        self.sync()

    def _ensure_connected(self) -> Connection:
        return self.connection.ensure_connection(lambda error, _: self._note_trouble(error))

    def _note_trouble(self, error: Exception) -> None:
        if not self._is_in_trouble:
            logger.warning("the worker waits for its broker: %s", " ".join(str(error).split()))
        self._is_in_trouble = True

    def sync(self) -> None:
        """Write down when each entry ran, or, where it never has, since when it waits."""
        entries = self.schedule.values()
        with suppress(OSError):  # it is in memory
            states.write(
                self._path,
                {
                    e.name: {
                        "task": e.task,
                        "last_run_at": e.last_run_at.isoformat(timespec="seconds"),
                        "has_run": e.name in self._ran,
                        "every_seconds": e.schedule.seconds,
                    }
                    for e in entries
                },
            )


def _time(kept: object) -> datetime | None:
    """Give the time of an entry as it was written down; None where that makes no sense."""
    if isinstance(kept, dict):
        with suppress(TypeError, ValueError):
            at = datetime.fromisoformat(kept.get("last_run_at"))
            return at if at.tzinfo else None
    return None


class Runs:
    """Writes down when each task last began, ended, and how."""

    def __init__(self, app: Celery, path: Path) -> None:
        self._path = path
        self._runs = states.read(path) or {}
        self._names = {entry["task"] for entry in app.conf.beat_schedule.values()}
        signals.task_prerun.connect(self._began, weak=False)
        signals.task_postrun.connect(self._ended, weak=False)

    def _began(self, task, **_: object) -> None:
        self._runs[task.name] = {"started_at": states.now(), "ended_at": None, "state": "RUNNING"}
        self._save()

    def _ended(self, task, state: str | None, **_: object) -> None:
        self._runs.setdefault(task.name, {}).update(ended_at=states.now(), state=state)
        self._save()

    def _save(self) -> None:
        with suppress(OSError):
            states.write(self._path, {name: run for name, run in self._runs.items() if name in self._names})
