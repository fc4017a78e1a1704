"""From an exchange's facts to its row: no queries here, only values."""

from collections import Counter
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import msgspec

from proxy.capture import Begin, Routing
from routing.clients import client_of
from routing.heads import header
from sessions import bulk
from sessions.dialects.facts import RequestFacts, ResponseFacts, Usage
from sessions.digest import Live
from sessions.headers import kept_headers, masked, masked_path, masked_query, masked_tokens, metadata_of
from sessions.models import Exchange, Session
from sessions.packing import pack_field, unpack_field
from sessions.prices import cost_usd
from sessions.split import Parts

TITLE_LENGTH = 120
# Models told apart in one session.
MAX_MODELS = 50

SUMS = (
    "input_tokens", "output_tokens", "thinking_tokens", "cache_read_tokens", "cache_creation_5m_tokens",
    "cache_creation_1h_tokens", "audio_input_tokens", "audio_output_tokens", "total_tokens",
)  # fmt: skip
# How ids of sessions begin that are made here, because a client has named one that another user has.
RESERVED = "lunaroute-"


def time_of(microseconds: int) -> datetime:
    """A frame's clock reading as a time."""
    return datetime.fromtimestamp(microseconds / 1e6, UTC)


def column(text: str, length: int | None = None) -> str:
    """Give a text of the other side's as a column takes it: up to `length` characters, and PostgreSQL has no NUL."""
    return text[:length].replace("\0", "\ufffd")


def title_of(words: str) -> str:
    """Give the title of a session from what a person wrote."""
    said = " ".join(words.split())
    return column(said if len(said) <= TITLE_LENGTH else said[: TITLE_LENGTH - 1].rstrip() + "…")


def begin_of(row: Exchange) -> Begin:
    """Give the head of a recorded exchange's request as the proxy had it, less what was not kept of it."""
    headers = [(name, value) for name, value in row.request_headers]
    told = metadata_of(headers)
    return Begin(
        request_id=row.request_id, method=row.method, path=row.path, query=row.query, headers=headers,
        listener=row.listener, provider=row.provider, provider_type=row.listener, client_ip=row.client_ip,
        started_us=int(row.started_at.timestamp() * 1e6),
        metadata={name: value for name, value in row.metadata.items() if told.get(name) != value},
    )  # fmt: skip


def routing_of(row: Exchange) -> Routing | None:
    """Give what routing did to a recorded exchange; None where it did nothing."""
    return msgspec.convert(row.routing, Routing) if row.routing else None


def kept_routing(routing: Routing | None) -> dict[str, Any]:
    """Give what is kept of what routing did: JSON without defaults."""
    return _without_nul(msgspec.to_builtins(routing)) if routing is not None else {}


