"""Writes exchanges: rows and JSONL lines of a batch, all of it or nothing."""

import logging
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from django.db import IntegrityError, connection, transaction
from django.db.backends.utils import CursorWrapper

from proxy.capture import Begin
from routing.session_ids import session_id_of
from sessions import bulk, content, lines, prices, rows, saying, search
from sessions.bodies import Bodies
from sessions.bounds import keep
from sessions.dialects import parse_request
from sessions.dialects.facts import RequestFacts, ResponseFacts, ToolResult
from sessions.digest import ENDED, FIRST_TOKEN, OPENED, Event, Live
from sessions.headers import has_token
from sessions.jsonl import JsonlWriter, path_of
from sessions.models import Exchange, Node, Session, ToolCall
from sessions.redaction import Redaction
from sessions.requests import RequestReader, Told, words
from sessions.split import Chain, Parts, chain

logger = logging.getLogger("lunaroute.recorder")

# Sessions whose state is at hand, answers that another request may continue, exchanges that a resend may bring again.
MAX_STATES, MAX_ANSWERS, MAX_DONE = 128, 1000, 10_000
# Conversations whose last request is at hand, and the longest that is, bytes: what a request repeats is then compared
# instead of hashed.
MAX_CHAINS, MAX_CHAIN_SIZE = 64, 1 << 19
# Of each session: places of its conversations, and answers, calls, parts and words that its next requests may name. The oldest
# go: what is no longer known is told once more.
MAX_PLACES, MAX_NAMED = 20_000, 2000
# Results of a session that came before the answer that asked for them had ended.
MAX_EARLY = 100
# Characters of a person's words that lines repeat while the model works on them.
SHORT = 48
# Free pages that one step of the upkeep gives back: 1 MiB.
PAGES_AT_ONCE = 256
NODE_COLUMNS = ("key", "parent", "blob", "depth")
# What other recorders may have added to a session since it was read.
SHARED_FIELDS = (
    *rows.SUMS, "cost_usd", "requests", "tool_calls_count", "errors", "success", "error", "model_tokens", "duration_ms",
    "provider_time_ms", "proxy_overhead_ms", "completed_at",
)  # fmt: skip
# What a person may change at any time stays as it is.
RECORDED_FIELDS = tuple(f.name for f in Session._meta.concrete_fields if f.name not in ("id", "pinned"))
RESULT_FIELDS = ("result_exchange", "result", "output_bytes", "is_error", "execution_ms")
INTERRUPTED = "interrupted: LunaRoute ended before the answer was complete"
UNRECORDABLE = "unrecordable: LunaRoute could not record what was said"


class SessionGone(Exception):
    """A session that was at hand has been deleted."""


@dataclass(slots=True)
class SessionState:
    """What is at hand of a session, so that an exchange costs no questions to the database."""

    row: Session
    nodes: dict[bytes, None] = field(default_factory=dict)  # places of its conversations
    # Place → the latest exchange whose request ended there: its key, or itself until it is written.
    leaves: dict[bytes, Exchange | int] = field(default_factory=dict)
    pending: dict[str, ToolCall] = field(default_factory=dict)  # calls without a result, by call id
    arguments: dict[str, bytes] = field(default_factory=dict)  # theirs, as far as at hand
    early: dict[str, "Result"] = field(default_factory=dict)  # results without a call, by call id
    told: dict[bytes, Told] = field(default_factory=dict)  # place → what its conversation told up to there
    latest: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)  # part → its latest bytes and their key
    said: dict[bytes, tuple[str, int]] = field(default_factory=dict)  # message → the answer that said it, see lines.New
    headers: list[tuple[str, str]] | None = None  # of the latest request
    named: lines.Named = field(default_factory=lines.Named)  # by its latest line of a request
    written: dict[bytes, None] = field(default_factory=dict)  # system prompts, tool lists, templates that its JSONL has
    titled_by_agent: bool = True

    def key_of(self, part: str, data: bytes) -> bytes:
        """The key of a part's bytes. That they are the same as last time is seen faster than hashed."""
        before = self.latest.get(part)
        if before is None or before[0] != data:
            before = self.latest[part] = (data, content.key_of(data))
        return before[1]

    def let_go(self) -> None:
        """Forget the oldest of what has become too much."""
        for known in (self.nodes, self.leaves):
            keep(known, MAX_PLACES)
        for known in (self.pending, self.arguments, self.told, self.said, self.written):
            keep(known, MAX_NAMED)


