"""The proxy's end of the recorder's line: holds each exchange's frames until the recorder says it has them.

Nothing here waits. Frames are references to bytes that the proxy had in hand anyway; they are written soon after the
answer is out. If the recorder dies, a new one gets everything again that was not acknowledged. What is held is bounded:
past `MAX_HELD` an exchange keeps its facts but not its bodies.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from itertools import count
from time import time_ns

import msgspec

from proxy.capture import (
    ACK,
    BEGIN,
    END,
    HEADER,
    HELD,
    MAX_PAYLOAD,
    REQUEST_BODY,
    REQUEST_END,
    RESPONSE_BODY,
    RESPONSE_HEAD,
    TROUBLE,
    WATCH,
    Begin,
    End,
    ResponseHead,
    Trouble,
)  # fmt: skip

logger = logging.getLogger("lunaroute.recorder")
encode = msgspec.json.Encoder().encode

# Bytes held for the recorder in all, and of one body: a longer one is recorded without its text.
MAX_HELD = 64 << 20
MAX_BODY = 32 << 20
# What an exchange without bodies counts for, so that their number is bounded too.
OVERHEAD = 2048
# Seconds that the end waits for a recorder that acknowledges nothing, until another one takes its place and then; and for one
# that says that it cannot write.
HANGS_AFTER, PATIENCE, TROUBLE_PATIENCE = 5.0, 10.0, 3.0
# Seconds for which the chunks of a running answer are collected before they go to the recorder.
STREAM_DELAY = 0.05
# Seconds for which ended exchanges are collected: long enough to share a write, short against the 200 ms that a crash may cost.
END_DELAY = 0.015


class Capture:
    """One exchange on its way to the record."""

    __slots__ = ("_body_bytes", "_frames", "_link", "_sent", "ended", "held", "mode", "number", "queued")

    def __init__(self, link: "RecorderLink", number: int, begin: Begin) -> None:
        self._link, self.number = link, number
        self._frames: list[tuple[int, int, object]] = []
        self._sent = 0
        self._body_bytes = 0
        self.held = OVERHEAD
        self.mode = "full"
        self.ended = False
        self.queued = False
        self._add(BEGIN, begin)

    def request_body(self, data: bytes) -> None:
        self._add_body(REQUEST_BODY, data)

    def request_end(self) -> None:
        self._body_bytes = 0
        self._add(REQUEST_END, b"" if self.mode == "full" else self.mode.encode())

    def response_head(self, head: ResponseHead) -> None:
        self._add(RESPONSE_HEAD, head)

    def response_body(self, data: bytes) -> None:
        self._add_body(RESPONSE_BODY, data)

    def end(self, end: End) -> None:
        """End the capture."""
        self.ended = True
        self._add(END, end)
        self._link.ended(self)

    def _add(self, kind: int, payload: object) -> None:
        self._frames.append((kind, time_ns() // 1000, payload))
        if not self.queued:
            self._link.queue(self)

    def _add_body(self, kind: int, data: bytes) -> None:
        if self.mode != "full" or not data:
            return
        size = len(data)
        self._body_bytes += size
        if self._body_bytes > MAX_BODY:
            self.drop_bodies("truncated")
        elif self._link.held + size > MAX_HELD:
            self.drop_bodies("metadata")
            self._link.count_dropped()
        else:
            self.held += size
            self._link.held += size
            self._add(kind, data)

    @property
    def ended_us(self) -> int:
        """When it ended, by the wall clock."""
        return self._frames[-1][1]

    def drop_bodies(self, mode: str) -> None:
        """Keep the facts only. Bodies that went out already are ignored by the recorder, as END names the mode."""
        self.mode = mode
        self._link.held -= self.held - OVERHEAD
        self.held = OVERHEAD
        bodies_sent = sum(kind in (REQUEST_BODY, RESPONSE_BODY) for kind, _, _ in self._frames[: self._sent])
        self._sent -= bodies_sent
        self._frames = [frame for frame in self._frames if frame[0] not in (REQUEST_BODY, RESPONSE_BODY)]

    def take(self, again: bool = False) -> list[bytes]:
        """Give the frames that the recorder has not got, as parts to write; all of them if `again`."""
        if again:
            self._sent = 0
        frames, parts = self._frames, []
        at, last = self._sent, len(frames)
        while at < last:
            kind, when, payload = frames[at]
            at += 1
            if kind == RESPONSE_BODY:
                # A stream's many small chunks become one frame, here and for a recorder that asks again.
                first = at - 1
                size = len(payload)
                while at < last and frames[at][0] == RESPONSE_BODY and size < MAX_PAYLOAD:
                    size += len(frames[at][2])
                    at += 1
                if at - first > 1:
                    payload = b"".join([frame[2] for frame in frames[first:at]])
                    frames[first:at] = [(kind, when, payload)]
                    at, last = first + 1, len(frames)
            elif kind in (BEGIN, RESPONSE_HEAD, END):
                payload = encode(payload)
            self._pack(parts, kind, when, payload)
        self._sent = last
        return parts

    def _pack(self, parts: list[bytes], kind: int, when: int, payload: bytes) -> None:
        if len(payload) <= MAX_PAYLOAD:
            head = HEADER.pack(len(payload), kind, self.number, when)
            if len(payload) < 4096:
                parts.append(head + payload)
            else:
                parts += (head, payload)
            return
        for start in range(0, len(payload), MAX_PAYLOAD):
            self._pack(parts, kind, when, payload[start : start + MAX_PAYLOAD])


class RecorderLink:
    """The line to the recorder of this process. `attach` gives it a socket, again after a recorder was replaced.

    `on_news(kind, payload)` gets the recorder's frames that are no acknowledgement. It must return at once.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, on_news: Callable[[int, bytes], None] = lambda kind, payload: None
    ) -> None:
        self.held = 0  # bytes
        self.dropped = 0  # exchanges recorded without bodies, or not at all
        self.unrecorded = 0  # those that are not recorded at all
        self.trouble = Trouble()  # what the recorder last said of itself
        self._loop, self._on_news = loop, on_news
        self._watched = b""
        self._numbers = count(1)
        self._captures: dict[int, Capture] = {}
        self._queue: list[Capture] = []
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._soon = False
        self._incoming = b""
        self._warned = False
        self._news: asyncio.Future | None = None  # done when the recorder has said something

    def begin(self, begin: Begin) -> Capture | None:
        """Start a capture, or give None where even the facts have no more room."""
        if self.held + OVERHEAD > MAX_HELD + (16 << 20):
            self.count_dropped()
            self.unrecorded += 1
            return None
        self.held += OVERHEAD
        capture = Capture(self, next(self._numbers), begin)
        self._captures[capture.number] = capture
        return capture

    def queue(self, capture: Capture) -> None:
        capture.queued = True
        self._queue.append(capture)
        if self._timer is None:
            self._timer = self._loop.call_later(STREAM_DELAY, self._flush)

    def ended(self, capture: Capture) -> None:
        if not self._soon:
            self._soon = True
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_later(END_DELAY, self._flush)

    def count_dropped(self) -> None:
        self.dropped += 1
        if not self._warned:
            self._warned = True
            logger.warning(
                "the recorder is behind by %d MiB: exchanges are recorded without their text for now", self.held >> 20
            )

    def _flush(self) -> None:
        self._timer, self._soon = None, False
        if self._transport is None or self._paused:
            return  # `attach` or `resume_writing` flushes
        queue, self._queue = self._queue, []
        parts: list[bytes] = []
        for capture in queue:
            capture.queued = False
            parts += capture.take()
        if parts:
            self._transport.writelines(parts)

    async def attach(self, sock: socket.socket) -> None:
        """Take `sock` as the line, and send all that was never acknowledged again."""
        if self._transport is not None:
            self._transport.abort()
        self._transport, self._incoming, self._paused, self.trouble = None, b"", False, Trouble()
        sock.setblocking(False)
        self._transport, _ = await self._loop.create_unix_connection(lambda: _Line(self), sock=sock)
        self._transport.set_write_buffer_limits(high=4 << 20)
        if self._watched:
            self._send_watched()
        self._queue = []
        for capture in list(self._captures.values()):
            capture.queued = False
            parts = capture.take(again=True)
            if parts:
                self._transport.writelines(parts)
        self._transport.write(HEADER.pack(0, HELD, 0, 0))

    def watch(self, payload: bytes) -> None:
        """Tell the recorder which sessions are looked at; a recorder that comes later is told too."""
        self._watched = payload
        self._send_watched()

    def _send_watched(self) -> None:
        # A recorder that does not read gets no more of it: the next one tells all there is to know.
        if self._transport is not None and not self._paused:
            self._transport.write(HEADER.pack(len(self._watched), WATCH, 0, 0) + self._watched)

    @property
    def is_attached(self) -> bool:
        """Whether a recorder is at the other end."""
        return self._transport is not None

    def seconds_behind(self) -> float:
        """Give for how long the exchange has waited that ended first of those that are not on record yet."""
        now_us = time_ns() // 1000
        ends = [capture.ended_us for capture in list(self._captures.values()) if capture.ended]
        return max(now_us - min(ends), 0) / 1e6 if ends else 0.0

    def unacknowledged(self) -> int:
        """Give how many exchanges have ended and are not on record yet."""
        return sum(capture.ended for capture in self._captures.values())

    async def drained(self, patience: float, on_progress: Callable[[], None]) -> bool:
        """Wait until the recorder has acknowledged all that has ended; call `on_progress` when it has acknowledged more.

        False where it acknowledges nothing for `patience` seconds."""
        self._flush()
        while left := self.unacknowledged():
            deadline = self._loop.time() + patience
            while self.unacknowledged() == left:
                if self.trouble.why:
                    deadline = min(deadline, self._loop.time() + TROUBLE_PATIENCE)
                self._news = self._loop.create_future()
                try:
                    await asyncio.wait_for(self._news, deadline - self._loop.time())
                except TimeoutError:
                    return False
            on_progress()
        return True

    def close(self) -> None:
        """Say that nothing more comes."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def received(self, data: bytes) -> None:
        data = self._incoming + data
        at, size = 0, HEADER.size
        while len(data) - at >= size:
            length, kind, number, _ = HEADER.unpack_from(data, at)
            if len(data) - at - size < length:
                break
            at += size + length
            if kind == ACK:
                capture = self._captures.pop(number, None)
                if capture is not None:
                    self.held -= capture.held
            elif kind == TROUBLE:
                self.trouble = msgspec.json.decode(data[at - length : at], type=Trouble)
            else:
                self._on_news(kind, data[at - length : at])
        self._incoming = data[at:]
        if self._warned and self.held < MAX_HELD // 4:
            self._warned = False
            logger.warning("the recorder has caught up: %d exchanges were recorded without their text", self.dropped)
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def paused(self, paused: bool) -> None:
        self._paused = paused
        if not paused:
            self._flush()

    def lost(self, line: "_Line") -> None:
        if self._transport is line.transport:
            self._transport = None


class _Line(asyncio.Protocol):
    """asyncio's callbacks for one socket of a link; a late one of a dead recorder does no harm."""

    def __init__(self, link: RecorderLink) -> None:
        self._link = link
        self.transport = None

    def connection_made(self, transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._link.received(data)

    def pause_writing(self) -> None:
        self._link.paused(True)

    def resume_writing(self) -> None:
        self._link.paused(False)

    def connection_lost(self, exc: Exception | None) -> None:
        self._link.lost(self)
