"""One HTTP/1.1 connection to a provider: bytes of a request go out, an answer comes back as it was sent.

The answer is parsed by llhttp only as far as its framing; content codings stay as they are. See RFC 9112 for
the framing rules that the comments refer to.
"""

import asyncio
from collections import deque
from time import perf_counter

import httptools

from proxy.errors import UpstreamError
from proxy.headers import Headers

# Unread answer bytes at which the socket is no longer read, and at which it is read again.
HIGH_WATER, LOW_WATER = 256 * 1024, 64 * 1024
# Bytes of an answer's head with all interim answers before it, as of a request's, and of what a body's framing takes
# (chunk extensions, trailers) between two pieces of the body. llhttp itself would collect them without end.
MAX_FRAMING = 256 * 1024


class Unasked(Exception):
    """The provider sent more than the answer to one request."""


class Unfit(Exception):
    """Why an answer that llhttp would take is none that a client can get, in words."""


class Response:
    """An answer as it arrives. Iterate it for the body's chunks; it raises UpstreamError where it breaks off."""

    __slots__ = (
        "_chunks",
        "_connection",
        "_error",
        "_head_waiter",
        "_queued",
        "_waiter",
        "complete",
        "first_byte_at",
        "headers",
        "reason",
        "status",
        "upgraded",
    )  # fmt: skip

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self._chunks: deque[bytes] = deque()
        self._queued = 0
        self._error: UpstreamError | None = None
        self._head_waiter: asyncio.Future | None = None
        self._waiter: asyncio.Future | None = None
        self.status = 0
        self.reason = b""
        self.headers: Headers = []
        self.complete = False
        self.upgraded = False
        self.first_byte_at = 0.0

    async def head(self) -> None:
        """Wait for status and headers. Raises UpstreamError."""
        if not self.status and self._error is None:
            self._head_waiter = self._connection.loop.create_future()
            await self._head_waiter
        if not self.status:
            raise self._error

    def __aiter__(self) -> "Response":
        return self

    async def __anext__(self) -> bytes:
        while not self._chunks:
            if self.complete:
                raise StopAsyncIteration
            if self._error is not None:
                raise self._error
            self._waiter = self._connection.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        chunk = self._chunks.popleft()
        self._queued -= len(chunk)
        if self._connection.reading_paused and self._queued < LOW_WATER:
            self._connection.resume_reading()
        return chunk

    def push(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._queued += len(chunk)
        if self._queued > HIGH_WATER:
            self._connection.pause_reading()
        self._wake()

    def have_head(self) -> None:
        waiter = self._head_waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def finish(self) -> None:
        self.complete = True
        self._wake()

    def fail(self, error: UpstreamError) -> None:
        if not self.complete and self._error is None:
            self._error = error
            self.have_head()
            self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class Connection(asyncio.Protocol):
    """One connection of a pool. It carries one request at a time; `release` says it has no more use for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_idle, on_lost, read_timeout: float) -> None:
        self.loop = loop
        self.transport: asyncio.Transport | None = None
        self.response: Response | None = None
        self.idle_since = 0.0
        self.used = 0  # requests that it has begun
        self.reading_paused = False
        self.closed = False
        self._on_idle, self._on_lost = on_idle, on_lost
        self._read_timeout = read_timeout
        self._parser = httptools.HttpResponseParser(self)
        self._drain_waiter: asyncio.Future | None = None
        self._writing_paused = False
        self._informational = None
        self._heard_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._sending = False
        self._framing_bytes = 0  # that came without a byte of a body

    # -- the request -----------------------------------------------------------------------------------------

    def begin(self, method: str, on_informational=None, upgrade: bool = False) -> Response:
        """Take the connection for one request; the caller then writes it.

        `on_informational` gets 1xx answers; `upgrade` tells that the request asks for another protocol.
        """
        self.used += 1
        self._head_only = method == "HEAD"
        self._informational = on_informational
        self._upgrade = upgrade
        self._in_head = True
        self._framing_bytes = 0
        self._keep = False
        self._framed = False
        self._headers: Headers = []
        self._reason = b""
        self._sending = True
        self.response = Response(self)
        self._heard_at = self.loop.time()
        if self._timer is None:
            self._timer = self.loop.call_later(self._read_timeout, self._check_timeout)
        return self.response

    def write(self, parts: list[bytes]) -> None:
        self._heard_at = self.loop.time()
        self.transport.writelines(parts)

    async def drain(self) -> None:
        """Wait until the provider has taken most of what was written."""
        if self._writing_paused and not self.closed:
            self._drain_waiter = self.loop.create_future()
            await self._drain_waiter

    def sent(self) -> None:
        """Say that the request is out in full: only then may the connection serve another."""
        self._sending = False
        self._heard_at = self.loop.time()
        response = self.response
        if response is not None and response.complete and not response.upgraded:
            self._recycle()

    def abort(self) -> None:
        """Cut the connection: the provider sees at once that nobody waits for the rest."""
        if not self.closed:
            self.transport.abort()

    def _check_timeout(self) -> None:
        self._timer = None
        if self.response is None or self.closed:
            return
        if self.reading_paused or (self._sending and not self._writing_paused):  # the client is slow, not the provider
            self._heard_at = self.loop.time()
        if self.response.upgraded:
            return
        left = self._heard_at + self._read_timeout - self.loop.time()
        if left > 0.001:
            self._timer = self.loop.call_later(left, self._check_timeout)
            return
        seconds = f"{self._read_timeout:g} s"
        self.response.fail(UpstreamError("upstream_timeout", f"sent nothing for {seconds}", 504, sent=True))
        self.transport.abort()

    # -- asyncio ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        transport.set_write_buffer_limits(high=HIGH_WATER)

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        waiter, self._drain_waiter = self._drain_waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def pause_reading(self) -> None:
        if not self.reading_paused and not self.closed:
            self.reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self.reading_paused and not self.closed:
            self.reading_paused = False
            self._heard_at = self.loop.time()
            self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        response = self.response
        if response is None:  # an answer nobody asked for
            self.transport.abort()
            return
        if not response.first_byte_at:
            response.first_byte_at = perf_counter()
        self._heard_at = self.loop.time()
        if response.upgraded:
            response.push(data)
            return
        self._framing_bytes += len(data)
        try:
            self._parser.feed_data(data)
            if self._framing_bytes > MAX_FRAMING and self.response is response:
                what = "framing beside its body" if response.status else "head"
                self._give_up(response, f"sent an answer with more than {MAX_FRAMING >> 10} KiB of {what}")
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
            if rest and response.upgraded:
                response.push(rest)
        except httptools.HttpParserError as error:
            reason = error.__context__
            self._give_up(
                response, str(reason) if isinstance(reason, Unfit) else f"sent an answer that is not HTTP/1.1 ({error})"
            )

    def _give_up(self, response: Response, message: str) -> None:
        response.fail(UpstreamError("upstream_broken" if response.status else "upstream_reset", message, sent=True))
        self.transport.abort()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        self.resume_writing()
        self._on_lost(self)
        response = self.response
        if response is None or response.complete:
            return
        if response.upgraded or (response.status and not self._framed and exc is None):
            # Without a length or chunks the end of the connection is the end of the body (RFC 9112, section 6.3).
            response.finish()
        elif response.status:
            response.fail(UpstreamError("upstream_broken", "broke off in the middle of its answer", sent=True))
        else:
            how = "reset the connection" if exc else "closed the connection"
            response.fail(UpstreamError("upstream_reset", f"{how} before it answered", sent=True))

    # -- llhttp ----------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        # Not left for the next request on this connection, which it would answer.
        if self.response is None or self.response.complete:
            raise Unasked

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # a trailer: it describes the body's transfer, and a header's name in it would lie (RFC 9110, section 6.5)
        if (len(name) == 14 and name.lower() == b"content-length") or (
            len(name) == 17 and name.lower() == b"transfer-encoding" and b"chunked" in value.lower()
        ):
            self._framed = True
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        response, status = self.response, self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            return
        if status == 101 and not self._upgrade:
            raise Unfit("switched to another protocol (101), which nobody had asked for")
        if not 101 <= status <= 599:
            raise Unfit(f"sent an answer with the status {status:03}, which is none (RFC 9110, section 15)")
        self._in_head = False
        self._keep = self._parser.should_keep_alive()
        response.reason, response.headers = self._reason, self._headers
        response.status = status
        if status == 101:
            response.upgraded = True
        response.have_head()
        if self._head_only:
            # llhttp does not know that this answer has no body; a new parser does not wait for one.
            self._parser = httptools.HttpResponseParser(self)
            self._end()

    def on_body(self, body: bytes) -> None:
        if self._head_only:
            raise Unasked
        self._framing_bytes = 0
        self.response.push(body)

    def on_message_complete(self) -> None:
        response = self.response
        if response is None or response.complete:
            return  # that of a HEAD request, which ended with its head
        if not response.status:  # an interim answer; the final one is still to come (RFC 9110, section 15.2)
            status, headers = self._parser.get_status_code(), self._headers
            self._headers, self._reason, self._framed = [], b"", False
            if self._informational is not None:
                self._informational(status, headers)
        elif not response.complete and not response.upgraded:
            self._end()

    def _end(self) -> None:
        response = self.response
        if not self._framed and not self._head_only and response.status not in (204, 304):
            return  # ends with the connection
        response.finish()
        if not self._sending:
            self._recycle()

    def _recycle(self) -> None:
        """Go back to the pool, if both sides may use the connection again."""
        self.resume_reading()
        self.response = None
        if self._keep and not self.closed and not self.transport.is_closing():
            self._on_idle(self)
        else:
            self.transport.close()