def _without_nul(value: Any) -> Any:
    """Notes name fields as clients spelled them, and PostgreSQL's JSON has no NUL."""
    if isinstance(value, dict):
        return {name: _without_nul(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_without_nul(entry) for entry in value]
    return column(value) if isinstance(value, str) else value


def opened_row(live: Live, facts: RequestFacts, identity: str, keep_user_agent: bool) -> Exchange:
    """Make the row of an exchange whose request is known. Session, parent and content keys are still to be set."""
    begin = live.begin
    live.has_row = True
    headers = kept_headers(begin.headers)
    return bulk.make(
        Exchange,
        recorder=identity,
        request_id=begin.request_id,
        kind=live.kind,
        listener=begin.listener,
        provider=begin.provider,
        dialect=live.dialect,
        transport=live.transport,
        method=begin.method[:16],
        path=masked_path(begin.path)[:2048],
        query=masked_query(begin.query),
        model_requested=column(facts.model, 128),
        is_streaming=facts.is_streaming or live.transport == "ws",
        capture=live.capture,
        redactions=dict(live.redactions),
        client=client_of(headers),
        client_ip=begin.client_ip[:64],
        user_agent=header(headers, "user-agent")[:512] if keep_user_agent else "",
        metadata=(
            metadata := {
                **metadata_of(headers),
                **{name: masked(value) if isinstance(value, str) else value for name, value in begin.metadata.items()},
            }
        ),
        project=column(str(metadata.get("project") or ""), 255),
        routing={},
        request_headers=[pair for pair in headers if keep_user_agent or pair[0].lower() != "user-agent"],
        response_headers=[],
        started_at=time_of(begin.started_us),
        request_bytes=len(live.request),
        message_count=facts.message_count,
        tool_count=facts.tool_count,
        body_sha256=sha256(live.request).digest(),
    )


def bare_row(live: Live, identity: str) -> Exchange:
    """Make the row of an exchange of which only that is recorded which LunaRoute itself knows."""
    begin = live.begin
    return bulk.make(
        Exchange,
        recorder=identity,
        request_id=begin.request_id,
        kind=live.kind,
        listener=begin.listener,
        provider=column(begin.provider, 64),
        transport=live.transport,
        method="",
        path="",
        capture="metadata",
        redactions={},
        client="other",
        metadata={},
        routing={},
        request_headers=[],
        response_headers=[],
        started_at=time_of(begin.started_us),
    )


def end_bare_row(row: Exchange, live: Live) -> None:
    """Fill in what the proxy's clock and counters tell of such an exchange's end."""
    end = row.end = live.end
    row.completed_at, row.status, row.capture, row.new_redactions = (
        time_of(end.completed_us),
        live.status,
        "metadata",
        {},
    )
    row.duration_ms, row.provider_latency_ms = end.duration_ms, end.provider_latency_ms
    row.overhead_before_ms, row.overhead_after_ms = end.overhead_before_ms, end.overhead_after_ms
    row.chunk_count, row.attempts = end.chunk_count, end.attempts
    row.request_bytes, row.response_bytes = end.request_bytes, end.response_bytes


def keep_parts(row: Exchange, parts: Parts, keys: dict[str, bytes]) -> None:
    """Note the keys of a body's parts (see ``sessions.split``)."""
    row.system, row.tools, row.recipe = keys.get("system", b""), keys.get("tools", b""), keys["template"]
    row.patches = pack_patches(parts.patches)


def pack_patches(patches: tuple[tuple[int, int, bytes], ...]) -> bytes:
    """Give patches as bytes."""
    return pack_field(msgspec.msgpack.encode(patches)) if patches else b""


def unpack_patches(data: bytes) -> tuple[tuple[int, int, bytes], ...]:
    """Give the patches that ``pack_patches`` was given."""
    if not data:
        return ()
    # Those of earlier records are not packed: they begin as msgpack's lists do, above every codec.
    return msgspec.msgpack.decode(unpack_field(data) if data[0] < 0x90 else data)


def end_row(row: Exchange, live: Live, facts: ResponseFacts) -> None:
    """Fill in what the end of an exchange tells."""
    end = row.end = live.end
    row.completed_at = time_of(end.completed_us)
    row.capture = live.capture
    _add_redactions(row, live)
    row.status = live.status
    row.response_headers = kept_headers(live.response_headers)
    row.response_id = column(facts.response_id, 128)
    row.routing = kept_routing(end.routing)
    row.provider = column(row.routing.get("provider", ""), 64) or row.provider
    row.model_used = column(_model_used(row, facts), 128)
    row.finish_reason = column(facts.finish_reason, 64)
    row.has_refusal = facts.has_refusal
    row.error = column(masked_tokens(_error(row, live, facts)))
    row.success = not row.error
    row.duration_ms = end.duration_ms
    row.provider_latency_ms = end.provider_latency_ms
    row.overhead_before_ms = end.overhead_before_ms
    row.overhead_after_ms = end.overhead_after_ms
    row.chunk_count = end.chunk_count
    row.attempts = end.attempts
    row.request_bytes = end.request_bytes
    row.response_bytes = end.response_bytes
    if "event-stream" in header(live.response_headers, "content-type"):
        row.is_streaming = True
    if row.is_streaming and live.first_chunk_us:
        row.streaming_ms = (live.last_chunk_us - live.first_chunk_us) / 1e3
    if live.first_token_us:
        row.time_to_first_token_ms = first_token_ms(live)
    set_usage(row, facts.usage)
    if row.total_tokens:
        kind = row.routing.get("provider_type") or live.begin.provider_type
        row.cost_usd = cost_usd(kind, row.model_used, facts.usage, row.started_at)


def _model_used(row: Exchange, facts: ResponseFacts) -> str:
    """The model that the answer names. One that only repeats what the client asked for does not know who was asked."""
    named = facts.model or row.model_requested
    asked = row.routing.get("model")
    return asked if asked and named == row.model_requested else named


def _add_redactions(row: Exchange, live: Live) -> None:
    """Note what was replaced in all of the exchange, and what of it since its request was recorded."""
    if not live.redactions and not row.redactions:
        row.redactions, row.new_redactions = {}, {}
        return
    before, now = Counter(row.redactions), Counter(live.redactions)
    after = now if live.has_row else before + now
    row.redactions, row.new_redactions = dict(after), dict(after - before)


def first_token_ms(live: Live) -> float:
    """Milliseconds from the request's arrival to the first piece of content."""
    return (live.first_token_us - live.begin.started_us) / 1e3


def set_usage(row: Exchange, usage: Usage) -> None:
    """Note an answer's tokens."""
    row.input_tokens, row.output_tokens, row.thinking_tokens = usage.input, usage.output, usage.thinking
    row.cache_read_tokens = usage.cache_read
    row.cache_creation_5m_tokens, row.cache_creation_1h_tokens = usage.cache_creation_5m, usage.cache_creation_1h
    row.audio_input_tokens, row.audio_output_tokens = usage.audio_input, usage.audio_output
    row.total_tokens = usage.total


def _error(row: Exchange, live: Live, facts: ResponseFacts) -> str:
    """Why the exchange failed, in words, or nothing."""
    end = live.end
    # Codex hangs up on reading the answer's last event, without waiting for the end of the body: it has all it asked for.
    if end.error and not (end.error == "client_disconnected" and facts.complete):
        return f"{end.error}: {end.error_message}" if end.error_message else end.error
    if facts.error:
        return facts.error
    if live.status is None:
        return "no_answer: the exchange ended without an answer"
    if live.status >= 400:
        return f"http_{live.status}"
    whole = live.capture == "full" and live.has_parser
    if live.kind == "model" and live.dialect and whole and not facts.complete:
        return "incomplete: the answer ended before it was complete"
    return ""


def add_to_session(session: Session, row: Exchange, calls: int) -> None:
    """Add an exchange that has ended to its session's sums."""
    for name in SUMS:
        setattr(session, name, getattr(session, name) + getattr(row, name))
    if row.cost_usd is not None:
        session.cost_usd = (session.cost_usd or 0.0) + row.cost_usd
    if row.kind == "model":
        session.requests += 1
    session.tool_calls_count += calls
    session.completed_at = max(filter(None, (session.completed_at, row.completed_at)))
    session.duration_ms += row.duration_ms or 0.0
    session.provider_time_ms += row.provider_latency_ms or 0.0
    session.proxy_overhead_ms += (row.overhead_before_ms or 0.0) + (row.overhead_after_ms or 0.0)
    if row.success is False:
        session.errors += 1
        session.success, session.error = False, row.error
    session.provider, session.dialect = row.provider, row.dialect or session.dialect
    if row.kind == "model" and row.model_used:
        tokens = session.model_tokens
        if row.model_used in tokens or len(tokens) < MAX_MODELS:
            tokens[row.model_used] = tokens.get(row.model_used, 0) + row.total_tokens
        session.model_used = max(tokens, key=tokens.get)


def id_for(owner: str, session_id: str) -> str:
    """Give the id of `owner`'s session where one of somebody else's has `session_id` already.

    No client takes it before its owner does: an id that begins so is nobody's to name (sessions/store.py).
    """
    return RESERVED + former_id_for(owner, session_id)


def former_id_for(owner: str, session_id: str) -> str:
    """Give the id that such a session had in earlier versions, in which any client could take it."""
    return str(uuid5(NAMESPACE_URL, f"lunaroute:{len(owner)}:{owner}:{session_id}"))


def describe_session(session: Session, row: Exchange) -> None:
    """Note who speaks in a session, from its latest exchange."""
    if row.client != "other" or not session.client:
        session.client = row.client
    session.provider, session.dialect = row.provider, row.dialect or session.dialect
    session.client_ip = row.client_ip
    session.user_agent = row.user_agent or session.user_agent
    session.project = row.metadata.get("project") or session.project
    for tag in row.metadata.get("tags", ()):
        if tag not in session.tags:
            session.tags.append(tag)
