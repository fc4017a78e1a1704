"""The recorder: a process that turns what the proxy captures into the record.

The supervisor hands it lines (sockets) to web processes over `control`. Frames come in, events are collected for a
moment and applied in one transaction, and only then acknowledged: what was not acknowledged, the proxy sends again.
An exchange that cannot be written while others can is set aside, not acknowledged, and tried again (sessions/aside.py).
After that the web processes hear what has changed (sessions/news.py), and while somebody watches a session, the text of
its answers as it comes. They hear it if they listen: it is dropped where it would have to wait.
"""

import gc
import logging
import os
import select
import selectors
import signal
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
from django.conf import settings
from django.db import DatabaseError, OperationalError, connections

from pii.redactor import Redactor
from proxy.capture import ACK, CHANGE, ECHO, HEADER, PARTIAL, TROUBLE, Trouble
from proxy.last_words import Missing
from sessions import memory, news, search
from sessions.access_log import AccessLog
from sessions.aside import Aside, is_elsewhere
from sessions.budgets import quotas
from sessions.digest import ENDED, OPENED, Event, Live
from sessions.log_feed import LAST, LogFeed
from sessions.partial import Cursor
from sessions.redaction import Redaction
from sessions.store import Batch, Store
from sessions.wire import Line

logger = logging.getLogger("lunaroute.recorder")

