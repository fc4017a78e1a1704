"""Redacts what was recorded before redaction was on, or by another policy: a session at a time, all of it or nothing.

A session's rows stay; their texts, and the keys of the contents that these stand in, become what the recorder would have
written. So ids, times, tokens, costs and stars are what they were, and an interrupted run goes on where it was.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from django.db import connection, transaction

from pii.redactor import Redactor
from proxy.capture import End
from routing.heads import header
from sessions import bulk, content, deletion, reading, rewriting, rows, search
from sessions.bodies import Bodies
from sessions.dialects import parse_request
from sessions.dialects.facts import ResponseFacts
from sessions.digest import Live
from sessions.headers import metadata_of
from sessions.models import Exchange, Node, Session, ToolCall
from sessions.redaction import Redaction
from sessions.split import Chain, Parts, chain
from sessions.store import NODE_COLUMNS, Batch

EXCHANGE_FIELDS = (
    "method", "path", "query", "model_requested", "model_used", "finish_reason", "error", "client_ip", "user_agent", "metadata",
    "project",
    "request_headers", "response_headers", "response_id", "messages_from", "leaf", "system", "tools", "recipe", "patches",
    "body_sha256", "response", "answer", "routing", "redactions", "redacted_by",
)  # fmt: skip
CALL_FIELDS = ("call_id", "name", "arguments", "result", "input_bytes", "output_bytes")
SESSION_FIELDS = ("title", "project", "tags", "client_ip", "user_agent", "error", "model_used", "model_tokens")


class Elsewhere(Exception):
    """A session's file lies on the disk of another recorder, which the message names; or its exchanges run there."""


@dataclass(slots=True)
class Redone:
    """What becomes of a session: its rows with new values, what they name (in `batch`), the values replaced by type."""

    session: Session
    exchanges: list[Exchange] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    batch: Batch = field(default_factory=Batch)
    counts: Counter[str] = field(default_factory=Counter)


class Redoing:
    """Redoes sessions by one policy. `identity` names the recorder of this home."""

    def __init__(self, redactor: Redactor, identity: str) -> None:
        self._redaction = Redaction(redactor)
        self._identity = identity
        self._columns = Redactor(redactor.policy)  # of texts that are counted where they came from

    def waiting(self) -> list[int]:
        """Give the primary keys of sessions that are still to be redacted, in the order of their start."""
        found = Session.objects.filter(
            pk__in=Exchange.objects.exclude(redacted_by=self._redaction.policy).values("session")
        )
        return list(found.order_by("started_at", "pk").values_list("pk", flat=True))

    def redo(self, key: int, write: bool = True) -> Counter[str]:
        """Redact a session, or with `write` false only say what would be replaced: values by type.

        Raises Elsewhere, OSError, DatabaseError, and KeyError where contents are missing; nothing has changed then.
        """
        session = Session.objects.get(pk=key)
        other = rewriting.elsewhere(session, self._identity)
        running = session.exchanges.filter(success=None).exclude(recorder=self._identity)
        if connection.vendor != "sqlite" and not other:
            other = running.values_list("recorder", flat=True).first() or ""
        if other:
            raise Elsewhere(other)
        redone = _Plan(self._redaction, self._columns, session).redone()
        if write:
            rewriting.prepare(session)
            _write(redone)
        return redone.counts


def _write(redone: Redone) -> None:
    session, batch = redone.session, redone.batch
    with transaction.atomic():
        content.keep_others_out()
        Session.objects.select_for_update().get(pk=session.pk)
        held = deletion.held_by([session.pk])
        search.remove([session.pk])  # while the texts are there by which it finds its entries
        content.put(batch.blobs)
        content.put_results(batch.places)
        bulk.insert_tuples(Node, NODE_COLUMNS, list(batch.nodes.values()))
        bulk.update(Exchange, redone.exchanges, EXCHANGE_FIELDS)
        bulk.update(ToolCall, redone.calls, CALL_FIELDS)
        session.save(update_fields=SESSION_FIELDS)
        search.add(session)
        deletion.release(held)
        places = {node: (parent, blob) for node, parent, blob, _ in batch.nodes.values()}
        rewriting.rewrite(session, _Requests(places, batch.blobs).body)


