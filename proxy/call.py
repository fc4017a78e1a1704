"""One request, whole, and those who may be asked for its answer.

What decides (routing/) does no I/O; here it is done. Until the first byte of an answer has gone to the client another
provider may be asked; after it, nothing is asked again.
"""

from dataclasses import dataclass
from time import perf_counter, time

import orjson

from proxy import state
from proxy.capture import Attempt, ResponseHead, Routing
from proxy.connection import Connection, Response
from proxy.decoding import is_known
from proxy.errors import UpstreamError
from proxy.exchange import Exchange
from proxy.handler import ProxyRequest, RawResponse
from proxy.headers import first, for_record
from proxy.keepalive import Commented
from proxy.outgoing import CannotServe, Incoming, Outgoing, prepare
from proxy.relay import TranslatedRelay, discard, read_answer, refused, relayed
from proxy.sending import send
from proxy.state import Target
from routing import metrics
from routing.board import Ticket
from routing.definitions import Provider
from routing.families import api_for
from routing.paths import COUNT_TOKENS, MODELS
from routing.rewriting.notifications import notification, with_notification
from routing.rewriting.spans import CannotRewrite
from routing.router import Decision
from routing.translation.answers import StreamTranslator, WrongDialect, translate_answer
from routing.translation.context import Context
from routing.translation.counting import estimate_tokens
from routing.translation.errors import translate_error
from routing.translation.models import translate_models

# Bytes of an error's body, and of an answer in JSON, that are translated.
MAX_ERROR, MAX_JSON = 1 << 20, 64 << 20
# Bytes of warnings that a client is told of in a header.
MAX_WARNING = 2000
# A vendor's status for "overloaded", in the words of the other.
_TO_OPENAI, _TO_ANTHROPIC = {529: 503}, {503: 529}


@dataclass(frozen=True, slots=True)
class Held:
    """An answer that the client gets if nobody has a better one, with the clock readings that belong to it."""

    outgoing: Outgoing
    response: Response
    connection: Connection
    sent: float
    lost: float