@dataclass(frozen=True, slots=True)
class Result:
    """A tool's result: what it says, the exchange that brought it, the key of the message that it stands in."""

    said: ToolResult
    row: Exchange
    message: bytes


@dataclass(slots=True)
class Batch:
    """What a batch of events comes to, before any of it is written."""

    sessions: dict[str, SessionState] = field(default_factory=dict)
    blobs: dict[bytes, bytes] = field(default_factory=dict)
    nodes: dict[bytes, tuple[bytes, bytes, bytes, int]] = field(default_factory=dict)  # key, parent, blob, depth
    created: dict[str, Exchange] = field(default_factory=dict)
    changed: dict[str, Exchange] = field(default_factory=dict)
    ended: list[tuple[Exchange, int]] = field(default_factory=list)  # with their number of tool calls
    parents: list[tuple[Exchange, Exchange]] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    results: list[tuple[ToolCall, Exchange]] = field(default_factory=list)
    places: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)  # of results' texts, see content.put_results
    lines: dict[Path, list[bytes]] = field(default_factory=dict)
    said: list[search.Said] = field(default_factory=list)

    def blob(self, data: bytes) -> bytes:
        """Note content to be stored; gives its key."""
        key = content.key_of(data)
        self.blobs[key] = data
        return key

    def result(self, said: ToolResult, dialect: str, message: bytes) -> bytes:
        """Note a tool's result to be stored, which stands in the message of that key (empty: in none); gives its key."""
        data = said.text.encode("utf-8", "replace")
        if not message or len(data) < content.WORTH_NAMING:
            return self.blob(data)
        key, place = content.result_place(message, dialect, said.id)
        self.places[key] = (len(data), place)
        return key


