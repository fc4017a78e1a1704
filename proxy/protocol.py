"""The data plane's HTTP/1.1 side: bytes of a client in, ASGI events to the application, bytes out.

llhttp parses. A connection's requests are answered one after another; what a client sends ahead waits. Requests
for LunaRoute's own pages never get here: `data_received` looks at the first line of each request and hands the
connection over before anything is parsed.

Beyond ASGI's own, an application may send ``http.response.start`` with ``reason`` (bytes), with a 1xx status
before the real one, and with status 101, after which request and response bodies are the raw bytes of the upgraded connection.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import unquote

import httptools

from proxy.descriptors import NO_MORE
from proxy.errors import error_body, error_headers
from proxy.forwarded import place_of
from proxy.headers import Headers, first
from proxy.targets import split, with_host
from proxy.waiting import BODY, KEPT, UNUSED, Pace, Room
from routing.paths import dialect_of_path, is_own

# Bytes in one direction at which the other side is held up, per stream.
HIGH_WATER = 256 * 1024
NO_FORWARD_PROXY = (
    "LunaRoute is no forward proxy (HTTPS_PROXY): name it in ANTHROPIC_BASE_URL or OPENAI_BASE_URL instead."
)
# A request line and headers beyond this are not HTTP from a coding assistant.
MAX_HEAD = 256 * 1024
MAX_PIPELINED = 8
# Seconds to read on after an early answer.
LINGER = 1

REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
BODILESS = (204, 304)


class BadRequest(Exception):
    """Why a request that llhttp would take is refused all the same, in a sentence."""


TOO_LONG = "The request's head is longer than 256 KiB."
TOO_SLOW = "The request's body came too slowly (http_server.body_timeout_secs, http_server.min_body_bytes_per_sec)."
NOT_READ = "the client read nothing of its answer (http_server.idle_timeout_secs)"


class ServerContext:
    """What all connections of a server share.

    `hand_over` takes the connection of a request for LunaRoute's own pages: (socket transport, bytes so far). `room` has
    those connections, too.
    """

    def __init__(self, app, loop: asyncio.AbstractEventLoop, max_body: int, hand_over: Callable, room: Room) -> None:
        self.app, self.loop, self.max_body, self.hand_over, self.room = app, loop, max_body, hand_over, room
        self.connections: set[HttpProtocol] = set()
        self.draining = False

    def sweep(self) -> None:
        """End what has waited for its client too long. Called now and then."""
        now = self.loop.time()
        self.room.look(now)

    def drain(self) -> None:
        """Close idle connections now, and the others when their answer is out."""
        self.draining = True
        for connection in list(self.connections):
            if connection.cycle is None:
                connection.transport.close()


class Cycle:
    """One request and its answer: the `receive` and `send` of an ASGI application."""

    __slots__ = (
        "_body", "_head", "_queued", "_waiter", "bodiless", "body_complete", "chunked", "continued", "disconnected", "expected",
        "finished", "keep_alive", "pace", "protocol", "rejected", "scope", "started", "status", "task", "tunnel",
    )  # fmt: skip

    def __init__(self, protocol: "HttpProtocol", scope: dict, keep_alive: bool) -> None:
        self.protocol, self.scope, self.keep_alive = protocol, scope, keep_alive
        self._body: deque[bytes] = deque()
        self._queued = 0
        self._waiter: asyncio.Future | None = None
        self._head = b""
        self.body_complete = self.disconnected = self.started = self.finished = self.continued = False
        self.rejected = ""  # why no more of the body is taken: the name of an error
        self.pace: Pace | None = None  # of a body, where somebody has waited for it
        self.chunked = self.tunnel = self.bodiless = False
        self.expected = None  # bytes of the body still to send; None where chunked or until close
        self.status = 0
        self.task: asyncio.Task | None = None

    # -- the client's side -----------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        if self.finished or self.rejected:
            return  # the rest of a request that was answered early
        self._body.append(data)
        self._queued += len(data)
        if self._queued > HIGH_WATER:
            self.protocol.pause_reading()
        self._wake()

    def feed_eof(self) -> None:
        self.body_complete = True
        self._wake()

    def reject_body(self, why: str) -> None:
        self.rejected = why
        self._wake()

    @property
    def is_awaiting(self) -> bool:
        """Whether the application waits for more of the body, and has been given all that came."""
        waiter = self._waiter
        return waiter is not None and not waiter.done() and not self.tunnel

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def receive(self) -> dict:
        """Give the body's bytes that have come, waiting for some; then ``http.disconnect``."""
        while not self._body and not self.body_complete:
            if self.rejected:
                return {"type": "http.disconnect", "reason": self.rejected}
            if self.disconnected or self.finished:
                return {"type": "http.disconnect"}
            self._waiter = self.protocol.context.loop.create_future()
            await self._waiter
        if not self._body and self.tunnel:
            return {"type": "http.disconnect"}
        body = self._body.popleft() if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        self._queued = 0
        self.protocol.resume_reading()
        return {"type": "http.request", "body": body, "more_body": not self.body_complete}

    # -- the application's side ------------------------------------------------------------------------------

    async def send(self, message: dict) -> None:
        protocol = self.protocol
        if self.disconnected:
            raise ConnectionResetError("the client has gone away")
        if message["type"] == "http.response.start":
            status = message["status"]
            if 100 <= status < 200 and status != 101:
                self.continued = True
                if self.scope["http_version"] == "1.1":
                    protocol.transport.write(_head(status, b"", message["headers"]) + b"\r\n")
                return
            self._start(status, message)
            return
        body = message.get("body", b"")
        more = message.get("more_body", False)
        self._write(body, last=not more)
        if not more:
            self.finish()
        elif protocol.writing_paused:
            await protocol.drain()

    def _start(self, status: int, message: dict) -> None:
        headers = message["headers"]
        self.started, self.status = True, status
        head = _head(status, message.get("reason", b""), headers)
        if status == 101:
            self.protocol.begin_tunnel(self)
            self.protocol.transport.write(head + b"\r\n")
            return
        length = None
        for name, value in headers:
            if len(name) == 14 and name.lower() == b"content-length":
                length = int(value)
        no_body = status in BODILESS or self.scope["method"] == "HEAD"
        if no_body:
            self.bodiless, self.expected = True, 0
        elif length is not None:
            self.expected = length
        elif self.scope["http_version"] == "1.1":
            self.chunked = True
            head += b"transfer-encoding: chunked\r\n"
        else:
            self.keep_alive = False  # the end of the connection is the end of the body
        if not self.body_complete or self.protocol.context.draining:
            self.keep_alive = False
        if not self.keep_alive:
            head += b"connection: close\r\n"
        elif self.scope["http_version"] == "1.0":
            head += b"connection: keep-alive\r\n"
        self._head = head + b"\r\n"
        # Head and first bytes go out in one write where they are there together; else the head goes alone.
        self.protocol.context.loop.call_soon(self._flush_head)

    def _flush_head(self) -> None:
        head, self._head = self._head, b""
        if head and not self.disconnected:
            self.protocol.transport.write(head)

    def _write(self, body: bytes, last: bool) -> None:
        head, self._head = self._head, b""
        if self.bodiless:
            body = b""
        if self.chunked:
            if body:
                head += b"%x\r\n" % len(body)
                tail = b"\r\n0\r\n\r\n" if last else b"\r\n"
            else:
                tail = b"0\r\n\r\n" if last else b""
            parts = [head, body, tail] if len(body) > 4096 else [head + body + tail]
        else:
            if self.expected is not None:
                self.expected -= len(body)
            parts = [head, body] if len(body) > 4096 else [head + body]
        if len(parts) > 1:
            self.protocol.transport.writelines(parts)
        elif parts[0]:
            self.protocol.transport.write(parts[0])

    def finish(self) -> None:
        """End the answer; the connection serves the next request or closes."""
        if not self.finished:
            self.finished = True
            self._wake()
            self.protocol.cycle_finished(self)

    def break_off(self) -> None:
        """End the connection so that the client sees that the answer is not complete."""
        if self.finished:
            return
        self.finished = True
        transport = self.protocol.transport
        self._flush_head()
        if self.chunked or self.expected:
            transport.close()  # what was written still goes out; the framing tells that more was due
        else:
            _reset(transport)


