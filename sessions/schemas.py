"""The API's answers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec.structs import asdict
from ninja import Field, Schema

from sessions.models import Exchange, Session, TokenCounts, ToolCall
from sessions.rows import routing_of
from sessions.search import Snippet


class Tool(Schema):
    """A tool's use in a session."""

    name: str
    calls: int
    avg_ms: float | None
    errors: int


class Metadata(Schema):
    """What a session was given by its requests' headers."""

    project: str | None
    tags: list[str]


class SessionOut(Schema):
    """A session. Times of duration are milliseconds."""

    session_id: str
    title: str
    client: str
    provider: str
    model_used: str
    owner: str = Field(description="the user whose token it came with, in a team; else empty")
    started_at: datetime
    completed_at: datetime | None
    requests: int
    success: bool
    pinned: bool = Field(description="you gave it a star")
    error: str | None
    input_tokens: int
    output_tokens: int
    thinking_tokens: int
    cache_read_tokens: int
    cache_creation_tokens: int
    total_tokens: int
    duration_ms: float
    provider_time_ms: float
    proxy_overhead_ms: float
    cost_usd: float | None
    metadata: Metadata
    tools: list[Tool]
    redactions: dict[str, int] = Field(description="values replaced before it was stored, by type")
    snippet: str | None = Field(description="HTML: where text_search was found, in <mark>; null without text_search")
    match_request_id: str | None = Field(description="the exchange that the snippet is from")

    @classmethod
    def of(
        cls, session: Session, tools: list[dict], redactions: dict[str, int], snippets: Sequence[Snippet] = ()
    ) -> "SessionOut":
        names = set(cls.model_fields) - {"metadata", "tools", "redactions", "error", "snippet", "match_request_id"}
        return cls(
            **{name: getattr(session, name) for name in names},
            error=session.error or None,
            metadata=Metadata(project=session.project or None, tags=session.tags),
            tools=[Tool(**tool) for tool in tools],
            redactions=redactions,
            snippet=snippets[0].html if snippets else None,
            match_request_id=(snippets[0].request_id or None) if snippets else None,
        )


class Tokens(Schema):
    """Tokens in classes that do not overlap."""

    input: int
    output: int
    thinking: int
    cache_read: int
    cache_creation: int
    total: int

    @classmethod
    def of(cls, row: TokenCounts) -> "Tokens":
        return cls(
            input=row.input_tokens,
            output=row.output_tokens,
            thinking=row.thinking_tokens,
            cache_read=row.cache_read_tokens,
            cache_creation=row.cache_creation_5m_tokens + row.cache_creation_1h_tokens,
            total=row.total_tokens,
        )


class AttemptOut(Schema):
    """A provider that was asked. The last one's answer is the client's."""

    provider: str
    status: int | None = Field(description="of its answer; null where none came")
    duration_ms: float = Field(description="until its answer's head, or its failure")
    reason: str | None = Field(description="why the next one was asked")
    may_be_charged: bool = Field(description="it had the request, and may have begun to work on it")


class RoutingOut(Schema):
    """What a rule, a marker or a provider's settings did to an exchange."""

    rule: str | None
    why: str | None = Field(description="which rule or marker chose the provider")
    provider: str | None = Field(description="who gave the answer")
    provider_type: str | None = Field(description="anthropic or openai")
    model: str | None = Field(description="the model that was asked, where it is not the client's")
    dialect: str | None = Field(description="what the request was translated into; null: it was not")
    attempts: list[AttemptOut]
    notes: list[str] = Field(description="what was changed or left out on the way")

    @classmethod
    def of(cls, row: Exchange) -> "RoutingOut | None":
        """Give what routing did to an exchange; None where it did nothing."""
        routing = routing_of(row)
        if routing is None:
            return None
        attempts = [AttemptOut(**{**asdict(a), "reason": a.reason or None}) for a in routing.attempts]
        texts = ("rule", "why", "provider", "provider_type", "model", "dialect")
        said = {name: getattr(routing, name) or None for name in texts}
        return cls(**said, attempts=attempts, notes=routing.notes)


