"""The passthrough: a client's request goes to its provider and the answer comes back, byte for byte.

Nothing is parsed, decoded or encoded again. Each step leaves a reference in the capture, from which the recorder
makes the record in a process of its own.
"""

import asyncio
import gc
from time import perf_counter, time_ns
from uuid import uuid4

from proxy import state
from proxy.capture import Begin, ResponseHead
from proxy.connection import Connection, Response
from proxy.errors import UpstreamError
from proxy.handler import ErrorResponse, ProxyRequest, RawResponse, UpstreamBroken
from proxy.headers import end_to_end, first, for_record
from routing.snapshot import Refusal

# A body is kept up to this many bytes for another try, while a pooled connection may turn out dead.
MAX_KEPT = 32 << 20
# Seconds within which a pooled connection's end means that it was dead before the request.
RETRY_WINDOW = 1.0
# Seconds until the memory of failed exchanges is collected.
TIDY_AFTER = 0.25


class TooLarge(Exception):
    """The request's body is over the limit."""


class Exchange:
    """One request on its way: where it goes, when what happened, and its capture."""

    def __init__(self, request: ProxyRequest, route, target: state.Target) -> None:
        self.scope, self.target, self.listener = request.scope, target, route.listener
        self.started = perf_counter()
        self.sent = self.first_in = self.chunk_in = self.first_out = 0.0
        self.request_bytes = self.response_bytes = self.chunks = 0
        self.attempts = 0
        self.body: list[bytes] | None = []  # what was read, until the provider has answered; None: too much to keep
        self.body_complete = False
        self.pump: asyncio.Task | None = None
        self.connection: Connection | None = None
        self.capture = None
        link = state.current.link
        if link is not None:
            self.capture = link.begin(self._begin())

    def _begin(self) -> Begin:
        scope = self.scope
        return Begin(
            request_id=str(uuid4()),
            method=scope["method"],
            path=scope["raw_path"].decode("latin-1"),
            query=scope["query_string"].decode("latin-1"),
            headers=for_record(scope["headers"]),
            listener=self.listener,
            provider=self.target.name,
            provider_type=self.target.provider_type,
            client_ip=scope["client"][0] if scope["client"] else "",
            started_us=time_ns() // 1000,
            upgrade=scope.get("upgrade", False),
        )

    def head(self, chunked: bool) -> bytes:
        """Give the request's head for the provider."""
        scope, target = self.scope, self.target
        raw = scope.get("raw_target") or scope["raw_path"] + (
            b"?" + scope["query_string"] if scope["query_string"] else b""
        )
        lines = [
            b"%b %b HTTP/1.1\r\nHost: %b\r\n"
            % (scope["method"].encode(), target.upstream.target(raw), target.upstream.authority)
        ]
        lines += [b"%b: %b\r\n" % header for header in end_to_end(scope["headers"], target.dropped)]
        if target.added:
            lines.append(target.added)
        if chunked:
            lines.append(b"Transfer-Encoding: chunked\r\n")
        if scope.get("upgrade"):
            lines.append(b"Connection: Upgrade\r\nUpgrade: websocket\r\n")
        lines.append(b"\r\n")
        return b"".join(lines)

    def request_complete(self) -> None:
        if self.capture is not None:
            self.capture.request_end()

    def abandon(self, error: str, message: str) -> None:
        """Cut the connection to the provider, at once, and record why."""
        if self.pump is not None:
            self.pump.cancel()
        if self.connection is not None:
            self.connection.abort()
        self.finish(error, message)
        _tidy_soon()

    def leave(self, when: str) -> None:
        """End because nobody waits for the answer any more."""
        if state.current.stopping:
            self.abandon("shutdown", f"LunaRoute was stopped {when}")
        elif "malformed" in self.scope:
            self.abandon("bad_request", self.scope["malformed"])
        else:
            self.abandon("client_disconnected", f"the client went away {when}")

    def finish(self, error: str | None = None, message: str | None = None) -> None:
        """Close the capture with the clock readings (milliseconds)."""
        if self.capture is None:
            return
        now = perf_counter()
        before = (self.sent or now) - self.started
        self.capture.end(
            completed_us=time_ns() // 1000,
            duration_ms=(now - self.started) * 1e3,
            overhead_before_ms=before * 1e3,
            overhead_after_ms=max(self.first_out - self.chunk_in, 0.0) * 1e3 if self.first_out else 0.0,
            provider_latency_ms=(now - self.sent) * 1e3 if self.sent else None,
            first_byte_ms=(self.first_in - self.sent) * 1e3 if self.sent and self.first_in else None,
            request_bytes=self.request_bytes,
            response_bytes=self.response_bytes,
            chunk_count=self.chunks,
            attempts=self.attempts,
            error=error,
            error_message=message,
        )

    def refuse(self, status: int, message: str, error: str, error_message: str) -> RawResponse:
        """Answer in the provider's place, with `message`; `error` and `error_message` are for the record."""
        response = ErrorResponse(self.listener, status, message)
        if self.capture is not None:
            self.capture.request_end()
            self.capture.response_head(ResponseHead(status, for_record(response.raw_headers)))
            self.capture.response_body(response.chunks[0])
        self.response_bytes = len(response.chunks[0])
        self.abandon(error, error_message)
        return response