# Seconds between attempts while nothing can be written, and that the end may wait for that.
RETRY_AFTER, GIVE_UP_AFTER = 1.0, 3.0
# Seconds between attempts at what was set aside, and of how much at once.
ASIDE_EVERY, ASIDE_AT_ONCE = 2.0, 20
# Seconds in which what belongs together comes together, and after which there is time for what was recorded earlier.
GATHER, QUIET = 0.005, 0.02
# Seconds of quiet after which there is time for upkeep of the database.
TIDY_AFTER = 2.0
# Seconds between two looks at what is under way, where somebody watches.
TELL_EVERY = 0.25


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
        self._control.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._control, selectors.EVENT_READ, None)
        self._redactor = redactor  # of text under way; the store has one of its own, that counts
        self._batch_size, self._batch_seconds = batch_size, batch_seconds
        self._lines: set[Line] = set()
        self._events: list[Event] = []
        self._acks: list[tuple[Line, int]] = []  # captures that have ended, by their line and number
        self._aside, self._aside_at = Aside(), 0.0
        self._trouble = Trouble()
        self._missing = Missing()  # what was given up at the end
        self._awaits_lines = False  # whether it is still to be seen which exchanges nobody holds any more
        self._running: dict[str, Running] = {}  # by request id
        self._origins: dict[str, tuple[Line, int]] = {}  # captures of exchanges under way, by request id
        self._told_at = 0.0
        self._log, self._access_log = log, access_log
        self._quotas = quotas.Book()
        self._due: float | None = None
        self._flushed_at = 0.0
        self._tidy_at: float | None = None
        self._stopping = False
        self._paused_since: float | None = None
        self._backfill: search.Backfill | None = search.Backfill()

    def recover(self, interrupt: bool) -> None:
        """Mend what a recorder before this one left; with `interrupt`, nobody holds anything of it."""
        while True:
            try:
                self._store.recover(interrupt)
                self._resumed()
                return
            except (DatabaseError, OSError) as error:
                if not self.pause(error):
                    return

    def run(self) -> int:
        """Record until the supervisor's socket and all lines have ended. Gives the process's exit code."""
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
            if self.has_heard_all():
                self._end_orphans()
            self._tell_text()
            if self._log is not None:
                self._log.look(time.monotonic())
            if self._aside and time.monotonic() >= self._aside_at:
                self._try_aside(ASIDE_AT_ONCE)
            if self._due is not None and (time.monotonic() >= self._due or len(self._events) >= self._batch_size):
                self._flush()
            elif self._tidy_at is not None and time.monotonic() >= self._tidy_at:
                self._tidy()
        if self._flush():
            self._try_aside(len(self._aside))
        self._give_up(self._aside.ended(), self._trouble.why)
        with suppress(DatabaseError):
            self._store.fold_log()
        with suppress(OSError):
            self._control.send(self._missing.packed())
        return 1 if self._missing.count else 0

    def _give_up(self, count: int, why: str) -> None:
        self._missing = Missing(self._missing.count + count, self._missing.why or why)

    def _tidy(self) -> None:
        self._tidy_at = None
        with suppress(DatabaseError):
            if self._store.tidy():
                self._tidy_at = time.monotonic() + QUIET

    def _timeout(self) -> float | None:
        """Seconds until there is something to do, whatever comes."""
        log_due = self._log.due if self._log is not None else None
        aside_due = self._aside_at if self._aside else None
        due = [at for at in (self._due, self._tidy_at, log_due, aside_due) if at is not None]
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
            if self._trouble.why:
                self._tell(line, [_frame(TROUBLE, self._trouble)])
        self._awaits_lines |= b"A" in data
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
        for number, has_ended, events in found:
            self._note(events)
            for event in events:
                self._origins[event.live.begin.request_id] = line, number
            if has_ended:
                self._acks.append((line, number))
                self._schedule()

    def has_heard_all(self) -> bool:
        """Whether each web process has just told what it holds of the time before this recorder."""
        return self._awaits_lines and all(line.has_all for line in self._lines)

    def _end_orphans(self) -> None:
        """Mark as interrupted what a recorder before this one had begun and no web process holds any more."""
        self._awaits_lines = False
        while self._flush():
            try:
                self._store.interrupt(but=self._origins.keys())
                return
            except Exception as error:
                if not is_elsewhere(error):
                    logger.exception("exchanges that were cut off stay open until the next start")
                    return
                if not self.pause(error):
                    return

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
        events, self._events = self._aside.behind(self._events), []
        noted, batches = events, []
        while events:
            try:
                batches.append(self._store.apply(events))
                break
            except Exception as error:
                if not is_elsewhere(error):
                    events = self._one_by_one(events, batches)
                elif not self.pause(error):
                    self._give_up(sum(event.what == ENDED for event in events), self._trouble.why)
                    return False
        self._stored(noted, batches)
        return True

    def _stored(self, noted: list[Event], batches: list[Batch]) -> None:
        """Acknowledge and tell what has been written: `noted`, but for what was set aside."""
        if batches:
            self._resumed()
        if self._aside:
            noted = [event for event in noted if event.live.begin.request_id not in self._aside]
        self._acknowledge()
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

    def _acknowledge(self) -> None:
        by_line: dict[Line, list[bytes]] = {}
        acks, self._acks = self._acks, []
        for line, number in acks:
            if self._aside and self._aside.holds((line, number)):
                self._acks.append((line, number))
            else:
                by_line.setdefault(line, []).append(HEADER.pack(0, ACK, number, 0))
        for line, parts in by_line.items():
            line.tell(parts, must=True)

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
            origin, _ = self._origins.get(change.request_id, (None, 0))
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

    def _one_by_one(self, events: list[Event], batches: list[Batch]) -> list[Event]:
        """Apply events one exchange at a time. Gives those that database or disk would not take now; those that cannot be
        written for what they are, are recorded without that, or set aside."""
        by_exchange: dict[str, list[Event]] = {}
        for event in events:
            by_exchange.setdefault(event.live.begin.request_id, []).append(event)
        left: list[Event] = []
        for request_id, own in by_exchange.items():
            try:
                batches.append(self._store.apply(own))
            except Exception as error:
                if is_elsewhere(error):
                    left += own
                else:
                    self._record_less(request_id, own, error, batches)
        return left

    def _record_less(self, request_id: str, own: list[Event], error: Exception, batches: list[Batch]) -> None:
        """Record an exchange without its text, or its bare facts; where that fails as well, set it aside."""
        why, about = error, {"request_id": request_id}
        # A file that cannot be written says nothing against what should stand in it.
        ways = () if isinstance(error, OSError) else (self._store.without_text, self._store.bare_facts)
        for way, what in zip(ways, ("without its text", "with its bare facts only"), strict=False):
            try:
                batches.append(way(own))
            except Exception as another:
                error = another
                if is_elsewhere(error):
                    break
            else:
                message = "exchange %s could not be digested: it is recorded %s"
                logger.error(message, request_id, what, exc_info=why, extra=about)
                return
        if not self._aside:
            message = "exchange %s cannot be recorded (%s): it is held, as others may be that follow, and tried again"
            is_plain = is_elsewhere(error) or isinstance(error, OSError)
            logger.error(message, request_id, _reason(error), exc_info=None if is_plain else why, extra=about)
        self._aside.put(request_id, own, self._origins.get(request_id))
        self._aside_at = time.monotonic() + ASIDE_EVERY
        self._note_trouble(_reason(error), is_paused=False)

    def _try_aside(self, count: int) -> None:
        """Try some of what was set aside once more."""
        self._aside_at = time.monotonic() + ASIDE_EVERY
        batches: list[Batch] = []
        noted: list[Event] = []
        for request_id, kept in self._aside.take(count):
            try:
                batches.append(self._store.apply(kept.events))
            except Exception as error:
                if is_elsewhere(error):
                    self._aside.put(request_id, kept.events, kept.source)
                else:
                    self._record_less(request_id, kept.events, error, batches)
            noted += kept.events
        self._stored(noted, batches)
        if batches and not self._aside:
            logger.warning("all that could not be recorded is on record now")

    def _note_trouble(self, why: str, is_paused: bool) -> None:
        trouble = Trouble(why, is_paused, len(self._aside))
        if trouble != self._trouble:
            self._trouble = trouble
            for line in self._lines:
                self._tell(line, [_frame(TROUBLE, trouble)])

    def pause(self, error: Exception) -> bool:
        """Wait a moment because of `error`. False where the end cannot wait any longer."""
        now = time.monotonic()
        if self._paused_since is None:
            self._paused_since = now
            reason = _reason(error)
            logger.error("recording paused: %s; the proxy goes on, what comes is kept in memory (up to 64 MiB)", reason)
        self._note_trouble(_reason(error), is_paused=True)
        if self._stopping and now - self._paused_since > GIVE_UP_AFTER:
            return False
        connections.close_all()
        if self._stopping:
            time.sleep(RETRY_AFTER)
        elif select.select([self._control], [], [], RETRY_AFTER)[0]:
            self._from_supervisor()
        return True

    def _resumed(self) -> None:
        if self._paused_since is not None:
            logger.warning("recording resumed after %.0f s", time.monotonic() - self._paused_since)
            self._paused_since = None
        if self._trouble.why:
            self._note_trouble(self._trouble.why if self._aside else "", is_paused=False)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _frame(kind: int, value: msgspec.Struct) -> bytes:
    payload = msgspec.json.encode(value)
    return HEADER.pack(len(payload), kind, 0, 0) + payload


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
    recorder.recover(first)
    code = recorder.run()
    for output in (log, access_log):
        if output is not None:
            output.close(LAST)
    return code
