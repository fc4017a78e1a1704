"""What one provider is sent: the client's request, with what its settings change, and in its own dialect."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from time import monotonic

from proxy.decoding import Decoder, Overflow, is_known
from proxy.exchange import Exchange
from proxy.handler import ErrorResponse
from proxy.headers import Headers, end_to_end, first
from proxy.state import CREDENTIALS, Target
from routing.codex_auth import LoginError
from routing.families import api_for, model_for
from routing.paths import BODY_DIALECTS, COUNT_TOKENS, MODELS
from routing.rewriting.bodies import peek_model
from routing.rewriting.conversations import COUNT_TOKENS as COUNTED
from routing.rewriting.foreign import without_foreign_reasoning
from routing.rewriting.markers import BEGINNING, Marked, find_markers
from routing.rewriting.rewriter import Variables
from routing.rewriting.spans import CannotRewrite
from routing.session_ids import session_id_of
from routing.translation.context import Context, Untranslatable
from routing.translation.requests import translate_request

ANTHROPIC_VERSION = b"2023-06-01"
# Of a client's headers, what a provider of another dialect gets: the rest is for the vendor that it was meant for.
UNDERSTOOD_BY_ALL = (b"user-agent",)
FRAMING = frozenset((b"content-length", b"transfer-encoding"))


class CannotServe(Exception):
    """This provider cannot answer this request. `field` is what is in the way, where it is a field of the request."""

    def __init__(self, status: int, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.status, self.field = status, field

    def response(self, listener: str) -> ErrorResponse:
        """Give the answer that says so."""
        return ErrorResponse(listener, self.status, str(self), self.field)


class Incoming:
    """A client's request with its whole body, and what routing reads of it."""

    def __init__(self, exchange: Exchange, endpoint: str, max_body: int) -> None:
        self.scope, self.listener, self.request_id = exchange.scope, exchange.listener, exchange.request_id
        self.endpoint, self.dialect = endpoint, BODY_DIALECTS.get(endpoint, "")
        self.body_dialect = COUNTED if endpoint == COUNT_TOKENS else self.dialect
        self.pieces = exchange.body or []
        self.sent_body = b"".join(self.pieces)
        self.headers: Headers = self.scope["headers"]
        self.notes: list[str] = []
        self.body = self._decoded(max_body)
        self.marked = self._marked()
        self.model = peek_model(self.body) if self.body else ""

    def _decoded(self, limit: int) -> bytes:
        """The body without its content coding; as it came where that cannot be undone."""
        coding = (first(self.headers, b"content-encoding") or b"").decode("latin-1")
        if not coding or not self.sent_body:
            return self.sent_body
        try:
            if not is_known(coding):
                raise ValueError(f"its coding {coding} is not known")
            return Decoder(coding, limit).feed(self.sent_body)
        except (ValueError, Overflow) as error:
            self.notes.append(f"the request's body could not be read ({error or 'it is too long'})")
            return self.sent_body

    def _marked(self) -> Marked | None:
        if not self.dialect or BEGINNING not in self.body:
            return None
        marked = find_markers(self.body, self.dialect)
        if not marked.found:
            return None
        self.body = marked.body
        return marked

    @cached_property
    def text_headers(self) -> tuple[tuple[str, str], ...]:
        """The headers as text, names in lower case."""
        return tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in self.headers)

    @cached_property
    def session_id(self) -> str:
        """The session that the request names, or an empty text."""
        return session_id_of(list(self.text_headers), self.body) or ""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request for one provider."""

    target: Target
    head: bytes
    body: list[bytes]
    chunked: bool
    model: str = ""  # where it is not the client's
    context: Context | None = None  # of a translation
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()  # of the notes, what the client is told
    metadata: Mapping[str, str] | None = None


def prepare(incoming: Incoming, target: Target, notify) -> Outgoing:
    """Make the request for `target`. Raises CannotServe.

    `notify(body, dialect)` gives the body with a notification in front of its messages, where one is due.
    """
    provider = target.provider
    vendor = "anthropic" if incoming.listener == "anthropic" else "openai"
    if not incoming.dialect:
        if provider.provider_type != vendor and incoming.endpoint != MODELS:
            path = incoming.scope["raw_path"].decode("latin-1")
            raise CannotServe(
                404, f"{path} is {vendor}'s, and provider {provider.name} is of type {provider.provider_type}."
            )
        return _models(incoming, target) if provider.provider_type != vendor else _own(incoming, target, "", notify)
    wanted = api_for(provider, incoming.dialect)
    if wanted == incoming.dialect:
        return _own(incoming, target, model_for(provider, incoming.model, False), notify)
    if incoming.endpoint == COUNT_TOKENS:
        raise CannotServe(501, f"provider {provider.name} cannot count tokens.")
    return _translated(incoming, target, wanted, notify)


def _own(incoming: Incoming, target: Target, model: str, notify) -> Outgoing:
    """In the client's own dialect: what no setting names stays as it is, byte for byte."""
    body, notes = incoming.body, []
    cleaned = without_foreign_reasoning(body, incoming.dialect)
    if cleaned.found:
        body = cleaned.body
        notes.append(f"reasoning of another vendor's model was left out ({cleaned.found})")
        if cleaned.stops_thinking:
            notes.append("thinking: off for this request, as what led to its last tool call is another vendor's")
    model = model if model != incoming.model else ""
    variables = _variables(incoming, target, model or incoming.model)
    if body and (target.rewriter.changes_body or model):
        try:
            rewritten = target.rewriter.body(body, incoming.body_dialect, variables, model or None)
            body = rewritten.body
            notes += rewritten.changes
        except CannotRewrite as error:
            notes.append(f"the body was sent on unchanged: {error}")
    body = notify(body, incoming.dialect)
    lines, dropped = _changed_headers(target, variables, notes)
    is_same = body == incoming.sent_body or body is incoming.sent_body
    if is_same or (body == incoming.body and incoming.marked is None):
        pieces, chunked = incoming.pieces, first(incoming.headers, b"transfer-encoding") is not None
        length = b""
    else:
        pieces, chunked = [body], False
        dropped |= FRAMING | {b"content-encoding"}
        length = b"Content-Length: %d\r\n" % len(body)
    scope = incoming.scope
    raw = scope.get("raw_target") or scope["raw_path"] + (
        b"?" + scope["query_string"] if scope["query_string"] else b""
    )
    passed = b"".join([b"%b: %b\r\n" % header for header in end_to_end(incoming.headers, target.dropped | dropped)])
    framing = b"Transfer-Encoding: chunked\r\n" if chunked else length
    head = _head(scope["method"], target, raw, passed + target.added + lines + framing)
    return Outgoing(
        target, head, pieces, chunked, model, notes=tuple(notes), metadata=target.rewriter.metadata(variables)
    )


