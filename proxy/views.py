"""The passthrough: a client's request goes to its provider and the answer comes back, byte for byte.

Nothing is parsed, decoded or encoded again, unless a rule, a marker or a provider's settings act on the request
(proxy/routed.py). Each step leaves a reference in the capture, from which the recorder makes the record in a process of
its own.
"""

import asyncio
from math import ceil
from time import time

from proxy import routed, state
from proxy.admission import stop_of
from proxy.errors import NotServed, UpstreamError
from proxy.exchange import Exchange
from proxy.handler import ErrorResponse, ProxyRequest, RawResponse, TextResponse
from proxy.headers import first
from proxy.identity import UNKNOWN
from proxy.own import without_own
from proxy.relay import failed, refused, relayed
from proxy.sending import ask, read_whole, too_large
from proxy.stops import Stop
from routing.paths import dialect_of_path, is_billed, is_clear
from routing.snapshot import Refusal

UNCLEAR = (
    "Servers read this path in more than one way, so LunaRoute cannot count the request where budgets or limits hold: "
    "write it without encodings, empty segments or backslashes."
)


async def passthrough(request: ProxyRequest) -> RawResponse:
    """Proxy one request."""
    current = state.current
    if current.changed():
        await current.refresh()
    scope = request.scope
    if current.trusted is not None:
        current.trusted.take(scope)
    headers = scope["headers"]
    if (refused_by := current.guard.refusal(headers, scope.get("upgrade", False))) is not None:
        # Who has typed an address that is nobody's is told so.
        nowhere = current.snapshot.choose(scope["method"], scope["raw_path"], False)
        refused_by = nowhere if type(nowhere) is Refusal else refused_by
        return _said(scope, refused_by.status, refused_by.message)
    if current.identities is not None:
        refused_by = current.identities.take(scope)
        request.path = request.path_info = scope["path"]  # for the log: without the token
        if refused_by is not None:
            if refused_by.message == UNKNOWN:
                current.tell_wrong_token(scope["path"], scope["client"][0] if scope["client"] else "")
            return _said(scope, refused_by.status, refused_by.message, seconds=refused_by.seconds)
    has_version = first(headers, b"anthropic-version") is not None
    # A WebSocket begins with a GET, and carries what is posted elsewhere.
    method = "POST" if scope.get("upgrade") else scope["method"]
    route = current.snapshot.choose(method, scope["raw_path"], has_version)
    if type(route) is Refusal:
        return _said(scope, route.status, route.message, route.listener)
    if current.is_guarded and (refused_by := current.guard.asks_token(headers, scope["client"])) is not None:
        return _said(scope, refused_by.status, refused_by.message, route.listener, refused_by.seconds)
    headers = scope["headers"] = without_own(headers, current.own_token)
    is_limited = current.stops is not None or current.meter is not None
    if is_limited and method == "POST" and not is_clear(scope["raw_path"]):
        return _said(scope, 400, UNCLEAR, route.listener)
    length = first(headers, b"content-length")
    target = current.target(route.provider)
    exchange = request.exchange = Exchange(request, route.listener, target)
    try:
        if length is not None and int(length) > current.max_body:
            raise too_large()
        if is_limited and is_billed(method, scope["raw_path"]):
            stop = stop_of(scope, target.metadata, not scope.get("upgrade"))
            if stop is not None:
                return await _stopped(exchange, request, stop)
        if current.may_act or not target.is_plain or target.provider_type != route.listener:
            call = await routed.consider(exchange, request, length)
            if call is not None:
                return await call.answer()
        exchange.begin(target.metadata)
        response = await ask(exchange, request, length)
    except NotServed as error:
        return exchange.refuse(error.status, str(error), error.kind, str(error))
    except UpstreamError as error:
        failed(exchange, error)
        return refused(exchange, error)
    except asyncio.CancelledError:
        exchange.leave("before the provider answered")
        raise
    except Exception as error:
        exchange.abandon("internal", f"LunaRoute failed: {type(error).__name__}")
        raise
    current.board.note(target.name, response.status < 500, exchange.started)
    return relayed(exchange, request, response)


def _said(scope: dict, status: int, message: str, dialect: str = "", seconds: float = 0) -> RawResponse:
    """Give an answer of LunaRoute's own, to a browser as text. `seconds`: after which to try again."""
    headers = scope["headers"]
    if b"text/html" in (first(headers, b"accept") or b""):
        response = TextResponse(status, message)
    else:
        has_version = first(headers, b"anthropic-version") is not None
        dialect = dialect or dialect_of_path(scope["raw_path"], has_version) or "anthropic"
        response = ErrorResponse(dialect, status, message)
    if seconds:
        response.raw_headers.append((b"retry-after", b"%d" % ceil(seconds)))
    return response


async def _stopped(exchange: Exchange, request: ProxyRequest, stop: Stop) -> RawResponse:
    """Answer in the provider's place. The body is read, for the record; a client that asks first need not send it."""
    scope = exchange.scope
    has_body = first(scope["headers"], b"content-length") or first(scope["headers"], b"transfer-encoding")
    if has_body and not scope.get("upgrade") and first(scope["headers"], b"expect") is None:
        await read_whole(exchange, request)
    return exchange.answer(stop.response(exchange.listener, time()), "budget", stop.message)
