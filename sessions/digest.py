"""One exchange as it becomes known: frames in, facts out. No sockets, no database, no clock but the frames' own."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid5

import msgspec

from proxy.capture import BEGIN, END, REQUEST_BODY, REQUEST_END, RESPONSE_BODY, RESPONSE_HEAD, Begin, End, ResponseHead
from proxy.decoding import Decoder, Overflow, is_known
from routing.heads import header
from sessions.dialects import dialect_of, kind_of, response_parser
from sessions.dialects.facts import ResponseFacts
from sessions.dialects.websocket import SocketEnd, SocketMessage, SocketRequest, WebSocketSplitter
from sessions.news import Piece
from sessions.partial import Cursor

# Decoded bytes kept of one answer.
MAX_ANSWER = 32 << 20

OPENED, FIRST_TOKEN, ENDED = "opened", "first_token", "ended"


@dataclass(slots=True)
class Event:
    """Something to record: `what` happened to `live`."""

    what: str
    live: "Live"


@dataclass(slots=True)
class Live:
    """An exchange on its way into the record."""

    begin: Begin
    dialect: str
    kind: str
    transport: str = "http"
    request: bytes = b""
    capture: str = "full"
    opened: bool = False
    status: int | None = None
    response_headers: list[tuple[str, str]] = field(default_factory=list)
    head_us: int = 0
    first_token_us: int = 0
    first_chunk_us: int = 0
    last_chunk_us: int = 0
    end: End | None = None
    redacted: int = 0  # 1: the request, 2: all of it
    session_id: str | None = None  # that the request names, or what stands for it; "" if it names none
    redactions: Counter = field(default_factory=Counter)  # values replaced, by type
    has_row: bool = (
        False  # False where a recorder before this one recorded the request: what it replaced is not counted here
    )
    _chunks: list[bytes] = field(default_factory=list)
    _answer: list[bytes] = field(default_factory=list)
    _decoder: Decoder | None = None
    _is_broken: bool = False  # the answer does not decode
    _parser: Any = None
    _facts: ResponseFacts | None = None  # of an answer that was replaced

    @classmethod
    def of(cls, begin: Begin) -> "Live":
        """Start with the head of a request."""
        return cls(begin, dialect_of(begin.provider_type, begin.method, begin.path), kind_of(begin.method, begin.path))

    @property
    def answer(self) -> bytes:
        """The answer's bytes so far, decoded from their content coding."""
        return b"".join(self._answer)

    @property
    def has_parser(self) -> bool:
        """Whether the answer was read."""
        return self._parser is not None

    @property
    def facts(self) -> ResponseFacts:
        """What the answer says, as far as it came."""
        if self._facts is not None:
            return self._facts
        return self._parser.finish() if self._parser is not None else ResponseFacts()

    def replace_answer(self, data: bytes, facts: ResponseFacts | None) -> None:
        """Put `data` in place of the answer's bytes, and `facts` in place of what they say (None: nothing is known)."""
        self._answer, self._facts = [data], facts or ResponseFacts()

    @property
    def is_stream(self) -> bool:
        """Whether the answer comes as events."""
        return "text/event-stream" in header(self.response_headers, "content-type").lower()

    def told(self, cursor: Cursor) -> list[Piece]:
        """Give the answer's text that has come since `cursor` was last asked."""
        return cursor.take(self._parser) if self._parser is not None else []

    def told_by(self, cursor: Cursor, size: int) -> Iterator[Piece]:
        """Give the same in pieces of about `size` characters."""
        while self._parser is not None and not cursor.has_all(self._parser):
            yield from cursor.take(self._parser, size)

    def held_by(self, cursor: Cursor) -> list[Piece]:
        """Give what `cursor` holds back: the answer has ended."""
        return cursor.held(self._parser) if self._parser is not None else []

    def has_more_for(self, cursor: Cursor) -> bool:
        """Whether text has come that `cursor` has not taken."""
        return self._parser is not None and not cursor.has_all(self._parser)

    def feed(self, kind: int, when: int, payload: bytes) -> list[Event]:
        """Take a frame (proxy/capture.py); `when` is its clock reading in microseconds."""
        if kind == REQUEST_BODY:
            self._chunks.append(payload)
        elif kind == REQUEST_END:
            return self._open(payload.decode())
        elif kind == RESPONSE_HEAD:
            self.respond(msgspec.json.decode(payload, type=ResponseHead), when)
        elif kind == RESPONSE_BODY:
            return self.take(payload, when)
        elif kind == END:
            return self.finish(msgspec.json.decode(payload, type=End))
        return []

    def _open(self, capture: str = "") -> list[Event]:
        if self.opened:
            return []
        self.opened = True
        self.request = b"".join(self._chunks) if not capture else b""
        self.capture = capture or self.capture
        self._chunks = []
        return [Event(OPENED, self)]

    def respond(self, head: ResponseHead, when: int) -> None:
        """Take the answer's head."""
        self.status, self.response_headers, self.head_us = head.status, head.headers, when
        named = {name.lower(): value for name, value in head.headers}
        self._parser = response_parser(self.dialect, named.get("content-type", ""), head.status)
        coding = named.get("content-encoding", "")
        if is_known(coding):
            self._decoder = Decoder(coding, MAX_ANSWER)
        else:
            self._parser = None  # kept as it came

    def take(self, data: bytes, when: int) -> list[Event]:
        """Take bytes of the answer."""
        self.first_chunk_us = self.first_chunk_us or when
        self.last_chunk_us = when
        if self.capture != "full" or self._is_broken:
            return []
        if self._decoder is not None:
            try:
                data = self._decoder.feed(data)
            except Overflow:
                return self._drop_answer("truncated")
            except ValueError:
                # Not what its header says: kept as far as it made sense.
                self._decoder, self._parser, self._is_broken = None, None, True
                return []
        elif self._parser is not None:
            return []
        self._answer.append(data)
        if self._parser is not None:
            self._parser.feed(data)
            if not self.first_token_us and self._parser.first_token:
                self.first_token_us = when
                return [Event(FIRST_TOKEN, self)]
        return []

    def strip(self) -> None:
        """Keep the facts only."""
        self.request, self.dialect = b"", ""
        self._drop_answer("metadata")

    def _drop_answer(self, capture: str) -> list[Event]:
        self.capture, self._answer, self._decoder, self._parser, self._facts = capture, [], None, None, None
        return []

    def finish(self, end: End) -> list[Event]:
        """Take the end."""
        if self.end is not None:
            return []
        if end.capture != "full":
            self._drop_answer(end.capture)
            self._chunks = []
        events = self._open("" if end.capture == "full" else end.capture)
        self.end = end
        return [*events, Event(ENDED, self)]