class Call:
    """One request, whole, and those who may be asked."""

    def __init__(self, exchange: Exchange, request: ProxyRequest, incoming: Incoming, decision: Decision) -> None:
        self.exchange, self.request, self.incoming, self.decision = exchange, request, incoming, decision
        # Who would serve it if nothing were wrong, and nobody had chosen another.
        self._usual = decision.providers[0].name if decision.rule else exchange.target.name
        self._attempts: list[Attempt] = []
        self._held: Held | None = None  # the last answer, while another one is asked
        self._failure: tuple[Outgoing, UpstreamError] | None = None
        self._refusal: tuple[Target, CannotServe] | None = None
        self._from = ""  # who was asked in vain, and why
        self._reason = ""

    async def answer(self) -> RawResponse:
        """Ask one after another until one answers. Raises CancelledError where the client has gone."""
        try:
            answer = await self._ask_all()
            return answer if answer is not None else await self._last()
        except BaseException:
            self._drop_held()
            raise

    async def _ask_all(self) -> RawResponse | None:
        board, providers = state.current.board, self.decision.providers
        was_asked = False
        for place, provider in enumerate(providers):
            if self.incoming.endpoint == COUNT_TOKENS and _is_foreign(provider):
                if not was_asked:
                    return self._count(provider)
                continue
            ticket = board.ask(provider.name, backoff_base_secs=self.decision.backoff_base_secs)
            if ticket is None:
                self._from, self._reason = provider.name, board.why_out(provider.name)
                self._attempts.append(Attempt(provider.name, reason=self._reason))
                continue
            was_asked = True
            is_last = place == len(providers) - 1
            answer = await self._with(ticket, provider, None if is_last else 0)
            if answer is not None:
                return answer
        if was_asked:
            return None
        # All are out: who will be back first is asked all the same.
        name = board.soonest([provider.name for provider in providers])
        provider = next(provider for provider in providers if provider.name == name)
        return await self._with(board.ask(name, True, self.decision.backoff_base_secs), provider, None)

    async def _with(self, ticket: Ticket, provider: Provider, retries: int | None) -> RawResponse | None:
        try:
            return await self._try(provider, ticket, retries)
        finally:
            ticket.cancelled()  # where nothing else was said

    async def _try(self, provider: Provider, ticket: Ticket, retries: int | None) -> RawResponse | None:
        """Ask one provider. Gives the client's answer, or None where another one may be asked."""
        exchange = self.exchange
        target = state.current.target(provider)
        exchange.target = target
        try:
            outgoing = prepare(self.incoming, target, lambda body, dialect: self._notified(provider, body, dialect))
        except CannotServe as error:
            self._refusal = (target, error)
            self._attempts.append(Attempt(provider.name, reason=f"cannot serve it: {error}"))
            return None
        if self._from:
            metrics.fell_back(self._from, provider.name, self._reason)
            if provider.name in self.decision.alternatives:
                metrics.alternative_used(self._from, provider.name)
        exchange.begin({**target.metadata, **(outgoing.metadata or {})})
        exchange.body = outgoing.body
        began = perf_counter()
        try:
            response = await send(exchange, self.request, target, outgoing.head, outgoing.chunked, retries)
        except UpstreamError as error:
            self._failed(provider, ticket.failed(error.kind), perf_counter() - began, None, error.sent)
            self._failure = (outgoing, error)
            return None
        reason = ticket.answered(response.status, response.headers)
        if not reason:
            exchange.ticket = ticket
            self._drop_held()
            took = (perf_counter() - began) * 1e3
            self._attempts.append(Attempt(provider.name, response.status, took))
            return await self._pass_on(outgoing, response)
        self._drop_held()
        self._held = Held(outgoing, response, exchange.connection, exchange.sent, exchange.lost)
        self._failed(provider, reason, perf_counter() - began, response.status, False)
        return None

    def _failed(self, provider: Provider, reason: str, seconds: float, status: int | None, was_sent: bool) -> None:
        self.exchange.lost += seconds
        self._attempts.append(Attempt(provider.name, status, seconds * 1e3, reason, was_sent))
        self._from, self._reason = provider.name, reason

    def _drop_held(self) -> None:
        if self._held is not None:
            discard(self._held.response, self._held.connection)
            self._held = None

    async def _last(self) -> RawResponse:
        """Nobody is left to ask: the client gets the last answer that there was, else why there was none."""
        if self._held is not None:
            held, exchange = self._held, self.exchange
            exchange.target, exchange.connection = held.outgoing.target, held.connection
            exchange.sent, exchange.lost, exchange.first_in = held.sent, held.lost, held.response.first_byte_at
            return await self._pass_on(held.outgoing, held.response)
        if self._failure is not None:
            outgoing, error = self._failure
            self.exchange.target = outgoing.target
            self._note_routing(outgoing)
            return refused(self.exchange, error)
        target, error = self._refusal
        self.exchange.target = target
        self._note_routing(None)
        return self.exchange.answer(error.response(self.exchange.listener), "bad_request", str(error))

    def _notified(self, provider: Provider, body: bytes, dialect: str) -> bytes:
        """Give the body with a notification in front, where the conversation comes to `provider` from another."""
        if not provider.switch_notification or not dialect:
            return body
        reason = f"{self._from}: {self._reason}" if self._from else self.decision.why
        original = state.current.notices.due(self.incoming.session_id, provider.name, self._usual)
        if not original:
            return body
        text = notification(provider.switch_notification, original, provider.name, reason, self.incoming.model)
        try:
            body = with_notification(body, dialect, text)
        except CannotRewrite as error:
            self.incoming.notes.append(f"the model was not told that {provider.name} takes over: {error}")
        else:
            self.incoming.notes.append(f"the model was told that {provider.name} takes over from {original}")
        return body

    # -- answers -----------------------------------------------------------------------------------------------

    async def _pass_on(self, outgoing: Outgoing, response: Response) -> RawResponse:
        exchange = self.exchange
        exchange.body = None
        if state.current.has_notifications:
            state.current.notices.served(self.incoming.session_id, outgoing.target.name)
        self.incoming.body = self.incoming.sent_body = b""
        self._note_routing(outgoing)
        if outgoing.context is None:
            return relayed(exchange, self.request, response, *self._headers(outgoing))
        try:
            return await self._translated(outgoing, outgoing.context, response)
        except WrongDialect as error:
            message = f"LunaRoute: provider {outgoing.target.name} {error}"
            return exchange.refuse(502, message, "upstream_broken", message)

    async def _translated(self, outgoing: Outgoing, context: Context, response: Response) -> RawResponse:
        exchange = self.exchange
        headers = [(name, value) for name, value in response.headers if name.lower() == b"retry-after"]
        headers += self._headers(outgoing)
        coding = (first(response.headers, b"content-encoding") or b"").decode("latin-1")
        if not is_known(coding):
            raise WrongDialect(f"answered in a coding that is not known ({coding}).")
        kind = first(response.headers, b"content-type") or b""
        if response.status < 300 and kind.startswith(b"text/event-stream") and context.is_streaming:
            headers = [
                (b"content-type", b"text/event-stream; charset=utf-8"),
                (b"cache-control", b"no-cache"),
                *headers,
            ]
            if exchange.capture is not None:
                exchange.capture.response_head(ResponseHead(response.status, for_record(headers)))
            exchange.status = response.status
            translator = StreamTranslator(context, created=int(time()))
            relay = TranslatedRelay(exchange, response, translator, coding)
            seconds = state.current.sse_keepalive
            return RawResponse(response.status, headers, Commented(relay, seconds) if seconds else relay)
        status = response.status
        limit = MAX_JSON if status < 300 else MAX_ERROR
        body = await read_answer(response, coding, limit)
        exchange.chunk_in = perf_counter()
        if status >= 300:
            body = translate_error(context.client, context.provider, status, body)
            status = (_TO_ANTHROPIC if context.client == "anthropic" else _TO_OPENAI).get(status, status)
        elif self.incoming.endpoint == MODELS:
            body = translate_models(exchange.listener, body)
        elif context.is_streaming:
            return self._as_stream(context, body, status, headers)
        else:
            body = translate_answer(context, body, int(time()))
        exchange.first_out = perf_counter()
        return exchange.complete(_whole(status, body, b"application/json", headers))

    def _as_stream(self, context: Context, body: bytes, status: int, headers: list) -> RawResponse:
        """A provider that answers in one piece though a stream was asked for."""
        translator = StreamTranslator(context, created=int(time()))
        if body.lstrip()[:6].startswith((b"data:", b"event:", b":")):  # a stream that is not called one
            out = translator.feed(body) + translator.close(broken=False)
        else:
            out = translator.whole(body)
        return self.exchange.complete(_whole(status, out, b"text/event-stream; charset=utf-8", headers))

    def _count(self, provider: Provider) -> RawResponse:
        """Estimate the tokens of a request that this provider has no way to count."""
        exchange, incoming = self.exchange, self.incoming
        exchange.target = state.current.target(provider)
        tokens = estimate_tokens(incoming.body)
        note = f"input_tokens is an estimate: provider {provider.name} cannot count tokens"
        incoming.notes.append(note)
        self._note_routing(None)
        headers = [(b"x-lunaroute-estimated", b"1"), (b"x-lunaroute-warning", note.encode("latin-1", "replace"))]
        body = orjson.dumps({"input_tokens": tokens})
        return exchange.complete(_whole(200, body, b"application/json", headers))

    def _headers(self, outgoing: Outgoing) -> list[tuple[bytes, bytes]]:
        """Say who answered, and what the client should know of it."""
        headers = [(b"x-lunaroute-provider", outgoing.target.name.encode("ascii", "replace"))]
        warnings = [*outgoing.warnings]
        if self.exchange.has_unknown_marker:
            warnings += [note for note in self.incoming.notes if note.startswith("[LUNAROUTE:")]
        if warnings:
            text = "; ".join(warnings).encode("ascii", "replace")[:MAX_WARNING]
            headers.append((b"x-lunaroute-warning", bytes(c if 32 <= c < 127 else 63 for c in text)))
        return headers

    def _note_routing(self, outgoing: Outgoing | None) -> None:
        target = self.exchange.target
        self.exchange.routing = Routing(
            rule=self.decision.rule,
            why=self.decision.why,
            provider=target.name,
            provider_type=target.provider_type,
            model=outgoing.model if outgoing else "",
            dialect=outgoing.context.provider if outgoing and outgoing.context else "",
            attempts=self._attempts if len(self._attempts) > 1 else [],
            notes=[*self.incoming.notes, *(outgoing.notes if outgoing else ())],
        )


def _is_foreign(provider: Provider) -> bool:
    return api_for(provider, "anthropic") != "anthropic"


def _whole(status: int, body: bytes, kind: bytes, headers: list[tuple[bytes, bytes]]) -> RawResponse:
    length = (b"content-length", b"%d" % len(body))
    return RawResponse(status, [(b"content-type", kind), length, *headers], (body,))
