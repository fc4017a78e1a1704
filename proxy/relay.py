"""An answer comes back: chunk by chunk as it came, or, where the provider speaks another dialect, translated."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from time import perf_counter

from proxy import state
from proxy.admission import stop_of
from proxy.capture import ResponseHead
from proxy.connection import Response
from proxy.decoding import Decoder, Overflow
from proxy.errors import UpstreamError
from proxy.exchange import Exchange
from proxy.frames import FrameCounter
from proxy.handler import ProxyRequest, RawResponse, UpstreamBroken
from proxy.headers import end_to_end, for_record, policy_for
from proxy.keepalive import Commented, is_commentable
from proxy.own import without_own_cookies
from proxy.stops import Stop
from proxy.tolls import Toll, farewell
from routing.paths import is_billed
from routing.translation.answers import StreamTranslator

logger = logging.getLogger("lunaroute.proxy")

# Decoded bytes of one answer that are translated.
MAX_ANSWER = 256 << 20


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
            broken(exchange, failure)
            raise UpstreamBroken from None
        exchange.chunk(len(chunk))
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


class SocketRelay(Relay):
    """What a provider sends on an upgraded connection."""

    __slots__ = ("_counter", "_toll")

    def __init__(self, exchange: Exchange, response: Response, toll: Toll | None) -> None:
        super().__init__(exchange, response)
        self._counter, self._toll = FrameCounter(), toll
        state.current.sockets.opened += 1

    async def __anext__(self) -> bytes:
        exchange = self._exchange
        if exchange.stop is None:
            try:
                data = await super().__anext__()
            except StopAsyncIteration:
                if exchange.stop is None:
                    raise
            else:
                state.current.sockets.frames += self._counter.feed(data)
                if self._toll is not None and (stop := self._toll.provider(data)) is not None:
                    stopped(exchange, stop)
                return data
        if not self._counter.is_between or exchange.stop_told:
            raise StopAsyncIteration
        exchange.stop_told = True
        return farewell(exchange.stop)

    def close(self) -> None:
        state.current.sockets.closed += 1
        super().close()


class TranslatedRelay(Relay):
    """A stream of events in the client's dialect. Where the provider's breaks off, so does this one, after an error event."""

    __slots__ = ("_decoder", "_failure", "_is_over", "_taken", "_translator")

    def __init__(self, exchange: Exchange, response: Response, translator: StreamTranslator, coding: str) -> None:
        super().__init__(exchange, response)
        self._translator = translator
        self._decoder = Decoder(coding, MAX_ANSWER) if coding else None
        self._failure: UpstreamError | None = None
        self._is_over = False
        self._taken = 0  # bytes, decoded

    async def __anext__(self) -> bytes:
        exchange = self._exchange
        if exchange.chunks and not exchange.first_out:
            exchange.first_out = perf_counter()
        out = b""
        while not out:
            if self._failure is not None:
                broken(exchange, self._failure)
                raise UpstreamBroken
            if self._is_over:
                raise StopAsyncIteration
            out = await self._next()
        exchange.chunk(len(out))
        if self._capture is not None:
            self._capture.response_body(out)
        return out

    async def _next(self) -> bytes:
        try:
            chunk = await self._response.__anext__()
            if not self._exchange.chunks:
                self._exchange.chunk_in = perf_counter()
            if self._decoder is not None:
                chunk = self._decoder.feed(chunk)
            self._taken += len(chunk)
            if self._taken > MAX_ANSWER:
                raise Overflow
            return self._translate(self._translator.feed, chunk)
        except StopAsyncIteration:
            self._is_over = True
            return self._translate(self._translator.close, False)
        except UpstreamError as failure:
            self._failure = failure
        except (ValueError, Overflow) as error:
            self._failure = UpstreamError("upstream_broken", f"sent a stream that does not decode ({error})", sent=True)
        return self._translate(self._translator.close, True)

    def _translate(self, step: Callable[..., bytes], given: bytes | bool) -> bytes:
        """Do a step of the translation. A mistake in it is LunaRoute's own, and not counted against the provider."""
        try:
            return step(given)
        except Exception as error:
            name = self._exchange.target.name
            logger.exception("The answer of provider %s could not be translated", name)
            self._exchange.abandon("internal", f"LunaRoute failed to translate {name}'s answer: {type(error).__name__}")
            raise UpstreamBroken from None