class HttpProtocol(asyncio.Protocol):
    """One client connection."""

    def __init__(self, context: ServerContext) -> None:
        self.context = context
        self.transport: asyncio.Transport | None = None
        self.cycle: Cycle | None = None  # the one being answered
        self.reading: Cycle | None = None  # the one whose body is being read
        self.idle_since = context.loop.time()
        self.mid_head = False
        self.writing_paused = False
        self._waiting: deque[Cycle] = deque()
        self._parser: httptools.HttpRequestParser | None = None
        self.first_line = b""  # of a request, as far as it has come
        self._drain_waiter: asyncio.Future | None = None
        self._reading_paused = False
        self._closing = False
        self._peers: tuple = (None, None)
        self._head_bytes = 0  # of the target and complete headers
        self._received_bytes = 0  # without a byte of a body, or the end of a head
        self._looked = False  # whether `_peek` has seen the request that is being read
        self._body_framing = b""  # of a body that llhttp does not read by itself
        self._read_bytes = 0  # of the last request's body
        self._has_served = False
        self._is_for_pages = False  # it has a descriptor of those that are kept for them
        self._unread: asyncio.Future | None = None  # for what was written to be read, when it was last looked at
        self._looked_at = 0.0  # since when that has not changed

    # -- asyncio ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        transport.set_write_buffer_limits(high=HIGH_WATER)
        self.context.connections.add(self)
        self._peers = (_address(transport, "peername"), _address(transport, "sockname"))
        sock = transport.get_extra_info("socket")
        self._is_for_pages = not self.context.room.come(self, self._address, sock.fileno() if sock is not None else 0)

    def connection_lost(self, exc: Exception | None) -> None:
        self.context.connections.discard(self)
        self.context.room.gone(self, self._address)
        self._closing = True
        for cycle in (self.cycle, *self._waiting):
            if cycle is not None and not cycle.finished:
                cycle.disconnected = True
                cycle._wake()
                if cycle.task is not None:
                    cycle.task.cancel()
        self.resume_writing()

    def eof_received(self) -> bool:
        return False  # who closes its side has gone: nothing waits for an answer it may not read

    def pause_writing(self) -> None:
        self.writing_paused = True

    def resume_writing(self) -> None:
        self.writing_paused = False
        waiter, self._drain_waiter = self._drain_waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def drain(self) -> None:
        self._drain_waiter = self.context.loop.create_future()
        await self._drain_waiter

    def pause_reading(self) -> None:
        if not self._reading_paused and not self._closing:
            self._reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self._reading_paused and not self._closing and len(self._waiting) < MAX_PIPELINED:
            self._reading_paused = False
            self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        cycle = self.cycle
        if cycle is not None and (cycle.tunnel or cycle.scope["upgrade"]):
            cycle.feed(data)
            return
        if cycle is None and not self.mid_head and not self._peek(data):
            return
        data, self.first_line = self.first_line or data, b""
        self._received_bytes += len(data)
        self._parse(data)
        if self._received_bytes > MAX_HEAD and not self._closing:
            if self.mid_head:
                self._refuse(400, TOO_LONG)
            elif self.reading is not None and not self.reading.body_complete:
                self._refuse(400, "Chunk extensions or trailers are longer than 256 KiB.")

    def _peek(self, data: bytes) -> bool:
        """Look at the first line: ours is handed over (False), another's parsed (True), half a line waits (False)."""
        began = bool(self.first_line)
        data = (self.first_line + data).lstrip(b"\r\n")
        if data and not began:  # empty lines are the begin of nothing
            self.idle_since = self.context.loop.time()
        self.first_line = data
        end = data.find(b"\n")
        if end < 0:
            if len(data) > MAX_HEAD:
                self._refuse(400, "The request line is longer than 256 KiB.")
            elif data and not data[:1].isalpha():
                self._refuse(400, "This is not an HTTP/1.1 request.")
            return False
        words = data[:end].split()
        target = words[1] if len(words) > 1 else b""
        if len(words) == 3 and words[2].startswith(b"HTTP/1") and is_own(_path_of(split(target)[1])):
            self._closing = True
            self.context.connections.discard(self)
            self.context.room.gone(self, self._address)
            self.context.hand_over(self.transport, data)
            return False
        if self._is_for_pages:
            self._url = target
            self._refuse(503, NO_MORE)
            return False
        self._parser = httptools.HttpRequestParser(self) if self._parser is None else self._parser
        self._looked = True
        return True

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._parser = httptools.HttpRequestParser(self)
            rest = data[upgrade.args[0] :]
            cycle = self.reading
            if cycle is not None and cycle.scope["upgrade"]:
                cycle.body_complete = False
                if rest:
                    cycle.feed(rest)
                return
            if self._body_framing:
                self._parser = httptools.HttpRequestParser(_BodyOnly(self))
                rest, self._body_framing = b"POST / HTTP/1.1\r\n" + self._body_framing + b"\r\n" + rest, b""
                self._parse(rest)
            elif rest:
                self.data_received(rest)
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, BadRequest):
                self._refuse(400, str(error.__context__))
            else:
                self._refuse(400, f"This is not a valid HTTP/1.1 request: {error}.")

    def _refuse(self, status: int, message: str, error: str = "bad_request") -> None:
        """Answer what never became a request, and close. `error` is its name for the record of one that was begun."""
        self._closing = True
        path = getattr(self, "_url", b"") or b""
        cycle = self.cycle
        if cycle is not None and (cycle.body_complete or self._waiting):
            # It came behind a good request, whose answer still goes out.
            if self._waiting and not self._waiting[-1].body_complete:
                self._waiting.pop()
            (self._waiting[-1] if self._waiting else cycle).keep_alive = False
            return
        if cycle is not None and not cycle.finished:
            cycle.disconnected = True
            cycle.scope["fault"] = (error, message)
            if cycle.task is not None:
                cycle.task.cancel()
            if cycle.started:
                _reset(self.transport)
                return
        dialect = dialect_of_path(_path_of(path), False) or "anthropic"
        body = error_body(dialect, status, message)
        head = _head(status, b"", error_headers(body)) + b"connection: close\r\n\r\n"
        self.transport.write(head + body)
        self.transport.close()

    # -- time ------------------------------------------------------------------------------------------------

    @property
    def _address(self) -> str:
        peer = self._peers[0]
        return place_of(peer[0]) if peer is not None else ""

    def client(self) -> str:
        """Give the address that this connection counts for: where a proxy is trusted, that of whom it speaks for."""
        client = self.cycle.scope["client"] if self.cycle is not None else None
        return place_of(client[0]) if client is not None else self._address

    def waits(self) -> tuple[int, float] | None:
        """Give what for and since when this connection waits for its client (proxy/waiting.py)."""
        if self.cycle is None:
            is_kept = self._has_served and not self.mid_head and not self.first_line
            return (KEPT if is_kept else UNUSED), self.idle_since
        return (BODY, self.idle_since) if self.cycle.is_awaiting and not self.cycle.started else None

    def drop(self) -> None:
        """End it for want of room; a request whose body is still to come gets an answer."""
        if self.cycle is None:
            self.transport.abort()
        else:
            self.cycle.reject_body("overloaded")

    def look(self, now: float) -> None:
        """End it where its client has kept everybody waiting for too long."""
        limits, cycle = self.context.room.limits, self.cycle
        if cycle is None and not self.transport.is_closing():
            waits = self.waits()
            if now - self.idle_since > (limits.idle if waits is not None and waits[0] == KEPT else limits.head):
                self.transport.close()
        elif cycle is not None and cycle.is_awaiting:
            self._look_at_body(cycle, now)
        elif self._is_unread(now):
            if cycle is not None and not cycle.finished:
                cycle.scope["fault"] = ("client_disconnected", NOT_READ)
            _reset(self.transport)

    def _look_at_body(self, cycle: Cycle, now: float) -> None:
        limits = self.context.room.limits
        if cycle.pace is None:
            cycle.pace = Pace()
        # A client that asks first waits for the provider; one that is never told to go on gives up, or begins.
        asks = not self._read_bytes and not cycle.continued and first(cycle.scope["headers"], b"expect") is not None
        is_late = asks and now - self.idle_since > limits.idle
        if cycle.pace.is_too_slow(now, self._read_bytes, not asks, limits) or is_late:
            if cycle.started:
                self._refuse(408, TOO_SLOW, "request_timeout")
            else:
                cycle.reject_body("request_timeout")

    def _is_unread(self, now: float) -> bool:
        """Tell whether nothing of what was written has been read for long."""
        waiter = self._drain_waiter
        is_held = self.transport.is_closing() or waiter is not None  # what is closing has written all that it will
        if not is_held or waiter is not self._unread or not self._looked_at:
            self._unread, self._looked_at = waiter, now if is_held else 0.0
            return False
        return now - self._looked_at > self.context.room.limits.idle

    # -- llhttp ----------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self.mid_head = True
        self._head_bytes = self._received_bytes = 0
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._head_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.mid_head:  # else a trailer
            self._head_bytes += len(name) + len(value or b"") + 4
            if self._head_bytes > MAX_HEAD:
                raise BadRequest(TOO_LONG)
            self._headers.append((name, value or b""))

    def on_headers_complete(self) -> None:
        if self._head_bytes > MAX_HEAD:
            raise BadRequest(TOO_LONG)
        self.mid_head = False
        self._received_bytes = 0
        parser = self._parser
        authority, url = split(self._url)
        version, method = parser.get_http_version(), parser.get_method().decode("ascii")
        if version not in ("1.1", "1.0"):
            raise BadRequest(f"HTTP/{version} is not HTTP/1.1.")
        if method == "CONNECT":
            raise BadRequest(NO_FORWARD_PROXY)
        if url[:1] != b"/":
            raise BadRequest("The request's target is no path.")
        _check_head(self._headers, version)
        if authority is not None:
            self._headers = with_host(self._headers, authority)
        upgrade = parser.should_upgrade()
        # HTTP/1.0 knows no other protocol to go on with (RFC 9110, section 7.8).
        websocket = upgrade and method == "GET" and version == "1.1" and _wants_websocket(self._headers)
        framing = _framing(self._headers) if upgrade else b""
        if websocket and framing:
            # A handshake has no body (RFC 6455, section 4.1): who does not know that takes it for another request.
            raise BadRequest("A request for a WebSocket has no body.")
        if upgrade and not websocket:
            # An offer of HTTP/2 (h2c), which is not taken up. llhttp takes the body for the other protocol's.
            self._body_framing = framing
        query_at = url.find(b"?")
        raw_path, query = (url, b"") if query_at < 0 else (url[:query_at], url[query_at + 1 :])
        client, server = self._peers
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": version,
            "method": method,
            "scheme": "http",
            "path": unquote(raw_path.decode("latin-1")) if b"%" in raw_path else raw_path.decode("latin-1"),
            "raw_path": raw_path,
            "raw_target": url,
            "query_string": query,
            "root_path": "",
            "headers": self._headers,
            "client": client,
            "server": server,
            "upgrade": websocket,
        }
        cycle = Cycle(self, scope, parser.should_keep_alive() and not upgrade)
        self.reading = cycle
        self._read_bytes = 0
        looked, self._looked = self._looked, False
        if self.cycle is None:
            self._run(cycle) if looked else self._next(cycle)
        else:
            self._waiting.append(cycle)
            if len(self._waiting) >= MAX_PIPELINED:
                self.pause_reading()

    def on_body(self, body: bytes) -> None:
        cycle = self.reading
        self._read_bytes += len(body)
        self._received_bytes = 0
        if self._read_bytes > self.context.max_body:
            cycle.reject_body("request_too_large")
            return
        cycle.feed(body)

    def on_message_complete(self) -> None:
        if self._body_framing:
            return  # the body is still to come
        if self.reading is not None and not self.reading.rejected:
            self.reading.feed_eof()

    # -- cycles ----------------------------------------------------------------------------------------------

    def _run(self, cycle: Cycle) -> None:
        self.cycle = cycle
        cycle.task = self.context.loop.create_task(self._call(cycle))

    async def _call(self, cycle: Cycle) -> None:
        app: Callable[..., Awaitable] = self.context.app
        try:
            await app(cycle.scope, cycle.receive, cycle.send)
        finally:
            if not cycle.finished and not cycle.disconnected:
                cycle.break_off()

    def begin_tunnel(self, cycle: Cycle) -> None:
        cycle.tunnel = True
        cycle.body_complete = False
        cycle.keep_alive = False

    def cycle_finished(self, cycle: Cycle) -> None:
        self.idle_since = self.context.loop.time()
        self._has_served = True
        if not cycle.keep_alive:
            self._close(cycle)
            return
        self.cycle = None
        if self.reading is cycle:
            self.reading = None
        if self._waiting:
            self._next(self._waiting.popleft())
        elif self.context.draining:
            self.transport.close()

    def _next(self, cycle: Cycle) -> None:
        if is_own(cycle.scope["raw_path"]):
            # Sent ahead on the connection of a proxied request: a client asks again on a new connection.
            self.transport.close()
            return
        self._run(cycle)
        self.resume_reading()

    def _close(self, cycle: Cycle) -> None:
        """Close; but read on for a moment where the client still sends, or a reset would destroy the answer."""
        if cycle.body_complete or cycle.tunnel:
            self.transport.close()
        else:
            self._reading_paused = self._reading_paused and (self.transport.resume_reading() or False)
            self.context.loop.call_later(LINGER, self.transport.close)


