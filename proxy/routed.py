"""Whether a rule, a marker or a provider's settings act on a request, and who may be asked for it then."""

from proxy import state
from proxy.call import Call
from proxy.exchange import Exchange
from proxy.handler import ErrorResponse, ProxyRequest, RawResponse
from proxy.headers import Headers, first
from proxy.outgoing import Incoming
from proxy.sending import MAX_KEPT, read_whole
from routing.clients import client_of
from routing.definitions import RequestFacts
from routing.paths import BODY_DIALECTS, endpoint_of
from routing.rewriting.bodies import peek_model
from routing.rewriting.foreign import SEALED
from routing.rewriting.markers import BEGINNING
from routing.router import MARKER, Decision
from routing.rules import RuleSet

UPGRADE_REFUSED = "LunaRoute has to read this request to route it, and reads none on a WebSocket: use HTTP."


async def consider(exchange: Exchange, request: ProxyRequest, length: bytes | None) -> "Call | NoSocket | None":
    """Give the call by which a request is served that something acts on; None for one that passes as it is.

    Reads the request's body where that depends on it. Raises as `sending.read` does.
    """
    current, scope, target = state.current, exchange.scope, exchange.target
    endpoint = endpoint_of(scope["method"], scope["raw_path"])
    rules = current.router.rules
    is_foreign = target.provider_type != exchange.listener
    acts = is_foreign or not target.is_plain or bool(rules.rules)
    if not acts and not (endpoint in BODY_DIALECTS and current.has_markers):
        return None
    headers = scope["headers"]
    has_body = (length is not None and int(length) > 0) or first(headers, b"transfer-encoding") is not None
    if scope.get("upgrade"):
        return _upgrade(exchange, request) if acts else None
    if not acts and (length is None or int(length) > MAX_KEPT or first(headers, b"expect") is not None):
        return None  # a marker is no reason to hold that
    if has_body and (endpoint in BODY_DIALECTS or (rules.needs_model and _is_json(headers))):
        await read_whole(exchange, request)
    if target.is_plain and not is_foreign and _passes(exchange, rules):
        return None
    incoming = Incoming(exchange, endpoint, current.max_body)
    decision = _decide(incoming, exchange)
    if decision is None:
        is_clean = incoming.marked is None and SEALED not in incoming.body
        if target.is_plain and not is_foreign and is_clean:
            return None
        decision = Decision("", "", (target.provider,), "")
    if has_body and not exchange.body_complete:
        await read_whole(exchange, request)
        incoming = Incoming(exchange, endpoint, current.max_body)
    return Call(exchange, request, incoming, decision)


def _is_json(headers: Headers) -> bool:
    return b"json" in (first(headers, b"content-type") or b"")


def _passes(exchange: Exchange, rules: RuleSet) -> bool:
    """Tell of most requests, quickly, that nothing acts on them: no marker, and no rule that fits."""
    pieces = exchange.body
    if len(pieces) > 1:
        pieces[:] = [b"".join(pieces)]
    body = pieces[0] if pieces else b""
    scope = exchange.scope
    if body and first(scope["headers"], b"content-encoding") is not None:
        return False
    if body.rfind(BEGINNING) >= 0:  # from behind it is twice as fast
        return False
    if not rules.rules:
        return True
    model = peek_model(body) if rules.needs_model and body else ""
    return not rules.may_match(model, scope["raw_path"].decode("latin-1"))


def _decide(incoming: Incoming, exchange: Exchange) -> Decision | None:
    router = state.current.router
    marked = incoming.marked
    if marked is not None and marked.name:
        decision = router.decide(facts_of(incoming, exchange), marked.name)
        if decision is not None and decision.strategy == MARKER:
            return decision
        incoming.notes.append(f"[LUNAROUTE:{marked.name}] names no enabled provider")
        exchange.has_unknown_marker = True
    return router.decide(facts_of(incoming, exchange)) if router.rules.rules else None


def facts_of(incoming: Incoming, exchange: Exchange) -> RequestFacts:
    """Give what rules may ask of the request; what no rule asks for is left out."""
    rules = state.current.router.rules
    return RequestFacts(
        model=incoming.model,
        path=exchange.scope["raw_path"].decode("latin-1"),
        headers=incoming.text_headers if rules.needs_headers else (),
        client=client_of(list(incoming.text_headers)) if rules.needs_client else "",
        dialect=exchange.listener,
    )


def _upgrade(exchange: Exchange, request: ProxyRequest) -> "NoSocket | None":
    """A WebSocket's requests come in frames, which nothing reads on the way."""
    incoming = Incoming(exchange, "", 0)
    rules = state.current.router.rules
    is_foreign = exchange.target.provider_type != exchange.listener
    if rules.needs_model or is_foreign or exchange.target.rewriter.changes_body or exchange.target.provider.model:
        return NoSocket(exchange.listener)
    decision = _decide(incoming, exchange)
    if decision is None and exchange.target.is_plain:
        return None
    return NoSocket(exchange.listener)


class NoSocket:
    """A WebSocket that is not opened. It is no exchange: the client says the same again by HTTP."""

    def __init__(self, listener: str) -> None:
        self._listener = listener

    async def answer(self) -> RawResponse:
        """Say so."""
        return ErrorResponse(self._listener, 426, UPGRADE_REFUSED)
