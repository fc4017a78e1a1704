"""The recorder: a process that turns what the proxy captures into the record.

The supervisor hands it lines (sockets) to web processes over `control`. Frames come in, events are collected for a
moment and applied in one transaction, and only then acknowledged: what was not acknowledged, the proxy sends again.
After that the web processes hear what has changed (sessions/news.py), and while somebody watches a session, the text of
its answers as it comes. They hear it if they listen: it is dropped where it would have to wait.
"""

import gc
import logging
import os
import selectors
import signal
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
from django.conf import settings
from django.db import DatabaseError, DataError, OperationalError, connections
from django.db.backends.signals import connection_created

from pii.redactor import Redactor
from proxy.capture import ACK, CHANGE, ECHO, HEADER, PARTIAL, WATCH
from sessions import memory, news, search
from sessions.access_log import AccessLog
from sessions.budgets import quotas
from sessions.digest import ENDED, OPENED, Capture, Event, Live
from sessions.log_feed import LAST, LogFeed
from sessions.partial import Cursor
from sessions.redaction import Redaction
from sessions.store import Batch, Store

logger = logging.getLogger("lunaroute.recorder")

# Seconds between attempts while nothing can be written, and that the end may wait for that.
RETRY_AFTER, GIVE_UP_AFTER = 1.0, 10.0
READ_SIZE = 1 << 18
# Seconds in which what belongs together comes together, and after which there is time for what was recorded earlier.
GATHER, QUIET = 0.005, 0.02
# Seconds of quiet after which there is time for upkeep of the database.
TIDY_AFTER = 2.0
# Seconds between two looks at what is under way, where somebody watches.
TELL_EVERY = 0.25
# Bytes that wait for a web process that does not read; what is told beyond that is dropped.
MAX_WAITING = 1 << 20


