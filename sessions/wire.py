"""The recorder's end of a line: a web process's frames in, what they come to out; and what it is told."""

import logging
import socket
import time
from contextlib import suppress

import msgspec

from proxy.capture import END, HEADER, HELD, WATCH
from sessions.digest import Capture, Event

logger = logging.getLogger("lunaroute.recorder")

READ_SIZE = 1 << 18
# Bytes that wait for a web process that does not read; what is told beyond that is dropped.
MAX_WAITING = 1 << 20


class Line:
    """The socket of one web process, and its captures that have not ended."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.captures: dict[int, Capture] = {}
        self.has_all = False  # whether all has come that the web process held when the line was made
        self.watched: dict[str, str] = {}  # session id → who watches: it changes with each who comes
        self.waiting = bytearray()  # to be sent
        self._buffer = bytearray()

    def read(self) -> list[tuple[int, bool, list[Event]]] | None:
        """Take what has come. Gives (number of a capture, whether it has ended, events), or None at the end."""
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

    def _feed(self, kind: int, number: int, when: int, payload: bytes) -> tuple[int, bool, list[Event]]:
        if kind in (WATCH, HELD):
            self.has_all |= kind == HELD
            with suppress(ValueError):
                self.watched = msgspec.json.decode(payload, type=dict[str, str]) if kind == WATCH else self.watched
            return 0, False, []
        capture = self.captures.get(number)
        if capture is None:
            capture = self.captures[number] = Capture()
        try:
            events = capture.feed(kind, when, payload)
        except Exception:
            logger.exception("a frame of kind %d could not be read: its exchange is recorded as far as it was", kind)
            # An exchange whose end is not understood has ended all the same.
            events = (
                capture.broken_off(when, "internal", "what came of its end could not be read") if kind == END else []
            )
        if capture.ended:
            del self.captures[number]
        # Of what has no beginning nothing can be recorded, so nothing is acknowledged either.
        return number, capture.ended and capture.has_begun, events

    def lost(self) -> list[Event]:
        """The web process has gone: give the ends of what was under way."""
        now = time.time_ns() // 1000
        error, message = "interrupted", "LunaRoute ended before the answer was complete"
        return [event for capture in self.captures.values() for event in capture.broken_off(now, error, message)]