def failed(exchange: Exchange, failure: UpstreamError) -> None:
    """Count a failure of the provider."""
    if exchange.ticket is not None:
        exchange.ticket.failed(failure.kind)
    else:
        state.current.board.note(exchange.target.name, False, exchange.started)


def broken(exchange: Exchange, failure: UpstreamError) -> None:
    """Record that the provider broke off in the middle of its answer."""
    failed(exchange, failure)
    exchange.abandon(failure.kind, f"{exchange.target.name} {failure}")


def relayed(exchange: Exchange, request: ProxyRequest, response: Response, *more: tuple[bytes, bytes]) -> RawResponse:
    """Give the provider's answer as it comes, with `more` headers."""
    if exchange.capture is not None:
        exchange.capture.response_head(ResponseHead(response.status, for_record(response.headers)))
    exchange.status = response.status
    passed = [*without_own_cookies(end_to_end(response.headers)), *more]
    if not response.upgraded:
        passed += policy_for(response.status, passed)
        relay = Relay(exchange, response)
        seconds = state.current.sse_keepalive
        chunks = Commented(relay, seconds) if seconds and is_commentable(passed) else relay
        return RawResponse(response.status, passed, chunks, response.reason)
    passed += [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
    toll = toll_of(exchange, response)
    exchange.pump = asyncio.ensure_future(upload(exchange, request, toll))
    return RawResponse(response.status, passed, SocketRelay(exchange, response, toll), response.reason)


def refused(exchange: Exchange, error: UpstreamError) -> RawResponse:
    """Say that the provider could not be asked, or did not answer."""
    name, authority = exchange.target.name, exchange.target.upstream.authority.decode()
    message = f"LunaRoute: provider {name} ({authority}) {error}."
    return exchange.refuse(error.status, message, error.kind, f"{name} {error}")


def toll_of(exchange: Exchange, response: Response) -> Toll | None:
    """Give what counts the requests on an upgraded connection, where limits or budgets hold for it."""
    current = state.current
    method_and_path = "POST", exchange.scope["raw_path"]
    if (current.meter is None and current.stops is None) or not is_billed(*method_and_path):
        return None
    return Toll(for_record(response.headers), partial(stop_of, exchange.scope, exchange.target.metadata))


def stopped(exchange: Exchange, stop: Stop) -> None:
    """End an upgraded connection on which somebody asks for more than they may have."""
    exchange.stop = stop
    exchange.finish("budget" if stop.until else "bad_request", stop.message)
    exchange.connection.abort()


async def upload(exchange: Exchange, request: ProxyRequest, toll: Toll | None) -> None:
    """Carry what the client sends on an upgraded connection, until it leaves."""
    connection, capture = exchange.connection, exchange.capture
    sockets, counter = state.current.sockets, FrameCounter()
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect" or connection.closed:
            connection.abort()
            return
        data = message["body"]
        exchange.request_bytes += len(data)
        sockets.frames += counter.feed(data)
        if capture is not None:
            capture.request_body(data)
        if toll is not None:
            data, stop = toll.client(data)
        elif state.current.stops is not None:  # only since this connection was made
            stop = stop_of(exchange.scope, exchange.target.metadata)
        else:
            stop = None
        if stop is not None:
            stopped(exchange, stop)
            return
        if data:
            connection.write([data])
            await connection.drain()


async def read_answer(response: Response, coding: str, limit: int) -> bytes:
    """Give the whole answer, decoded. Raises UpstreamError, also for what is longer than `limit` bytes."""
    decoder = Decoder(coding, limit) if coding else None
    parts, size = [], 0
    try:
        async for chunk in response:
            data = decoder.feed(chunk) if decoder is not None else chunk
            size += len(data)
            if size > limit:
                raise Overflow
            parts.append(data)
    except Overflow:
        raise UpstreamError("upstream_broken", f"sent an answer of more than {limit} bytes", sent=True) from None
    except ValueError as error:
        raise UpstreamError("upstream_broken", f"sent an answer that does not decode ({error})", sent=True) from None
    return b"".join(parts)


def discard(response: Response, connection) -> None:
    """Let go of an answer that nobody gets."""
    if not response.complete:
        connection.abort()