class Line:
    """The socket of one web process, and its captures that have not ended."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.captures: dict[int, Capture] = {}
        self.watched: dict[str, str] = {}  # session id → who watches: it changes with each who comes
        self.waiting = bytearray()  # to be sent
        self._buffer = bytearray()

    def read(self) -> list[tuple[int, list[Event]]] | None:
        """Take what has come. Gives (number of the exchange if it has ended, else 0; events), or None at the end."""
        try:
            data = self.sock.recv(READ_SIZE)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            return None
        buffer = self._buffer
        buffer += data
        at, size, out = 0, HEADER.size, []
        while len(buffer) - at >= size:
            length, kind, number, when = HEADER.unpack_from(buffer, at)
            if len(buffer) - at - size < length:
                break
            with memoryview(buffer) as view:  # a slice of the buffer itself would be one more copy
                payload = bytes(view[at + size : at + size + length])
            at += size + length
            out.append(self._feed(kind, number, when, payload))
        del buffer[:at]
        return out

    def tell(self, parts: list[bytes], must: bool = False) -> None:
        """Send frames: with `must` however long that takes, else what the other side takes now."""
        if not must and len(self.waiting) > MAX_WAITING:
            return
        self.waiting += b"".join(parts)
        with suppress(OSError):
            self.sock.setblocking(must)
            try:
                self.push()
            finally:
                self.sock.setblocking(False)

    def push(self) -> None:
        """Send what waits."""
        try:
            while self.waiting:
                del self.waiting[: self.sock.send(memoryview(self.waiting)[:READ_SIZE].tobytes())]
        except BlockingIOError:
            raise
        except OSError:
            self.waiting.clear()  # nobody reads any more; `read` finds the end

    def _feed(self, kind: int, number: int, when: int, payload: bytes) -> tuple[int, list[Event]]:
        if kind == WATCH:
            with suppress(ValueError):
                self.watched = msgspec.json.decode(payload, type=dict[str, str])
            return 0, []
        capture = self.captures.get(number)
        if capture is None:
            capture = self.captures[number] = Capture()
        try:
            events = capture.feed(kind, when, payload)
        except Exception:
            logger.exception("a frame of kind %d could not be read: its exchange is recorded as far as it was", kind)
            events = []
        if capture.ended:
            del self.captures[number]
            return number, events
        return 0, events

    def lost(self) -> list[Event]:
        """The web process has gone: give the ends of what was under way."""
        now = time.time_ns() // 1000
        return [event for capture in self.captures.values() for event in capture.lost(now)]


@dataclass(slots=True)
class Running:
    """An exchange under way, and how much of its text those who watch have been told."""

    live: Live
    session_id: str
    cursor: Cursor
    watchers: str = ""


class Recorder:
    """The loop."""

    def __init__(
        self,
        control: socket.socket,
        store: Store,
        batch_size: int,
        batch_seconds: float,
        redactor: Redactor | None = None,
        log: LogFeed | None = None,
        access_log: AccessLog | None = None,
    ) -> None:
        self._store, self._control = store, control
        self._redactor = redactor  # of text under way; the store has one of its own, that counts
        self._batch_size, self._batch_seconds = batch_size, batch_seconds
        self._selector = selectors.DefaultSelector()
        self._lines: set[Line] = set()
        self._events: list[Event] = []
        self._acks: list[tuple[Line, int]] = []
        self._running: dict[str, Running] = {}  # by request id
        self._origins: dict[str, Line] = {}  # of exchanges under way, by request id
        self._told_at = 0.0
        self._log, self._access_log = log, access_log
        self._quotas = quotas.Book()
        self._due: float | None = None
        self._flushed_at = 0.0
        self._tidy_at: float | None = None
        self._stopping = False
        self._paused_since: float | None = None
        self._backfill: search.Backfill | None = search.Backfill()

    def run(self) -> int:
        """Record until the supervisor's socket and all lines have ended. Gives the process's exit code."""
        self._control.setblocking(False)
        self._selector.register(self._control, selectors.EVENT_READ, None)
        while self._lines or not self._stopping:
            is_behind = self._due is None and self._backfill is not None
            ready = self._selector.select(QUIET if is_behind else self._timeout())
            if is_behind and not ready:
                self._catch_up()
            for key, mask in ready:
                if key.data is None:
                    self._from_supervisor()
                    continue
                if mask & selectors.EVENT_WRITE:
                    with suppress(BlockingIOError):
                        key.data.push()
                    self._listen(key.data)
                if mask & selectors.EVENT_READ:
                    self._from_line(key.data)
            self._tell_text()
            if self._log is not None:
                self._log.look(time.monotonic())
            if self._due is not None and (time.monotonic() >= self._due or len(self._events) >= self._batch_size):
                self._flush()
            elif self._tidy_at is not None and time.monotonic() >= self._tidy_at:
                self._tidy()
        is_complete = self._flush()
        with suppress(DatabaseError):
            self._store.fold_log()
        return 0 if is_complete else 1

    def _tidy(self) -> None:
        self._tidy_at = None
        with suppress(DatabaseError):
            if self._store.tidy():
                self._tidy_at = time.monotonic() + QUIET

    def _timeout(self) -> float | None:
        """Seconds until there is something to do, whatever comes."""
        log_due = self._log.due if self._log is not None else None
        due = [at for at in (self._due, self._tidy_at, log_due) if at is not None]
        if self._running and any(line.watched for line in self._lines):
            due.append(self._told_at + TELL_EVERY)
        return max(min(due) - time.monotonic(), 0) if due else None

    def _listen(self, line: Line) -> None:
        """Wait for what `line` says, and where something waits to be sent, for its room."""
        if line in self._lines:
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if line.waiting else 0)
            self._selector.modify(line.sock, wanted, line)

    def _tell(self, line: Line, parts: list[bytes]) -> None:
        line.tell(parts)
        self._listen(line)

    def _catch_up(self) -> None:
        """Index some of what was recorded before there was an index. Where that fails, the next start tries again."""
        try:
            if not self._backfill.step():
                self._backfill = None
        except OperationalError as error:
            logger.debug("indexing waits: %s", error)
        except Exception:
            logger.exception("what was recorded earlier could not be indexed: searches do not find all of it")
            self._backfill = None

    def _from_supervisor(self) -> None:
        try:
            data, fds, _, _ = socket.recv_fds(self._control, 16, 4)
        except BlockingIOError:
            return
        except OSError:
            data, fds = b"", []
        for fd in fds:
            line = Line(socket.socket(fileno=fd))
            line.sock.setblocking(False)
            self._lines.add(line)
            self._selector.register(line.sock, selectors.EVENT_READ, line)
        if not data:
            self._selector.unregister(self._control)
            self._stopping = True

    def _from_line(self, line: Line) -> None:
        found = line.read()
        if found is None:
            self._selector.unregister(line.sock)
            self._lines.discard(line)
            self._note(line.lost())
            self._flush()
            line.sock.close()
            return
        for number, events in found:
            self._note(events)
            for event in events:
                self._origins[event.live.begin.request_id] = line
            if number:
                self._acks.append((line, number))
                self._schedule()

    def _note(self, events: list[Event]) -> None:
        if events:
            self._events += events
            self._schedule()

    def _schedule(self) -> None:
        # After a pause at once, under load once in `batch_seconds`.
        if self._due is None:
            self._due = max(time.monotonic() + GATHER, self._flushed_at + self._batch_seconds)

    def _flush(self) -> bool:
        """Write what has been collected, however long that takes, and acknowledge it. False if it was given up."""
        self._due, self._flushed_at = None, time.monotonic()
        self._tidy_at = self._flushed_at + TIDY_AFTER
        events, self._events = self._events, []
        acks, self._acks = self._acks, []
        batches: list[Batch] = []
        noted = events
        while events:
            try:
                batches.append(self._store.apply(events))
                self._resumed()
                break
            except DataError:  # what is to be written, not where
                events = self._without_poison(events, batches)
            except (DatabaseError, OSError) as error:
                if not self.pause(error):
                    return False
            except Exception:
                events = self._without_poison(events, batches)
        by_line: dict[Line, list[bytes]] = {}
        for line, number in acks:
            by_line.setdefault(line, []).append(HEADER.pack(0, ACK, number, 0))
        for line, parts in by_line.items():
            line.tell(parts, must=True)
        self._follow(noted)
        self._tell_changes(batches)
        for event in noted:
            if event.what == ENDED:
                self._origins.pop(event.live.begin.request_id, None)
        if self._log is not None:
            self._log.stored(noted, batches, time.monotonic())
        if self._access_log is not None:
            self._access_log.stored(batches)
        self._note_quotas(batches)
        return True

    def _note_quotas(self, batches: list[Batch]) -> None:
        """Keep what answers tell of limits. Where that cannot be written now, it is with the next."""
        self._quotas.take(row for batch in batches for row, _ in batch.ended)
        try:
            self._quotas.write(at_once=self._stopping)
        except DatabaseError as error:
            logger.debug("quotas wait: %s", error)

    def _follow(self, events: list[Event]) -> None:
        """Note which exchanges are under way. What was heard of them has been stored."""
        for event in events:
            request_id = event.live.begin.request_id
            if event.what == OPENED and (row := self._store.running(request_id)) is not None:
                cursor = Cursor(self._redactor)
                self._running[request_id] = Running(event.live, row.session.session_id, cursor)
            elif event.what == ENDED:
                self._running.pop(request_id, None)

    def _tell_changes(self, batches: list[Batch]) -> None:
        """Tell every web process what has been stored: each hears which of it is its own, so that it is counted once."""
        told: dict[Line, list[bytes]] = {line: [] for line in self._lines}
        for change in (change for batch in batches for change in news.changes_of(batch)):
            origin = self._origins.get(change.request_id)
            if origin not in told:
                origin = next(iter(told), None)  # its own web process has gone: another one counts it
            payload = news.encode(change)
            for line, frames in told.items():
                frames.append(HEADER.pack(len(payload), CHANGE if line is origin else ECHO, 0, 0) + payload)
        for line, frames in told.items():
            if frames:
                self._tell(line, frames)

    def _tell_text(self) -> None:
        """Tell what has come of the answers that somebody watches, as far as it has not been told."""
        now = time.monotonic()
        if not self._running or now < self._told_at + TELL_EVERY:
            return
        self._told_at = now
        for request_id, running in self._running.items():
            watching = [line for line in self._lines if running.session_id in line.watched]
            who = " ".join(sorted({line.watched[running.session_id] for line in watching}))
            if who != running.watchers:
                running.watchers = who
                running.cursor.restart()
            pieces = running.live.told(running.cursor) if who else []
            if pieces:
                text = news.encode(news.Partial(running.session_id, request_id, pieces))
                # With a channel layer in common, who hears it tells the others.
                for line in watching[:1] if settings.LUNAROUTE.redis_url else watching:
                    self._tell(line, [HEADER.pack(len(text), PARTIAL, 0, 0) + text])

    def _without_poison(self, events: list[Event], batches: list[Batch]) -> list[Event]:
        """Apply events one exchange at a time; one that cannot be digested is left out, and said so."""
        by_exchange: dict[str, list[Event]] = {}
        for event in events:
            by_exchange.setdefault(event.live.begin.request_id, []).append(event)
        left: list[Event] = []
        for request_id, own in by_exchange.items():
            try:
                batches.append(self._store.apply(own))
            except Exception as error:
                if isinstance(error, DatabaseError | OSError) and not isinstance(error, DataError):
                    left += own
                    continue
                message = "exchange %s could not be digested: it is recorded without its text"
                logger.exception(message, request_id, extra={"request_id": request_id})
                for event in own:
                    event.live.strip()
                with suppress(Exception):
                    batches.append(self._store.apply(own))
        return left

    def pause(self, error: Exception) -> bool:
        """Wait a moment because of `error`. False where the end cannot wait any longer."""
        now = time.monotonic()
        if self._paused_since is None:
            self._paused_since = now
            reason = " ".join(str(error).split())
            logger.error("recording paused: %s; the proxy goes on, what comes is kept in memory (up to 64 MiB)", reason)
        if self._stopping and now - self._paused_since > GIVE_UP_AFTER:
            logger.error("recording could not resume: the last exchanges are lost")
            return False
        connections.close_all()
        time.sleep(RETRY_AFTER)
        return True

    def _resumed(self) -> None:
        if self._paused_since is not None:
            logger.warning("recording resumed after %.0f s", time.monotonic() - self._paused_since)
            self._paused_since = None


def _commit_quickly(connection: Any, **_: Any) -> None:
    """Let no commit wait for PostgreSQL's disk, as none does for SQLite's (settings.py): only a machine that loses power may
    then take the last moments along."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET synchronous_commit TO off")