class _Plan:
    """Makes a session's new values, exchange by exchange in the order in which they were recorded."""

    def __init__(self, redaction: Redaction, columns: Redactor, session: Session) -> None:
        self._redaction, self._columns = redaction, columns
        self._before, self._after = Bodies(), Bodies()
        self._done = Redone(session)
        self._title: str | None = None  # the new one, once its words are found
        self._errors: dict[str, str] = {}  # old → new
        self._known: set[bytes] = set()  # places of the session's conversations
        self._chain = Chain()
        self._asked: dict[int | None, list[ToolCall]] = defaultdict(list)  # by the exchange whose answer has them
        self._brought: dict[int | None, list[ToolCall]] = defaultdict(list)  # by the exchange that has their results

    def redone(self) -> Redone:
        """Give what becomes of the session."""
        done, session = self._done, self._done.session
        exchanges = list(session.exchanges.order_by("pk"))
        done.calls = list(session.tool_calls.order_by("exchange_id", "position"))
        for call in done.calls:
            self._asked[call.exchange_id].append(call)
            self._brought[call.result_exchange_id].append(call)
        requests = _stored(session, exchanges)
        arguments = content.get_many(call.arguments for call in done.calls)
        for row in exchanges:
            row.session = session
            self._exchange(row, requests.body(row), arguments)
        done.exchanges = exchanges
        self._session(exchanges)
        return done

    def _exchange(self, row: Exchange, body: bytes, arguments: dict[bytes, bytes]) -> None:
        answer = reading.answer_bytes(row)
        said = reading.facts_of(row, answer) if answer else ResponseFacts()
        error = row.error if row.error != rows.column(said.error) else ""
        live = _live(row, body, error)
        live.replace_answer(answer, said)
        self._redaction.open(live)
        readable = live.request
        before = self._before.take_apart(readable, row.dialect, live.begin.headers) if readable else _NOTHING
        self._redaction.body(live, before)
        is_changed = live.request is not readable
        after = self._after.take_apart(live.request, row.dialect, live.begin.headers) if is_changed else before
        self._retitle(row, before, after)
        self._redaction.end(live)
        facts = reading.facts_of(row, live.answer) if answer and live.answer != answer else said
        self._request(row, live, after)
        self._answer(row, live, said, facts)
        self._head(row, live)
        self._calls(row, facts, arguments)
        row.redactions = dict(Counter(row.redactions) + live.redactions)
        row.redacted_by = self._redaction.policy
        self._done.counts.update(live.redactions)

    def _head(self, row: Exchange, live: Live) -> None:
        text, begin = self._columns.text, live.begin
        row.method = text(begin.method)[:16]
        row.path, row.query, row.client_ip = begin.path[:2048], begin.query, begin.client_ip[:64]
        agent = header(begin.headers, "user-agent")
        row.user_agent = (agent or text(row.user_agent))[:512] if row.user_agent else ""
        row.metadata = {**metadata_of(begin.headers), **begin.metadata}
        if row.project is not None:
            row.project = rows.column(str(row.metadata.get("project") or ""), 255)
        row.request_headers, row.response_headers = begin.headers, live.response_headers
        row.model_requested, row.model_used = text(row.model_requested)[:128], text(row.model_used)[:128]
        row.finish_reason = text(row.finish_reason)[:64]
        row.routing = rows.kept_routing(live.end.routing)

    def _request(self, row: Exchange, live: Live, parts: Parts) -> None:
        """Note the parts of a request and its messages' places, as the recorder does (sessions/store.py)."""
        batch = self._done.batch
        row.body_sha256 = sha256(live.request).digest()
        row.leaf = row.system = row.tools = row.recipe = row.patches = b""
        names = ("template", "system", "tools") if live.request else ()
        keys = {name: batch.blob(data) for name in names if (data := getattr(parts, name))}
        if keys:
            rows.keep_parts(row, parts, keys)
        places = self._chain = chain(parts.messages, self._chain)
        nodes = places.nodes
        known = next((at for at, node in enumerate(nodes) if node not in self._known), len(nodes))
        row.messages_from = min(row.messages_from, known)
        for at in range(known, len(nodes)):
            batch.nodes[nodes[at]] = (nodes[at], nodes[at - 1] if at else b"", places.blobs[at], at + 1)
            batch.blobs[places.blobs[at]] = parts.messages[at]
        if nodes:
            row.leaf = nodes[-1]
        if row.kind == "model":
            self._known.update(nodes)
        self._results(row, parts, places)

    def _results(self, row: Exchange, parts: Parts, places: Chain) -> None:
        """Take the results that a request brought from what it says now."""
        brought = self._brought[row.pk]
        if not brought:
            return
        new = parts.messages[row.messages_from :] if parts.messages else None
        facts = parse_request(row.dialect, row.kind, parts.head, new)
        keys = places.blobs[len(places.blobs) - len(facts.messages) :]
        messages = {b.id: key for m, key in zip(facts.messages, keys, strict=False) for b in m.blocks}
        said = {result.id: result for result in facts.tool_results}
        for call in brought:
            # Its exchange came first: it has its new id already.
            result = said.get(call.call_id)
            if result is not None:
                call.result = self._done.batch.result(result, row.dialect, messages.get(result.id, b""))
                call.output_bytes = len(result.text.encode("utf-8", "replace"))
            else:
                data = self._columns.json(content.get_many([call.result]).get(bytes(call.result), b""))
                call.result, call.output_bytes = self._done.batch.blob(data), len(data)

    def _answer(self, row: Exchange, live: Live, said: ResponseFacts, facts: ResponseFacts) -> None:
        text = self._columns.text
        if live.answer:
            key = self._done.batch.blob(live.answer)
            row.response, row.answer = (b"", key) if row.answer else (key, b"")
        is_the_answers = row.response_id and row.response_id == rows.column(said.response_id, 128)
        row.response_id = rows.column(facts.response_id if is_the_answers else text(row.response_id), 128)
        before = row.error
        if live.end.error_message:
            row.error = live.end.error_message
        elif row.error:
            row.error = rows.column(text(facts.error or row.error))
        self._errors[before] = row.error

    def _calls(self, row: Exchange, facts: ResponseFacts, arguments: dict[bytes, bytes]) -> None:
        for call in self._asked[row.pk]:
            given = facts.tool_calls[call.position] if call.position < len(facts.tool_calls) else None
            if given is not None:
                call.call_id, call.name = rows.column(given.id, 255), rows.column(given.name, 255)
                data = given.arguments.encode("utf-8", "replace")
            else:
                call.call_id, call.name = self._columns.text(call.call_id), self._columns.text(call.name)
                data = self._columns.json(arguments.get(bytes(call.arguments), b""))
            call.arguments, call.input_bytes = self._done.batch.blob(data), len(data)

    # -- the session ----------------------------------------------------------------------------------------

    def _retitle(self, row: Exchange, before: Parts, after: Parts) -> None:
        """Find the words that the title was made of: a title may be cut off within a value, which then would stay."""
        title = self._done.session.title
        if title and self._title is None and _title(row, before) == title:
            self._title = _title(row, after)

    def _session(self, exchanges: Sequence[Exchange]) -> None:
        session, text = self._done.session, self._columns.text
        if self._title is None:
            self._title = "" if session.title.endswith("…") else text(session.title)
        session.title = self._title[:200]
        session.error = self._errors.get(session.error) or text(session.error)
        session.model_used = text(session.model_used)[:128]
        session.model_tokens = {text(name): tokens for name, tokens in session.model_tokens.items()}
        described = Session(session_id=session.session_id, started_at=session.started_at)
        for row in exchanges:
            rows.describe_session(described, row)
        for name in ("project", "tags", "client_ip", "user_agent"):
            setattr(session, name, getattr(described, name))