class Store:
    """Applies batches of events. One per recorder; `identity` names it (host and home)."""

    def __init__(
        self, identity: str, sessions_dir: Path, write_jsonl: bool, keep_user_agent: bool,
        redaction: Redaction | None = None,
    ) -> None:  # fmt: skip
        self._redaction = redaction
        self._identity, self._root = identity, sessions_dir
        self._write_jsonl, self._keep_user_agent = write_jsonl, keep_user_agent
        self._jsonl = JsonlWriter(identity, sessions_dir)
        self._states: OrderedDict[str, SessionState] = OrderedDict()
        self._open: dict[str, Exchange] = {}  # by request id, exchanges that have not ended
        self._done: OrderedDict[str, None] = OrderedDict()  # request ids that have
        self._answers: OrderedDict[tuple[str, str], Exchange] = (
            OrderedDict()
        )  # by owner and the vendor's id of the answer
        self._chains: OrderedDict[str, Chain] = OrderedDict()  # by session id, of its latest request
        self._bodies = Bodies()  # as they were sent
        self._redacted = Bodies()  # what redaction made of those that it changed
        self._reader = RequestReader()
        self._index = search.Indexer()

    # -- what a recorder before this one left ---------------------------------------------------------------

    def recover(self, interrupt: bool) -> None:
        """Mend torn lines; with `interrupt`, end the exchanges that nobody will ever complete."""
        self._jsonl.adopt()
        self._jsonl.mend()
        if interrupt:
            self.interrupt()

    def interrupt(self, but: Collection[str] = ()) -> None:
        """End the exchanges that this recorder has begun and nobody will ever complete: all `but` those ids."""
        if connection.vendor == "sqlite":  # nobody else records into it
            Exchange.objects.filter(success=None).exclude(recorder=self._identity).update(recorder=self._identity)
        batch = Batch()
        left = Exchange.objects.filter(recorder=self._identity, success=None).select_related("session").order_by("pk")
        try:
            for row in left:
                if row.request_id in but:
                    continue
                session_id = row.session.session_id
                state = batch.sessions.get(session_id) or self._states.get(session_id) or SessionState(row.session)
                batch.sessions[session_id] = state
                row.session = state.row
                self._open.pop(row.request_id, None)
                self._cut_off(batch, row, INTERRUPTED)
            self._write(batch)
        except BaseException:
            self._forget()
            raise

    def _cut_off(self, batch: Batch, row: Exchange, error: str) -> None:
        """Note the end of an exchange of whose answer nothing is recorded."""
        row.success, row.error = False, error
        row.completed_at = row.completed_at or datetime.now(UTC)
        if row.request_id not in batch.created:
            batch.changed[row.request_id] = row
        batch.ended.append((row, 0))
        batch.said += search.said_in_answer(row, None)
        self._add_line(batch, row.session, lines.completed(row, {}))

    # -- a batch --------------------------------------------------------------------------------------------

    def apply(self, events: list[Event]) -> Batch:
        """Record `events`; gives what that came to. Raises what database or disk say, and has then recorded nothing of them."""
        prices.refresh()
        try:
            return self._apply_all(events)
        except (SessionGone, IntegrityError):
            # What was at hand has been deleted meanwhile; now nothing is, and all is read again.
            return self._apply_all(events)

    def _apply_all(self, events: list[Event]) -> Batch:
        batch = Batch()
        try:
            self._recall(events)
            for event in events:
                self._apply(batch, event)
            self._write(batch)
        except BaseException:
            self._forget()
            raise
        return batch

    def _forget(self) -> None:
        """What is at hand may not be so: the database has the last word on what is there."""
        self._states.clear()
        self._open.clear()
        self._done.clear()
        self._answers.clear()
        self._chains.clear()
        self._jsonl.forget()
        self._index.forget()

    def without_text(self, events: list[Event]) -> Batch:
        """Record an exchange that cannot be recorded as it is without its request's and its answer's text."""
        for event in events:
            event.live.strip()
        return self.apply(events)

    def bare_facts(self, events: list[Event]) -> Batch:
        """Record of an exchange no more than when it was, and whether it has ended: nothing that a client or a provider wrote.
        For one that cannot be recorded otherwise."""
        live = events[-1].live
        request_id = live.begin.request_id
        batch = Batch()
        try:
            row = Exchange.objects.filter(request_id=request_id).select_related("session").first()
            if row is None:
                # A session of its own: the name of the one that it belongs to may be what cannot be written.
                session = Session(
                    session_id=request_id, started_at=rows.time_of(live.begin.started_us), owner=live.begin.owner
                )
                row = rows.bare_row(live, self._identity)
                row.session = session
                batch.created[request_id] = row
            elif row.success is not None:
                return batch
            batch.sessions[row.session.session_id] = SessionState(row.session)
            if live.end is not None:
                rows.end_bare_row(row, live)
                self._cut_off(batch, row, UNRECORDABLE)
            self._write(batch)
        except BaseException:
            self._forget()
            raise
        self._forget()  # sums that were at hand are others now
        return batch

    def tidy(self) -> bool:
        """Do a little of the upkeep for which there is time now. False when all is done."""
        if connection.vendor != "sqlite":
            return False
        with _others_first():
            if search.engine().merge():
                return True
            # A cursor would give back only one page.
            with connection.wrap_database_errors:
                connection.connection.executescript(f"PRAGMA incremental_vacuum({PAGES_AT_ONCE})")
        return self.fold_log()

    def fold_log(self) -> bool:
        """Fold SQLite's log into the database, unless somebody reads from it: it stays as long as it ever was else.
        Whether pages are left that nothing uses."""
        if connection.vendor != "sqlite":
            return False
        with _others_first() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return cursor.execute("PRAGMA freelist_count").fetchone()[0] > 0

    def running(self, request_id: str) -> Exchange | None:
        """Give the exchange of that id while it has not ended."""
        return self._open.get(request_id)

    def _recall(self, events: list[Event]) -> None:
        """Find exchanges that a recorder before this one had begun, or even ended."""
        unknown = {e.live.begin.request_id for e in events} - self._open.keys() - self._done.keys()
        stored = bulk.known("exchanges", "request_id", unknown)
        if not stored:
            return
        for row in Exchange.objects.filter(request_id__in=stored).select_related("session"):
            if row.success is None:
                self._open[row.request_id] = row
            else:
                self._note_done(row.request_id)

    def _note_done(self, request_id: str) -> None:
        self._done[request_id] = None
        while len(self._done) > MAX_DONE:
            self._done.popitem(last=False)

    def _apply(self, batch: Batch, event: Event) -> None:
        live = event.live
        request_id = live.begin.request_id
        if request_id in self._done:
            return
        row = self._open.get(request_id)
        if event.what == OPENED and row is None:
            self._opened(batch, live)
        elif event.what == FIRST_TOKEN and row is not None and row.time_to_first_token_ms is None:
            row.time_to_first_token_ms = rows.first_token_ms(live)
            self._change(batch, row)
            self._add_line(batch, row.session, lines.stream_started(row))
        elif event.what == ENDED and row is not None:
            self._ended(batch, live, row)

    def _change(self, batch: Batch, row: Exchange) -> None:
        if row.request_id not in batch.created:
            batch.changed[row.request_id] = row

    # -- a request ------------------------------------------------------------------------------------------

    def _opened(self, batch: Batch, live: Live) -> None:
        parts = self._parts(live)
        head = parse_request(live.dialect, live.kind, parts.head)
        row = rows.opened_row(live, head, self._identity, self._keep_user_agent)
        if self._redaction is not None:
            row.redacted_by = self._redaction.policy
        session_id = self._owners_id(self._session_id(live, head), live.begin)
        state = self._state(batch, session_id, row, live.begin.owner)
        row.session = state.row
        self._open[row.request_id] = batch.created[row.request_id] = row
        rows.describe_session(state.row, row)
        new_parts = self._keep_parts(batch, state, row, parts)
        if head.previous_response_id:
            earlier = self._answered(live.begin.owner, head.previous_response_id)
            if earlier is not None:
                self._set_parent(batch, row, earlier)
        places = self._find_place(batch, state, row, parts)
        facts = self._read(live, parts, places, state, row)
        self._title(state, row, facts, parts)
        batch.said += search.said_in_request(row, parts.messages[row.messages_from :], facts.messages)
        self._add_line(batch, state.row, lines.started(row, live, self._has_same_headers(state, row)))
        # Results first: they belong to what the session's earlier lines asked for.
        self._take_results(batch, state, row, facts, places.blobs)
        known, text = row.messages_from, facts.user_text
        told_before = bool(known) and not facts.first_user_text
        if told_before and len(text) > SHORT:
            text = text[: SHORT - 1] + "…"
        numbers = range(known, len(places.nodes))
        said = {n: state.said[places.blobs[n]] for n in numbers if places.blobs[n] in state.said}
        new = lines.New(new_parts, places.nodes[known - 1] if known else b"", said, state.named)
        self._add_line(batch, state.row, lines.request_recorded(row, facts, live.request, parts, new, text))

    def _parts(self, live: Live) -> Parts:
        headers = live.begin.headers
        if self._redaction is not None:
            self._redaction.open(live)
        sent = live.request
        if sent:
            parts = self._bodies.take_apart(sent, live.dialect, live.begin.headers)
        else:
            parts = Parts(template=b"", is_split=False)
        if live.session_id is None:  # asked of what came, not of what redaction leaves of it
            live.session_id = self._named(session_id_of(headers, parts.head) or "")
        if not sent:
            return parts
        if self._redaction is not None:
            self._redaction.body(live, parts)
        return (
            parts if live.request is sent else self._redacted.take_apart(live.request, live.dialect, live.begin.headers)
        )

    def _has_same_headers(self, state: SessionState, row: Exchange) -> bool:
        before = state.headers
        state.headers = [pair for pair in row.request_headers if pair[0].lower() != "content-length"]
        return state.headers == before

    def _read(self, live: Live, parts: Parts, places: Chain, state: SessionState, row: Exchange) -> RequestFacts:
        """Read what is new in a request."""
        keys = {"system": row.system, "tools": row.tools}
        facts = self._reader.read(live.dialect, live.kind, parts, row.messages_from, places.nodes, state.told, keys)
        row.message_count, row.tool_count = facts.message_count, facts.tool_count
        if places.nodes:
            state.told[places.nodes[-1]] = Told(facts.user_text, bool(facts.system))
        return facts

    def _named(self, session_id: str) -> str:
        """Give the id of a session that a client names so: an id that is a secret, or personal, is stood for by another."""
        if self._redaction is not None:
            return self._redaction.session_id(session_id)
        return rows.former_id_for("", session_id) if has_token(session_id) else session_id

    def _session_id(self, live: Live, facts: RequestFacts) -> str:
        found = live.session_id
        if not found and facts.previous_response_id:
            earlier = self._answered(live.begin.owner, facts.previous_response_id)
            found = earlier.session.session_id if earlier is not None else None
        # A fresh UUID: the request's own, so that recording it again gives the same session.
        return found or live.begin.request_id

    def _answered(self, owner: str, response_id: str) -> Exchange | None:
        """Find the exchange of `owner` whose answer has the vendor's id `response_id`."""
        found = self._answers.get((owner, response_id))
        if found is None:
            rows_of = Exchange.objects.filter(response_id=response_id, session__owner=owner)
            found = rows_of.select_related("session").last()
        return found

    def _owners_id(self, named: str, begin: Begin) -> str:
        """Give the id of the session that `named` means for the owner of a request.

        Clients choose ids: one that somebody else's session has opens no way into it, and stands in nobody's way.
        """
        owner = begin.owner
        holder = self._holder(named)
        if holder == owner or (holder is None and not (owner and named.startswith(rows.RESERVED))):
            return named
        former = rows.former_id_for(owner, named)
        if self._holder(former) == owner:
            return former
        own = rows.id_for(owner, named)
        # Nobody but its owner comes to have it; whatever may be wrong there, the request is recorded.
        return own if self._holder(own) in (owner, None) else begin.request_id

    def _holder(self, session_id: str) -> str | None:
        """Give whose session has that id; None: there is none."""
        state = self._states.get(session_id)
        if state is not None:
            return state.row.owner
        return Session.objects.filter(session_id=session_id).values_list("owner", flat=True).first()

    def _state(self, batch: Batch, session_id: str, row: Exchange, owner: str) -> SessionState:
        state = self._states.get(session_id)
        if state is None:
            session = Session.objects.filter(session_id=session_id).first()
            if session is None:
                fresh = Session(session_id=session_id, started_at=row.started_at, owner=owner)
                state = SessionState(fresh, titled_by_agent=False)
            else:
                state = _load(session)
            self._states[session_id] = state
        self._states.move_to_end(session_id)
        batch.sessions[session_id] = state
        while len(self._states) > MAX_STATES:
            self._states.popitem(last=False)
        return state

    def _title(self, state: SessionState, row: Exchange, facts: RequestFacts, parts: Parts) -> None:
        """The first words that a person wrote; an agent's own errands (without tools) give way to a request with tools."""
        by_agent = row.tool_count > 0
        if state.row.title and not (by_agent and not state.titled_by_agent):
            return
        said = words(row.dialect, parts.messages) if row.messages_from else facts.first_user_text
        if title := rows.title_of(said):
            state.row.title = title
            state.titled_by_agent = by_agent

    def _keep_parts(self, batch: Batch, state: SessionState, row: Exchange, parts: Parts) -> dict[str, bytes]:
        """Note a body's parts to be stored. Gives those that the session did not have."""
        keys, new = {}, {}
        for name in ("template", "system", "tools"):
            if data := getattr(parts, name):
                key = keys[name] = state.key_of(name, data) if parts.is_split else content.key_of(data)
                if key not in state.written:
                    batch.blobs[key] = new[name] = data
                    if parts.is_split:
                        state.written[key] = None
        if keys:
            rows.keep_parts(row, parts, keys)
        return new

    def _find_place(self, batch: Batch, state: SessionState, row: Exchange, parts: Parts) -> Chain:
        """Put the messages where they belong among those of the session, and find the exchange that they continue."""
        session_id = state.row.session_id
        places = chain(parts.messages, self._chains.get(session_id))
        blobs, nodes = places.blobs, places.nodes
        known = len(nodes)
        while known and nodes[known - 1] not in state.nodes:
            known -= 1
        row.messages_from = known
        for at in range(known, len(nodes)):
            batch.blobs[blobs[at]] = parts.messages[at]
            batch.nodes[nodes[at]] = (nodes[at], nodes[at - 1] if at else b"", blobs[at], at + 1)
        if not nodes:
            return places
        self._keep_chain(session_id, places, row.request_bytes)
        row.leaf = nodes[-1]
        self._set_parent(
            batch, row, next((state.leaves[node] for node in reversed(nodes) if node in state.leaves), None)
        )
        if row.kind == "model":  # to have its tokens counted, say, does not carry a conversation on
            state.nodes.update(dict.fromkeys(nodes[known:]))
            state.leaves[row.leaf] = row
        return places

    def _keep_chain(self, session_id: str, places: Chain, size: int) -> None:
        self._chains.pop(session_id, None)
        if size <= MAX_CHAIN_SIZE:
            self._chains[session_id] = places
            while len(self._chains) > MAX_CHAINS:
                self._chains.popitem(last=False)

    def _set_parent(self, batch: Batch, row: Exchange, parent: Exchange | int | None) -> None:
        if parent is None or row.parent_id is not None:
            return
        if isinstance(parent, int):
            row.parent_id = parent
        elif parent.pk is None:
            batch.parents.append((row, parent))
        else:
            row.parent_id = parent.pk

    def _take_results(
        self, batch: Batch, state: SessionState, row: Exchange, facts: RequestFacts, blobs: Sequence[bytes]
    ) -> None:
        if not facts.tool_results or row.kind != "model":
            return
        # Facts are of the request's last messages, all that it has or those that are new.
        places = blobs[len(blobs) - len(facts.messages) :]
        messages = {b.id: key for m, key in zip(facts.messages, places, strict=False) for b in m.blocks}
        for said in facts.tool_results:
            result = Result(said, row, messages.get(said.id, b""))
            call = state.pending.pop(said.id, None)
            if call is not None:
                self._take_result(batch, state, call, result)
            elif len(state.early) < MAX_EARLY:
                state.early[said.id] = result

    def _take_result(self, batch: Batch, state: SessionState, call: ToolCall, result: Result) -> None:
        row, said = result.row, result.said
        call.result = batch.result(said, row.dialect, result.message)
        call.output_bytes, call.is_error = len(said.text.encode("utf-8", "replace")), said.is_error
        call.execution_ms = max((row.started_at - call.started_at).total_seconds() * 1e3, 0.0)
        batch.results.append((call, row))
        arguments = state.arguments.pop(call.call_id, None)
        if arguments is None:
            arguments = content.get_many([call.arguments]).get(bytes(call.arguments), b"")
        text = arguments.decode("utf-8", "replace")
        self._add_line(batch, state.row, lines.tool_call_recorded(call.exchange, call, text, row.started_at))

    # -- an answer ------------------------------------------------------------------------------------------

    def _ended(self, batch: Batch, live: Live, row: Exchange) -> None:
        state = self._state(batch, row.session.session_id, row, row.session.owner)
        row.session = state.row
        if self._redaction is not None:
            self._redaction.end(live)
        facts = live.facts
        rows.end_row(row, live, facts)
        del self._open[row.request_id]
        self._note_done(row.request_id)
        self._change(batch, row)
        if answer := live.answer:
            row.response = batch.blob(answer)
        assembled = lines.answer_json(facts)
        if assembled and not row.response:
            row.answer = batch.blob(assembled)
        batch.said += search.said_in_answer(row, facts.content)
        if self._write_jsonl and assembled:
            for number, message in enumerate(saying.messages(row.dialect, facts.content)):
                state.said[content.key_of(message)] = (row.request_id, number)
        if row.response_id:
            self._answers[state.row.owner, row.response_id] = row
            while len(self._answers) > MAX_ANSWERS:
                self._answers.popitem(last=False)
        self._keep_calls(batch, state, row, facts)
        batch.ended.append((row, len(facts.tool_calls)))
        rows_of = lines.response_recorded(row, facts, assembled) if live.status is not None else b""
        tools = dict(Counter(call.name for call in facts.tool_calls))
        self._add_line(batch, state.row, rows_of + lines.completed(row, tools))

    def _keep_calls(self, batch: Batch, state: SessionState, row: Exchange, facts: ResponseFacts) -> None:
        for position, call in enumerate(facts.tool_calls):
            data = call.arguments.encode("utf-8", "replace")
            kept = bulk.make(
                ToolCall, position=position, call_id=rows.column(call.id, 255), name=rows.column(call.name, 255),
                arguments=batch.blob(data), input_bytes=len(data), started_at=row.completed_at,
            )  # fmt: skip
            kept.session, kept.exchange = state.row, row
            batch.calls.append(kept)
            if call.id:
                state.arguments[kept.call_id] = data
                if found := state.early.pop(call.id, None):
                    self._take_result(batch, state, kept, found)
                else:
                    state.pending[call.id] = kept

    def _add_line(self, batch: Batch, session: Session, data: bytes) -> None:
        if self._write_jsonl:
            batch.lines.setdefault(path_of(session, self._root), []).append(data)

    # -- writing --------------------------------------------------------------------------------------------

    def _write(self, batch: Batch) -> None:
        """Write rows and lines in one transaction."""
        # An answer's first token may come in a batch that has nothing else of its session.
        sessions = [*(s.row for s in batch.sessions.values()), *(row.session for row in batch.changed.values())]
        by_path = {path_of(row, self._root): row for row in sessions}
        # Rows of files are committed before the files exist, so that a torn line is known for what it is.
        self._jsonl.register(batch.lines)
        is_written = False
        try:
            with transaction.atomic(), bulk.together():
                content.keep_others_out(shared=True)
                self._write_sessions(batch)
                content.put(batch.blobs)
                content.put_results(batch.places)
                bulk.insert_tuples(Node, NODE_COLUMNS, list(batch.nodes.values()))
                self._write_exchanges(batch)
                self._write_calls(batch)
                first = min((row.pk for row in batch.created.values()), default=0)
                self._index.write(batch.said, [state.row for state in batch.sessions.values()], first)
                self._jsonl.append([(path, data, by_path[path].pk) for path, data in batch.lines.items()])
                is_written = True
        except BaseException:
            if is_written:
                self._jsonl.unsure()
            else:
                self._jsonl.rolled_back()
            raise
        self._jsonl.committed()
        for row in batch.created.values():
            state = batch.sessions[row.session.session_id]
            if state.leaves.get(row.leaf) is row:
                state.leaves[row.leaf] = row.pk
        for state in batch.sessions.values():
            state.let_go()

    def _write_sessions(self, batch: Batch) -> None:
        """Create sessions, or lock them and take their present sums: other recorders may write the same."""
        states = batch.sessions.values()
        stored = {s.row.pk: s.row for s in states if s.row.pk is not None}
        # SQLite has one writer of sums, but anyone may have deleted a session.
        fields = SHARED_FIELDS if connection.features.has_select_for_update else ()
        present = bulk.read(Session, fields, stored, is_locked=bool(fields))
        if len(present) < len(stored):
            raise SessionGone
        for key, *values in present:
            for name, value in zip(fields, values, strict=True):
                setattr(stored[key], name, value)
        for row, calls in batch.ended:
            rows.add_to_session(row.session, row, calls)
        Session.objects.bulk_create([state.row for state in states if state.row.pk is None])
        bulk.update(Session, stored.values(), RECORDED_FIELDS)

    def _write_exchanges(self, batch: Batch) -> None:
        for row in (*batch.created.values(), *batch.changed.values()):
            row.__dict__["session_id"] = row.session.pk  # to set it as an attribute would forget the object
        bulk.insert_with_keys(Exchange, batch.created, "request_id")
        bulk.update(Exchange, batch.changed.values())
        for row, parent in batch.parents:
            row.parent_id = parent.pk
        bulk.update(Exchange, [row for row, _ in batch.parents], ("parent",))

    def _write_calls(self, batch: Batch) -> None:
        for call in batch.calls:
            call.__dict__.update(session_id=call.session.pk, exchange_id=call.exchange.pk)
        for call, row in batch.results:
            call.result_exchange = row
        bulk.insert(ToolCall, batch.calls)
        new = set(map(id, batch.calls))
        later = [call for call, _ in batch.results if id(call) not in new]
        bulk.update(ToolCall, later, RESULT_FIELDS, by=("exchange_id", "position"))