def _translated(incoming: Incoming, target: Target, wanted: str, notify) -> Outgoing:
    provider = target.provider
    model = model_for(provider, incoming.model, True)
    try:
        translated = translate_request(incoming.dialect, wanted, incoming.body, model)
    except Untranslatable as error:
        raise CannotServe(400, f"{error} (provider {provider.name} is asked as {wanted})", error.field) from None
    variables = _variables(incoming, target, model)
    body, notes = translated.body, [*translated.notes]
    if target.rewriter.changes_body:
        try:
            rewritten = target.rewriter.body(body, wanted, variables, None)
            body = rewritten.body
            notes += rewritten.changes
        except CannotRewrite as error:
            notes.append(f"the body was sent on unchanged: {error}")
    body = notify(body, wanted)
    kind = b"text/event-stream" if translated.context.is_streaming else b"application/json"
    more = b"Content-Type: application/json\r\nAccept: %b\r\nContent-Length: %d\r\n" % (kind, len(body))
    lines, dropped = _changed_headers(target, variables, notes)
    head = _head("POST", target, translated.path.encode(), _foreign_headers(incoming, target, dropped) + lines + more)
    return Outgoing(
        target, head, [body], False, model if model != incoming.model else "", translated.context, tuple(notes),
        translated.notes, target.rewriter.metadata(variables),
    )  # fmt: skip


def _models(incoming: Incoming, target: Target) -> Outgoing:
    """The list of models, or one of them, of another vendor."""
    path = incoming.scope["raw_path"]
    path = path if path.startswith(b"/v1/") else b"/v1" + path
    dialect = "anthropic" if incoming.listener == "anthropic" else "openai-chat"
    context = Context(dialect, target.provider_type, "")
    return Outgoing(
        target, _head("GET", target, path, _foreign_headers(incoming, target, frozenset())), [], False, context=context
    )


def _variables(incoming: Incoming, target: Target, model: str) -> Variables:
    session_id = incoming.session_id if target.rewriter.needs_request else ""
    return Variables(target.name, model, session_id, incoming.request_id)


def _changed_headers(target: Target, variables: Variables, notes: list[str]) -> tuple[bytes, frozenset[bytes]]:
    """Give header lines that differ from request to request, and the names of the client's that they replace."""
    lines, dropped = b"", frozenset()
    if target.rewriter.static_headers is None:
        lines, problems = target.rewriter.header_lines(variables)
        notes += problems
    if target.login is not None:
        try:
            pairs = target.login.headers(monotonic())
        except LoginError as error:
            raise CannotServe(502, f"LunaRoute: provider {target.name}: {error}") from None
        lines += b"".join(b"%b: %b\r\n" % pair for pair in pairs)
        dropped = CREDENTIALS | {name.lower() for name, _ in pairs}
    return lines, dropped


def _foreign_headers(incoming: Incoming, target: Target, dropped: frozenset[bytes]) -> bytes:
    """The header lines for a vendor that the client does not know of: not its key, nor what only its own vendor reads."""
    dropped = target.dropped | dropped
    passed = [h for h in incoming.headers if h[0].lower() in UNDERSTOOD_BY_ALL and h[0].lower() not in dropped]
    if target.provider_type == "anthropic":
        passed.append((b"anthropic-version", ANTHROPIC_VERSION))
    passed.append((b"accept-encoding", b"identity"))
    return b"".join(b"%b: %b\r\n" % header for header in passed) + target.added


def _head(method: str, target: Target, path: bytes, lines: bytes) -> bytes:
    upstream = target.upstream
    return b"%b %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (method.encode(), upstream.target(path), upstream.authority, lines)