async def passthrough(request: ProxyRequest) -> RawResponse:
    """Proxy one request."""
    scope = request.scope
    headers = scope["headers"]
    route = state.current.snapshot.choose(scope["raw_path"], first(headers, b"anthropic-version") is not None)
    if type(route) is Refusal:
        return ErrorResponse(route.listener, route.status, route.message)
    limit = state.current.max_body
    length = first(headers, b"content-length")
    exchange = Exchange(request, route, state.current.target(route.provider))
    try:
        if length is not None and int(length) > limit:
            raise TooLarge
        response = await _ask(exchange, request, length)
    except TooLarge:
        message = (
            f"The request's body is longer than {limit} bytes, LunaRoute's limit (http_server.max_request_body_bytes)."
        )
        return exchange.refuse(413, message, "request_too_large", message)
    except UpstreamError as error:
        name, authority = exchange.target.name, exchange.target.upstream.authority.decode()
        message = f"LunaRoute: provider {name} ({authority}) {error}."
        return exchange.refuse(error.status, message, error.kind, f"{name} {error}")
    except asyncio.CancelledError:
        exchange.leave("before the provider answered")
        raise
    except Exception as error:
        exchange.abandon("internal", f"LunaRoute failed: {type(error).__name__}")
        raise
    if exchange.capture is not None:
        exchange.capture.response_head(ResponseHead(response.status, for_record(response.headers)))
    passed = end_to_end(response.headers)
    if response.upgraded:
        passed += [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
        exchange.pump = asyncio.ensure_future(_upload(exchange, request))
    return RawResponse(response.status, passed, Relay(exchange, response), response.reason)


async def _ask(exchange: Exchange, request: ProxyRequest, length: bytes | None) -> Response:
    """Send the request and wait for the answer's head, on a new connection where a pooled one turns out dead."""
    scope, headers = exchange.scope, exchange.scope["headers"]
    chunked = length is None and first(headers, b"transfer-encoding") is not None
    if not chunked and (length is None or int(length) == 0):
        exchange.body_complete = True
        exchange.request_complete()
    elif first(headers, b"expect") is None:
        # The body is there, or on its way: head and first bytes go out together. A client that expects
        # "100 Continue" sends nothing before the provider has said it, so then the head goes alone.
        await _read(exchange, request)
    upstream = exchange.target.upstream
    while True:
        # One pooled connection that turns out dead is enough: the next try has a new one.
        connection = upstream.reuse() if not exchange.attempts else None
        pooled = connection is not None
        if connection is None:
            connection = await upstream.connect()
        exchange.connection = connection
        exchange.attempts += 1
        response = connection.begin(scope["method"], _relay_informational(request), scope.get("upgrade", False))
        parts = [exchange.head(chunked)]
        _frame(parts, exchange.body, chunked, exchange.body_complete)
        exchange.sent = perf_counter()
        connection.write(parts)
        if not pooled:
            exchange.body = None  # a new connection is no reason to ask again
        try:
            if exchange.body_complete:
                connection.sent()
                await response.head()
            else:
                await _head_while_sending(exchange, request, response, chunked)
        except UpstreamError as error:
            # The provider closed the connection as we took it from the pool, and has not read the request. Where it
            # had time to begin on it, asking again might be charged twice.
            dead = pooled and error.kind == "upstream_reset" and not response.first_byte_at
            if dead and exchange.body is not None and perf_counter() - exchange.sent < RETRY_WINDOW:
                continue
            raise
        exchange.first_in = response.first_byte_at
        exchange.body = None
        return response


async def _head_while_sending(exchange: Exchange, request: ProxyRequest, response: Response, chunked: bool) -> None:
    """Send the rest of the body while waiting for the answer's head: a provider may answer before it has read all."""
    exchange.pump = pump = asyncio.ensure_future(_send_rest(exchange, request, chunked))
    head = asyncio.ensure_future(response.head())
    try:
        await asyncio.wait((head, pump), return_when=asyncio.FIRST_COMPLETED)
        if pump.done() and (not head.done() or head.exception()):
            pump.result()  # raises for a body that is too large, or a client that went away
        await head
    except BaseException:
        pump.cancel()
        raise
    finally:
        head.cancel()


async def _send_rest(exchange: Exchange, request: ProxyRequest, chunked: bool) -> None:
    """Pass the rest of the request's body on as it comes, no faster than the provider takes it."""
    connection = exchange.connection
    while not exchange.body_complete:
        await connection.drain()
        try:
            data = await _read(exchange, request)
        except BaseException:
            connection.abort()
            raise
        parts: list[bytes] = []
        _frame(parts, [data] if data else [], chunked, exchange.body_complete)
        if parts and not connection.closed:
            connection.write(parts)
    connection.sent()


async def _read(exchange: Exchange, request: ProxyRequest) -> bytes:
    """Take what has come of the request's body, waiting for some. Raises TooLarge, or CancelledError without a client."""
    message = await request.receive()
    if message["type"] == "http.disconnect":
        if message.get("reason") == "request_too_large":
            raise TooLarge
        raise asyncio.CancelledError
    data = message["body"]
    if data:
        exchange.request_bytes += len(data)
        if exchange.body is not None:
            exchange.body.append(data)
            late = perf_counter() - exchange.sent > RETRY_WINDOW
            if exchange.connection is not None and (late or exchange.request_bytes > MAX_KEPT):
                exchange.body = None
        if exchange.capture is not None:
            exchange.capture.request_body(data)
    if not message.get("more_body", False):
        exchange.body_complete = True
        exchange.request_complete()
    return data


def _frame(parts: list[bytes], body: list[bytes], chunked: bool, complete: bool) -> None:
    """Add `body` to `parts`, in the framing that its head announced."""
    if not chunked:
        parts += body
        return
    for data in body:
        parts += (b"%x\r\n" % len(data), data, b"\r\n")
    if complete:
        parts.append(b"0\r\n\r\n")


def _relay_informational(request: ProxyRequest):
    def relay(status: int, headers) -> None:
        message = {"type": "http.response.start", "status": status, "headers": end_to_end(headers)}
        asyncio.ensure_future(request.send(message))

    return relay


_tidying: asyncio.TimerHandle | None = None


def _tidy_soon() -> None:
    """Collect garbage in a moment.

    The exceptions, frames and futures of an exchange that failed hold each other, and its bodies with them: a few
    objects, so the collector sees no need for a long time, but hundreds of kilobytes.
    """
    global _tidying
    if _tidying is None:
        _tidying = asyncio.get_running_loop().call_later(TIDY_AFTER, _tidy)


def _tidy() -> None:
    global _tidying
    _tidying = None
    gc.collect()


class Relay:
    """The answer's chunks as they come. `close` must be called when the answer is out or nobody wants it any more."""

    __slots__ = ("_capture", "_exchange", "_response")

    def __init__(self, exchange: Exchange, response: Response) -> None:
        self._exchange, self._response, self._capture = exchange, response, exchange.capture

    def __aiter__(self) -> "Relay":
        return self

    async def __anext__(self) -> bytes:
        exchange = self._exchange
        if exchange.chunks and not exchange.first_out:
            exchange.first_out = perf_counter()
        try:
            chunk = await self._response.__anext__()
        except UpstreamError as failure:
            exchange.abandon(failure.kind, f"{exchange.target.name} {failure}")
            raise UpstreamBroken from None
        if not exchange.chunks:
            exchange.chunk_in = perf_counter()
        exchange.chunks += 1
        exchange.response_bytes += len(chunk)
        if self._capture is not None:
            self._capture.response_body(chunk)
        return chunk

    def close(self) -> None:
        exchange = self._exchange
        pump = exchange.pump
        if pump is not None and not pump.done():
            pump.cancel()  # the provider has answered without reading the rest
            exchange.connection.abort()
        if self._response.complete or self._response.upgraded:
            if self._response.upgraded:
                exchange.connection.abort()
            exchange.finish()
        else:
            exchange.leave("before the answer was complete")


async def _upload(exchange: Exchange, request: ProxyRequest) -> None:
    """Carry what the client sends on an upgraded connection, until it leaves."""
    connection, capture = exchange.connection, exchange.capture
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect" or connection.closed:
            connection.abort()
            return
        data = message["body"]
        exchange.request_bytes += len(data)
        if capture is not None:
            capture.request_body(data)
        connection.write([data])
        await connection.drain()