_NOTHING = Parts(template=b"", is_split=False)


def _title(row: Exchange, parts: Parts) -> str:
    facts = parse_request(row.dialect, row.kind, parts.head, parts.messages or None)
    return rows.title_of(facts.first_user_text)


@dataclass(frozen=True, slots=True)
class _Requests:
    """The requests of one session, all that they are made of at hand: place → place before it, key of its message."""

    places: dict[bytes, tuple[bytes, bytes]]
    contents: dict[bytes, bytes]

    def body(self, row: Exchange) -> bytes:
        """Give a request's body; empty where it was not kept. Raises KeyError where a part of it is missing."""
        if not row.recipe:
            return b""
        keys, place = [], bytes(row.leaf)
        while place:
            place, key = self.places[place]
            keys.append(key)
        return reading.body_from(row, keys[::-1], self.contents)


def _stored(session: Session, exchanges: Sequence[Exchange]) -> _Requests:
    """Read what a session's requests are made of."""
    nodes = deletion.held_by([session.pk]).places
    places = {key: (bytes(node.parent), bytes(node.blob)) for key, node in nodes.items()}
    keys = {blob for _, blob in places.values()}
    keys.update(bytes(key) for row in exchanges for key in (row.recipe, row.system, row.tools) if key)
    return _Requests(places, content.get_many(keys))


def _live(row: Exchange, body: bytes, error: str) -> Live:
    """Give a recorded exchange as the recorder had it, as far as redaction asks."""
    end = End(
        completed_us=0, duration_ms=0.0, overhead_before_ms=0.0, overhead_after_ms=0.0, provider_latency_ms=None,
        first_byte_ms=None, request_bytes=0, response_bytes=0, chunk_count=0, attempts=1, error_message=error or None,
        routing=rows.routing_of(row),
    )  # fmt: skip
    return Live(
        rows.begin_of(row), row.dialect, row.kind, row.transport, body, row.capture, status=row.status,
        response_headers=[(name, value) for name, value in row.response_headers], end=end,
    )  # fmt: skip