class Socket:
    """A WebSocket connection: each request on it, with the messages up to the end of its answer, is an exchange."""

    def __init__(self, begin: Begin, head: ResponseHead) -> None:
        self._begin, self._head = begin, head
        self._splitter = WebSocketSplitter(begin.headers, head.headers)
        self._live: Live | None = None
        self._count = 0
        self._received = self._messages = 0

    def client(self, data: bytes, when: int) -> list[Event]:
        """Take bytes that the client sent."""
        return self._events(self._splitter.client(data), when)

    def upstream(self, data: bytes, when: int) -> list[Event]:
        """Take bytes that the provider sent."""
        return self._events(self._splitter.upstream(data), when)

    def close(self, end: End) -> list[Event]:
        """Take the connection's end: an answer that was under way is broken off."""
        message = end.error_message or "the connection closed before the answer was complete"
        return self._end(end.completed_us, end.error or "upstream_broken", message)

    def _events(self, found: list, when: int) -> list[Event]:
        events: list[Event] = []
        for event in found:
            if isinstance(event, SocketRequest):
                events += self._end(when, "upstream_broken", "the next request came before the answer was complete")
                events += self._start(event.body, when)
            elif self._live is None:
                continue
            elif isinstance(event, SocketMessage):
                self._received += len(event.data)
                self._messages += 1
                # As the HTTP API would have streamed it, so that one parser and one page serve both.
                events += self._live.take(b"data: " + event.data + b"\n\n", when)
            elif isinstance(event, SocketEnd):
                events += self._end(when)
        return events

    def _start(self, body: bytes, when: int) -> list[Event]:
        self._count += 1
        self._received = self._messages = 0
        request_id = str(uuid5(UUID(self._begin.request_id), str(self._count)))
        begin = msgspec.structs.replace(self._begin, request_id=request_id, started_us=when, upgrade=False)
        live = self._live = Live(begin, "openai-responses", "model", transport="ws")
        live.respond(ResponseHead(200, [("content-type", "text/event-stream")]), when)
        live._chunks = [body]
        return live._open()

    def _end(self, when: int, error: str | None = None, message: str | None = None) -> list[Event]:
        live, self._live = self._live, None
        if live is None:
            return []
        took = (when - live.begin.started_us) / 1e3
        first = (live.first_chunk_us - live.begin.started_us) / 1e3 if live.first_chunk_us else None
        end = End(
            completed_us=when, duration_ms=took, overhead_before_ms=0.0, overhead_after_ms=0.0, provider_latency_ms=took,
            first_byte_ms=first, request_bytes=len(live.request), response_bytes=self._received,
            chunk_count=self._messages, attempts=1, error=error, error_message=message,
        )  # fmt: skip
        return live.finish(end)


class Capture:
    """The frames of one number: an exchange, or a WebSocket connection with many."""

    def __init__(self) -> None:
        self._live: Live | None = None
        self._socket: Socket | None = None
        self.ended = False

    def feed(self, kind: int, when: int, payload: bytes) -> list[Event]:
        """Take a frame; gives what is to be recorded now."""
        if kind == BEGIN:
            self._live = Live.of(msgspec.json.decode(payload, type=Begin))
            return []
        live = self._live
        if live is None:
            return []
        if kind == END:
            self.ended = True
        if kind == RESPONSE_HEAD and live.begin.upgrade:
            head = msgspec.json.decode(payload, type=ResponseHead)
            if head.status == 101:
                self._socket = Socket(live.begin, head)
                return []
        if self._socket is None:
            # The head of an upgrade has no body: it is recorded as a request only if it is refused.
            if kind == REQUEST_END and live.begin.upgrade:
                return []
            return live.feed(kind, when, payload)
        if kind == REQUEST_BODY:
            return self._socket.client(payload, when)
        if kind == RESPONSE_BODY:
            return self._socket.upstream(payload, when)
        if kind == END:
            return self._socket.close(msgspec.json.decode(payload, type=End))
        return []

    @property
    def has_begun(self) -> bool:
        """Whether it is known what was asked."""
        return self._live is not None

    def broken_off(self, when: int, error: str, message: str) -> list[Event]:
        """What is under way ends here: its own end does not come."""
        self.ended = True
        if self._socket is not None:
            return self._socket._end(when, error, message)
        live = self._live
        if live is None or live.end is not None or (live.begin.upgrade and live.status is None):
            return []
        took = (when - live.begin.started_us) / 1e3
        return live.finish(
            End(
                completed_us=when, duration_ms=took, overhead_before_ms=0.0, overhead_after_ms=0.0,
                provider_latency_ms=None, first_byte_ms=None, request_bytes=len(live.request),
                response_bytes=0, chunk_count=0, attempts=1, error=error, error_message=message,
            )
        )  # fmt: skip