def _store(config: Any, redaction: Redaction | None) -> Store:
    recording = config.session_recording
    writes_jsonl = recording.enabled and recording.jsonl.enabled
    arguments = (config.identity, recording.sessions_dir, writes_jsonl, recording.capture_user_agent, redaction)
    if recording.enabled:
        return Store(*arguments)
    memory.use()
    return memory.MemoryStore(*arguments, max_sessions=config.session_stats_max_sessions)


def run(control: socket.socket, first: bool = True) -> int:
    """Record what comes over `control`'s lines. `first`: no proxy of this home holds anything from before."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the supervisor says when it is over
    with suppress(OSError):
        os.nice(5)  # streams come first
    # Most of what is made here is gone in a moment: looking for cycles rarely takes a sixth off each exchange.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    connection_created.connect(_commit_quickly, dispatch_uid="lunaroute.recorder")
    config = settings.LUNAROUTE
    recording = config.session_recording
    redactor, redaction = None, None
    if recording.pii.enabled:
        policy = recording.pii.policy()
        redactor, redaction = Redactor(policy), Redaction(Redactor(policy))
    store, worker = _store(config, redaction), recording.worker
    log = LogFeed(config.logging.is_detailed, redactor) if config.logging.log_requests else None
    access_log = None
    if config.logging.access_log:
        access_log = AccessLog(config.logging.format == "json", log.terminal if log is not None else None)
    recorder = Recorder(control, store, worker.batch_size, worker.batch_timeout_ms / 1e3, redactor, log, access_log)
    while True:
        try:
            store.recover(interrupt=first)
            break
        except (DatabaseError, OSError) as error:
            recorder.pause(error)
    code = recorder.run()
    for output in (log, access_log):
        if output is not None:
            output.close(LAST)
    return code
