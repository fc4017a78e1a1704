"""Calls the data plane's Django views without what Django's own ASGI handler does for every request.

That one starts a thread, copies the body to a spooled file and runs middleware: some 0.9 ms (docs/performance.md).
Here a request is resolved by its own URLconf, the view awaited, and its answer's raw headers and chunks are sent as
they are. Pages, API and admin keep Django's handler.
"""

import logging
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from django.http import HttpRequest, QueryDict
from django.http.response import HttpResponseBase
from django.urls import get_resolver

from proxy.errors import error_body, error_headers
from proxy.headers import Headers
from routing.paths import dialect_of_path

if TYPE_CHECKING:
    from proxy.exchange import Exchange

logger = logging.getLogger("lunaroute.proxy")

# Characters of a path that is kept with what it resolves to: what a client may send could fill the memory else.
MAX_KNOWN = 256


class ProxyRequest(HttpRequest):
    """A request whose head stays raw and whose body is read from `receive` as it comes."""

    def __init__(self, scope: dict, receive, send) -> None:
        # Not HttpRequest's own: it fills dictionaries that the data plane does not use.
        self.scope, self.receive, self.send = scope, receive, send
        self.method = scope["method"]
        self.path = self.path_info = scope["path"]
        self.resolver_match = None
        self.exchange: Exchange | None = None  # for the log

    @cached_property
    def META(self) -> dict[str, str]:  # noqa: N802 (Django's name)
        meta = {
            "REQUEST_METHOD": self.method,
            "PATH_INFO": self.path,
            "QUERY_STRING": self.scope["query_string"].decode("latin-1"),
        }
        for name, value in self.scope["headers"]:
            meta["HTTP_" + name.decode("latin-1").upper().replace("-", "_")] = value.decode("latin-1")
        return meta

    @cached_property
    def GET(self) -> QueryDict:  # noqa: N802 (Django's name)
        return QueryDict(self.scope["query_string"])


class RawResponse(HttpResponseBase):
    """An answer with its headers as pairs of bytes (repeated ones included) and its body.

    `chunks` is a tuple of bytes, or an asynchronous iterator with a `close` that is called at the end in any case;
    it may raise UpstreamBroken, and the client then sees that the answer is not complete.
    """

    streaming = True
    is_async = True

    def __init__(self, status: int, raw_headers: Headers, chunks, reason: bytes = b"") -> None:
        # Not HttpResponseBase's own: the headers are not Django's.
        self.status_code, self.raw_headers, self.chunks, self.raw_reason = status, raw_headers, chunks, reason
        self.closed = False
        self._resource_closers = []


class ErrorResponse(RawResponse):
    """One of LunaRoute's own errors, in the shape of `dialect`."""

    def __init__(self, dialect: str, status: int, message: str, field: str | None = None) -> None:
        body = error_body(dialect, status, message, field)
        super().__init__(status, error_headers(body), (body,))


class TextResponse(RawResponse):
    """What a person reads in a browser."""

    def __init__(self, status: int, message: str) -> None:
        body = f"{message}\n".encode()
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
        super().__init__(
            status, [*headers, (b"x-content-type-options", b"nosniff"), (b"x-lunaroute-error", b"1")], (body,)
        )


class DataPlane:
    """The ASGI application for everything that goes to a provider."""

    def __init__(self, urlconf: str = "proxy.urls") -> None:
        self._resolve = get_resolver(urlconf).resolve
        self._resolve_known = lru_cache(128)(self._resolve)

    async def __call__(self, scope: dict, receive, send) -> None:
        request = ProxyRequest(scope, receive, send)
        try:
            path = request.path_info
            # Clients ask for the same few paths all the time, and to resolve one takes longer than to look it up.
            match = self._resolve_known(path) if len(path) <= MAX_KNOWN else self._resolve(path)
            request.resolver_match = match
            response = await match.func(request, *match.args, **match.kwargs)
        except Exception:
            about = {"request_id": request.exchange.request_id} if request.exchange is not None else {}
            logger.exception("the proxy failed on %s %s", request.method, request.path, extra=about)
            dialect = dialect_of_path(scope["raw_path"], False) or "anthropic"
            response = ErrorResponse(dialect, 500, "LunaRoute failed on this request; its log says why.")
        start = {
            "type": "http.response.start",
            "status": response.status_code,
            "reason": response.raw_reason,
            "headers": response.raw_headers,
        }
        chunks = response.chunks
        if isinstance(chunks, tuple):
            await send(start)
            await send({"type": "http.response.body", "body": b"".join(chunks)})
            return
        try:
            await send(start)
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except (UpstreamBroken, ConnectionResetError):
            return  # the server ends the connection without ending the answer
        finally:
            chunks.close()


class UpstreamBroken(Exception):
    """The answer breaks off here; the reason is already on record."""
