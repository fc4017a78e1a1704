"""A request goes out: as it comes from the client, or in whole where something had to read it first."""

import asyncio
from contextlib import suppress
from time import perf_counter

from proxy import state
from proxy.connection import Response
from proxy.descriptors import NO_MORE
from proxy.errors import NotServed, UpstreamError
from proxy.exchange import Exchange
from proxy.handler import ProxyRequest
from proxy.headers import end_to_end, first
from proxy.own import without_own_cookies
from proxy.protocol import TOO_SLOW
from proxy.state import Target

# A body is kept up to this many bytes for another try, while a pooled connection may turn out dead.
MAX_KEPT = 32 << 20
# Seconds within which a pooled connection's end means that it was dead before the request.
RETRY_WINDOW = 1.0


def too_large() -> NotServed:
    """Say that the request's body is over the limit."""
    message = (
        f"The request's body is longer than {state.current.max_body} bytes, "
        "LunaRoute's limit (http_server.max_request_body_bytes)."
    )
    return NotServed(413, "request_too_large", message)


async def ask(exchange: Exchange, request: ProxyRequest, length: bytes | None) -> Response:
    """Send the request as it comes and wait for the answer's head. Raises UpstreamError, NotServed, CancelledError."""
    headers = exchange.scope["headers"]
    chunked = length is None and first(headers, b"transfer-encoding") is not None
    if not exchange.body_complete:
        if not chunked and (length is None or int(length) == 0):
            exchange.request_complete()
        elif first(headers, b"expect") is None:
            # The body is there, or on its way: head and first bytes go out together. A client that expects
            # "100 Continue" sends nothing before the provider has said it, so then the head goes alone.
            await read(exchange, request)
    response = await send(exchange, request, exchange.target, exchange.head(chunked), chunked)
    exchange.body = None
    return response


async def send(
    exchange: Exchange, request: ProxyRequest, target: Target, head: bytes, chunked: bool, retries: int | None = None
) -> Response:
    """Send `head` and the exchange's body, on a new connection where a pooled one turns out dead.

    Gives the answer when its head is there. `retries`: how often a connection is tried again (None: as configured).
    """
    scope, upstream = exchange.scope, target.upstream
    exchange.routed_in = perf_counter() - exchange.read_at - exchange.lost
    connection = upstream.reuse()
    while True:
        pooled = connection is not None
        if connection is None:
            connection = await upstream.connect(retries)
        exchange.connection = connection
        exchange.attempts += 1
        response = connection.begin(scope["method"], _relay_informational(request), scope.get("upgrade", False))
        parts = [head]
        _frame(parts, exchange.body or (), chunked, exchange.body_complete)
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
                # One pooled connection that turns out dead is enough: the next try has a new one.
                connection = None
                continue
            raise
        exchange.first_in = response.first_byte_at
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
            data = await read(exchange, request)
        except BaseException:
            connection.abort()
            raise
        parts: list[bytes] = []
        _frame(parts, [data] if data else [], chunked, exchange.body_complete)
        if parts and not connection.closed:
            connection.write(parts)
    connection.sent()


async def read(exchange: Exchange, request: ProxyRequest) -> bytes:
    """Take what has come of the request's body, waiting for some. Raises NotServed, or CancelledError without a client."""
    message = await request.receive()
    if message["type"] == "http.disconnect":
        reason = message.get("reason")
        if reason == "request_too_large":
            raise too_large()
        if reason == "request_timeout":
            raise NotServed(408, reason, TOO_SLOW)
        if reason == "overloaded":
            raise NotServed(503, reason, NO_MORE)
        raise asyncio.CancelledError
    data = message["body"]
    if not exchange.sent:
        exchange.read_at = perf_counter()
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
        exchange.request_complete()
    return data


async def read_whole(exchange: Exchange, request: ProxyRequest) -> None:
    """Take the request's body, before anything is sent. Raises as `read` does."""
    if first(exchange.scope["headers"], b"expect") is not None:
        await request.send({"type": "http.response.start", "status": 100, "headers": []})
    while not exchange.body_complete:
        await read(exchange, request)


def _frame(parts: list[bytes], body, chunked: bool, complete: bool) -> None:
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
        message = {"type": "http.response.start", "status": status, "headers": without_own_cookies(end_to_end(headers))}
        asyncio.ensure_future(_send_if_there(request, message))

    return relay


async def _send_if_there(request: ProxyRequest, message: dict) -> None:
    with suppress(ConnectionResetError):  # the exchange itself hears that the client has gone
        await request.send(message)