def _reset(transport: asyncio.Transport) -> None:
    """Cut a connection whose plain end would look like the end of an answer (RFC 9112, section 8): RST, not FIN."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class _BodyOnly:
    """Callbacks for a parser that is given a made-up head, so that it reads a body."""

    def __init__(self, protocol: HttpProtocol) -> None:
        self._protocol, self._complete = protocol, False

    def on_body(self, body: bytes) -> None:
        if not self._complete:
            self._protocol.on_body(body)

    def on_message_complete(self) -> None:
        if not self._complete:
            self._complete = True
            self._protocol.on_message_complete()


def _check_head(headers: Headers, version: str) -> None:
    """Raise BadRequest for what llhttp lets pass, and what a provider may understand differently (RFC 9112, 3.2 and 6.1)."""
    hosts = 0
    for name, value in headers:
        length = len(name)
        if length == 4:
            hosts += name.lower() == b"host"
        elif length == 17 and name.lower() == b"transfer-encoding":
            if value.strip().lower() != b"chunked":
                raise BadRequest("A transfer coding other than chunked is not supported.")
            if version == "1.0":
                raise BadRequest("HTTP/1.0 has no transfer codings.")
    if hosts > 1 or (not hosts and version == "1.1"):
        raise BadRequest("A request has one Host header.")


def _head(status: int, reason: bytes, headers) -> bytes:
    parts = [b"HTTP/1.1 %d %b\r\n" % (status, reason or REASONS.get(status, b""))]
    parts += [b"%b: %b\r\n" % header for header in headers]
    return b"".join(parts)


def _path_of(target: bytes) -> bytes:
    return target.partition(b"?")[0]


def _framing(headers: list[tuple[bytes, bytes]]) -> bytes:
    """Give the header lines that frame a body, nothing where there is none."""
    framing = (b"content-length", b"transfer-encoding")
    return b"".join([b"%b: %b\r\n" % (k, v) for k, v in headers if k.lower() in framing and v != b"0"])


def _wants_websocket(headers: list[tuple[bytes, bytes]]) -> bool:
    return any(name.lower() == b"upgrade" and value.strip().lower() == b"websocket" for name, value in headers)


def _address(transport: asyncio.Transport, which: str) -> tuple[str, int] | None:
    address = transport.get_extra_info(which)
    return (address[0], address[1]) if isinstance(address, tuple) else None