@contextmanager
def _others_first() -> Iterator[CursorWrapper]:
    """What is done here gives way to whoever writes."""
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout = 20")
        try:
            yield cursor
        finally:
            cursor.execute("PRAGMA busy_timeout = 5000")


def _load(session: Session) -> SessionState:
    """Read what there is of a session."""
    state = SessionState(session)
    for key, kind, leaf, *parts in session.exchanges.order_by("pk").values_list(
        "pk", "kind", "leaf", "system", "tools", "recipe"
    ):
        if leaf and kind == "model":
            state.leaves[bytes(leaf)] = key
        state.written.update(dict.fromkeys(bytes(part) for part in parts if part))
    for call in session.tool_calls.filter(result_exchange=None).select_related("exchange"):
        call.exchange.session = session
        state.pending[call.call_id] = call
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH RECURSIVE places(key, parent) AS ("
            " SELECT n.key, n.parent FROM nodes n JOIN exchanges e ON e.leaf = n.key"
            " WHERE e.session_id = %s AND e.kind = 'model'"
            " UNION SELECT n.key, n.parent FROM nodes n JOIN places p ON n.key = p.parent"
            ") SELECT key FROM places",
            [session.pk],
        )
        state.nodes = dict.fromkeys(bytes(key) for (key,) in cursor.fetchall())
    return state
