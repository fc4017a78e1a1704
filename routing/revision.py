"""How every process learns that providers or rules in the database have changed, without asking it.

On this machine: eight bytes in a file of the home, which every process has mapped and compares at each request. On other
hosts that share a PostgreSQL: a notification, and a number in the database as the net beneath it.
"""

import fcntl
import logging
import mmap
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections, models, transaction
from django.db.models.signals import post_delete, post_save

FILE = "routing_revision"
CHANNEL = "lunaroute_routing"
# Seconds: between two looks at the number where no notification comes, and before a lost connection is tried again.
POLL_EVERY, RETRY_AFTER = 15.0, 2.0
_SIZE = 8

logger = logging.getLogger("lunaroute.routing")


class Counter:
    """A number that all processes of this home see as soon as one has raised it."""

    def __init__(self, path: Path) -> None:
        """Map the file at `path`, made with mode 0600. Where that cannot be, the number is this process's alone."""
        self._file: int | None = None
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if os.fstat(self._file).st_size < _SIZE:
                os.ftruncate(self._file, _SIZE)  # to the same size by whoever does it: zeros, or what is there
            self._map = mmap.mmap(self._file, _SIZE)
        except OSError as error:
            logger.warning("%s: changes of routing reach this process only: %s", path, error.strerror)
            self._file = None
            self._map = mmap.mmap(-1, _SIZE)

    def value(self) -> bytes:
        """Give the number, as bytes to compare."""
        return self._map[:_SIZE]

    def bump(self) -> None:
        """Raise the number."""
        with _locked(self._file):
            number = int.from_bytes(self._map[:_SIZE], "little") + 1
            self._map[:_SIZE] = (number % 2**64).to_bytes(_SIZE, "little")


class Watch:
    """Whether the counter has moved since somebody last loaded what it counts.

    ::

        mark = watch.mark()      # before loading, so that what changes meanwhile is not missed
        …load…
        watch.take(mark)
    """

    __slots__ = ("_map", "_seen", "counter")

    def __init__(self, counter: Counter) -> None:
        self.counter = counter
        self._map = counter._map
        self._seen = b""

    def changed(self) -> bool:
        """Tell whether there is something to load. For every request: it compares eight bytes."""
        return self._map[:_SIZE] != self._seen

    def mark(self) -> bytes:
        """Give the counter's value, for `take`."""
        return self.counter.value()

    def take(self, mark: bytes) -> None:
        """What was there at `mark` has been loaded."""
        self._seen = mark

    def again_in(self, seconds: float) -> None:
        """Let `changed` be true once more after `seconds`: loading did not succeed."""
        timer = threading.Timer(seconds, self.counter.bump)
        timer.daemon = True
        timer.start()


@cache
def counter() -> Counter:
    """Give the counter of this process's home."""
    return Counter(Path(settings.LUNAROUTE.home) / FILE)


def changed(using: str = DEFAULT_DB_ALIAS) -> None:
    """Tell every process, once what was changed on the connection `using` is committed."""
    if connections[using].vendor == "postgresql":
        from routing.models import Revision

        if not Revision.objects.using(using).filter(pk=1).update(number=models.F("number") + 1):
            Revision.objects.using(using).bulk_create([Revision(pk=1, number=1)], ignore_conflicts=True)
        with connections[using].cursor() as cursor:
            cursor.execute(f"NOTIFY {CHANNEL}")
    transaction.on_commit(_bump, using=using)


def connect() -> None:
    """Hear of every change that Django's ORM makes; `models.Watched` tells of those that it sends no signal for."""
    from routing.models import Provider, Reset, Rule

    for model in (Provider, Rule, Reset):
        for signal in (post_save, post_delete):
            signal.connect(_model_changed, sender=model, dispatch_uid=f"routing.revision.{model.__name__}")


def listen(poll_every: float = POLL_EVERY) -> "Listener | None":
    """Let all processes of this home hear of other hosts' changes; None where the database has no other hosts."""
    connection = connections[DEFAULT_DB_ALIAS]
    if connection.vendor != "postgresql":
        return None
    listener = Listener(connection.get_connection_params(), counter(), poll_every)
    listener.start()
    return listener


class Listener(threading.Thread):
    """Waits for notifications on a connection of its own, which it makes again when it is lost."""

    def __init__(self, parameters: dict[str, Any], counter: Counter, poll_every: float) -> None:
        super().__init__(name="routing-changes", daemon=True)
        self._parameters = {
            name: value
            for name, value in parameters.items()
            if name not in ("cursor_factory", "context", "server_side_binding")
        }
        self._counter, self._poll_every = counter, poll_every
        self._seen: int | None = None
        self._end = threading.Event()

    def run(self) -> None:
        """Listen until `stop`."""
        import psycopg

        is_lost = False
        while not self._end.is_set():
            try:
                with psycopg.connect(**self._parameters, autocommit=True) as connection:
                    is_lost = False
                    self._follow(connection)
            except (psycopg.Error, OSError) as error:
                if not is_lost:
                    reason = str(error).strip().splitlines() or [type(error).__name__]
                    logger.warning("changes of routing on other hosts are not heard at the moment: %s", reason[0])
                is_lost = True
                self._end.wait(RETRY_AFTER)

    def stop(self) -> None:
        """End at the next look."""
        self._end.set()

    def _follow(self, connection: Any) -> None:
        connection.execute(f"LISTEN {CHANNEL}")
        while not self._end.is_set():
            self._look(connection)
            for _ in connection.notifies(timeout=self._poll_every, stop_after=1):
                pass

    def _look(self, connection: Any) -> None:
        row = connection.execute("SELECT number FROM routing_revision WHERE id = 1").fetchone()
        number = row[0] if row else 0
        if number != self._seen:  # at the first look as well: there may have been a change since all was loaded
            self._counter.bump()
        self._seen = number


def _bump() -> None:
    counter().bump()


def _model_changed(using: str | None = None, **_: Any) -> None:
    changed(using or DEFAULT_DB_ALIAS)


# POSIX locks are a process's: threads need one of their own.
_threads = threading.Lock()


@contextmanager
def _locked(file: int | None) -> Iterator[None]:
    """Keep others of this home from raising the number at the same time."""
    with _threads:
        if file is not None:
            fcntl.lockf(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            if file is not None:
                fcntl.lockf(file, fcntl.LOCK_UN)