class ExchangeOut(Schema):
    """A request with its answer. ``new_messages`` are those that the session did not have before."""

    request_id: str
    parent_request_id: str | None
    kind: str
    provider: str
    dialect: str
    transport: str
    method: str
    path: str
    model_requested: str
    model_used: str
    is_streaming: bool
    status: int | None
    success: bool | None
    error: str | None
    finish_reason: str | None
    started_at: datetime
    completed_at: datetime | None
    duration_ms: float | None
    provider_latency_ms: float | None
    time_to_first_token_ms: float | None
    overhead_before_ms: float | None
    overhead_after_ms: float | None
    request_bytes: int
    response_bytes: int
    message_count: int
    messages_from: int
    tokens: Tokens
    cost_usd: float | None
    redactions: dict[str, int] = Field(description="values replaced before it was stored, by type")
    routing: RoutingOut | None = Field(description="null where nothing acted on it")
    new_messages: list[Any]
    answer: Any

    @classmethod
    def of(cls, row: Exchange, messages: list[Any], answer: Any) -> "ExchangeOut":
        mine = {"parent_request_id", "error", "finish_reason", "tokens", "routing", "new_messages", "answer"}
        return cls(
            **{name: getattr(row, name) for name in set(cls.model_fields) - mine},
            parent_request_id=row.parent.request_id if row.parent else None,
            error=row.error or None,
            finish_reason=row.finish_reason or None,
            tokens=Tokens.of(row),
            routing=RoutingOut.of(row),
            new_messages=messages,
            answer=answer,
        )


class ExchangeWhole(ExchangeOut):
    """An exchange with its heads (credentials left out) and its tool calls."""

    listener: str
    client: str
    client_ip: str
    user_agent: str
    query: str
    capture: str
    attempts: int
    chunk_count: int
    streaming_ms: float | None
    has_refusal: bool
    response_id: str
    request_headers: list[tuple[str, str]]
    response_headers: list[tuple[str, str]]
    tool_calls: list["ToolCallOut"]

    @classmethod
    def whole(cls, row: Exchange, messages: list[Any], answer: Any, calls: list["ToolCallOut"]) -> "ExchangeWhole":
        names = set(cls.model_fields) - set(ExchangeOut.model_fields) - {"tool_calls"}
        known = ExchangeOut.of(row, messages, answer)
        return cls(
            **{name: getattr(known, name) for name in ExchangeOut.model_fields},
            **{name: getattr(row, name) for name in names},
            tool_calls=calls,
        )


class ToolCallOut(Schema):
    """A tool call with its result, once it came."""

    tool_call_id: str
    name: str
    request_id: str
    result_request_id: str | None
    started_at: datetime
    execution_time_ms: float | None
    is_error: bool | None
    input_size_bytes: int
    output_size_bytes: int | None
    arguments: str
    result: str | None

    @classmethod
    def of(cls, call: ToolCall, texts: dict[bytes, str]) -> "ToolCallOut":
        """`texts` has arguments and results by their keys; `exchange` and `result_exchange` are at hand."""
        return cls(
            tool_call_id=call.call_id,
            name=call.name,
            request_id=call.exchange.request_id,
            result_request_id=call.result_exchange.request_id if call.result_exchange else None,
            started_at=call.started_at,
            execution_time_ms=call.execution_ms,
            is_error=call.is_error,
            input_size_bytes=call.input_bytes,
            output_size_bytes=call.output_bytes,
            arguments=texts.get(bytes(call.arguments), ""),
            result=texts.get(bytes(call.result), "") if call.result_exchange_id else None,
        )


class Problem(Schema):
    """Why there is no answer."""

    detail: str


class ParameterProblem(Schema):
    """What is wrong with a parameter: ``loc`` ends with its name."""

    type: str
    loc: list[str | int]
    msg: str


class BadParameters(Schema):
    """Parameters that are unknown or malformed."""

    detail: list[ParameterProblem]
