"""The recorder: a process that turns what the proxy captures into the record.

The supervisor hands it lines (sockets) to web processes over `control`. Frames come in, events are collected for a
moment and applied in one transaction, and only then acknowledged: what was not acknowledged, the proxy sends again.
"""

import logging
import os
import selectors
import signal
import socket
import time
from contextlib import suppress

from django.conf import settings
from django.db import DatabaseError, OperationalError, connections

from proxy.capture import ACK, HEADER
from sessions import search
from sessions.digest import Capture, Event
from sessions.store import Store

logger = logging.getLogger("lunaroute.recorder")

# Seconds between attempts while nothing can be written, and that the end may wait for that.
RETRY_AFTER, GIVE_UP_AFTER = 1.0, 10.0
READ_SIZE = 1 << 18
# Seconds in which what belongs together comes together, and after which there is time for what was recorded earlier.
GATHER, QUIET = 0.005, 0.02


class Line:
    """The socket of one web process, and its captures that have not ended."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.captures: dict[int, Capture] = {}
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
            payload = bytes(buffer[at + size : at + size + length])
            at += size + length
            out.append(self._feed(kind, number, when, payload))
        del buffer[:at]
        return out

    def _feed(self, kind: int, number: int, when: int, payload: bytes) -> tuple[int, list[Event]]:
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


class Recorder:
    """The loop."""

    def __init__(self, control: socket.socket, store: Store, batch_size: int, batch_seconds: float) -> None:
        self._store, self._control = store, control
        self._batch_size, self._batch_seconds = batch_size, batch_seconds
        self._selector = selectors.DefaultSelector()
        self._lines: set[Line] = set()
        self._events: list[Event] = []
        self._acks: list[tuple[Line, int]] = []
        self._due: float | None = None
        self._flushed_at = 0.0
        self._stopping = False
        self._paused_since: float | None = None
        self._backfill: search.Backfill | None = search.Backfill()

    def run(self) -> int:
        """Record until the supervisor's socket and all lines have ended. Gives the process's exit code."""
        self._control.setblocking(False)
        self._selector.register(self._control, selectors.EVENT_READ, None)
        while self._lines or not self._stopping:
            timeout = None if self._due is None else max(self._due - time.monotonic(), 0)
            is_behind = self._due is None and self._backfill is not None
            ready = self._selector.select(QUIET if is_behind else timeout)
            if is_behind and not ready:
                self._catch_up()
            for key, _ in ready:
                if key.data is None:
                    self._from_supervisor()
                else:
                    self._from_line(key.data)
            if self._due is not None and (time.monotonic() >= self._due or len(self._events) >= self._batch_size):
                self._flush()
        return 0 if self._flush() else 1

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
        events, self._events = self._events, []
        acks, self._acks = self._acks, []
        while events:
            try:
                self._store.apply(events)
                self._resumed()
                break
            except (DatabaseError, OSError) as error:
                if not self.pause(error):
                    return False
            except Exception:
                events = self._without_poison(events)
        by_line: dict[Line, list[bytes]] = {}
        for line, number in acks:
            by_line.setdefault(line, []).append(HEADER.pack(0, ACK, number, 0))
        for line, parts in by_line.items():
            with suppress(OSError):
                line.sock.setblocking(True)
                line.sock.sendall(b"".join(parts))
                line.sock.setblocking(False)
        return True

    def _without_poison(self, events: list[Event]) -> list[Event]:
        """Apply events one exchange at a time; one that cannot be digested is left out, and said so."""
        by_exchange: dict[str, list[Event]] = {}
        for event in events:
            by_exchange.setdefault(event.live.begin.request_id, []).append(event)
        left: list[Event] = []
        for request_id, own in by_exchange.items():
            try:
                self._store.apply(own)
            except (DatabaseError, OSError):
                left += own
            except Exception:
                logger.exception("exchange %s could not be digested: it is recorded without its text", request_id)
                for event in own:
                    event.live.strip()
                with suppress(Exception):
                    self._store.apply(own)
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


def run(control: socket.socket, first: bool = True) -> int:
    """Record what comes over `control`'s lines. `first`: no proxy of this home holds anything from before."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the supervisor says when it is over
    with suppress(OSError):
        os.nice(5)  # streams come first
    config = settings.LUNAROUTE
    recording = config.session_recording
    identity = f"{socket.gethostname()}:{config.home}"
    store = Store(identity, recording.sessions_dir, recording.jsonl.enabled, recording.capture_user_agent)
    recorder = Recorder(control, store, recording.worker.batch_size, recording.worker.batch_timeout_ms / 1e3)
    while True:
        try:
            store.recover(interrupt=first)
            break
        except (DatabaseError, OSError) as error:
            recorder.pause(error)
    return recorder.run()
