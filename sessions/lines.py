"""What stands in a session's JSONL file, line by line (docs/recording.md has the fields)."""

import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec
import orjson

from sessions.dialects.facts import RequestFacts, ResponseFacts
from sessions.digest import Live
from sessions.jsonl import line
from sessions.models import Exchange, ToolCall
from sessions.split import PARTS, RULE, WRAPPED, Parts

# Names in `request_json` that are the line's own.
OWN = ("said", "messages_from", "hashes", "template", "wrapped", "patches", "exact")
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


@lru_cache(64)  # an exchange's lines name two or three
def _stamp(time: datetime) -> str:
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _line(kind: str, row: Exchange, time: datetime, **fields: Any) -> bytes:
    return line(kind, row.session.session_id, row.request_id, _stamp(time), **fields)


def started(row: Exchange, live: Live, same_headers: bool = False) -> bytes:
    """With `same_headers`, they are those of the session's latest line that has some, but for `content-length`."""
    version = next((v for k, v in live.begin.headers if k.lower() == "anthropic-version"), None)
    return _line(
        "started", row, row.started_at,
        model_requested=row.model_requested, provider=_chosen_first(row), listener=row.listener, is_streaming=row.is_streaming,
        client_ip=row.client_ip, user_agent=row.user_agent, api_version=version,
        request_headers=None if same_headers else row.request_headers,
        session_tags=row.metadata.get("tags", []), client=row.client, method=row.method, path=row.path, metadata=row.metadata,
        **({"owner": live.begin.owner} if live.begin.owner else {}),
    )  # fmt: skip


def _chosen_first(row: Exchange) -> str:
    """The provider that was to answer: of an exchange that has ended, the row names the one that did."""
    attempts = row.routing.get("attempts")
    return attempts[0]["provider"] if attempts else row.provider


@dataclass(slots=True)
class Named:
    """What the session's latest ``request_recorded`` named: the next one does not say it again."""

    keys: dict[str, bytes] = field(default_factory=dict)
    mark: bytes = b""


@dataclass(frozen=True, slots=True)
class New:
    """What of a request the session's earlier lines do not have."""

    parts: dict[str, bytes]  # system, tools, template: those that are new
    after: bytes  # place of the last message that is known
    said: dict[int, tuple[str, int]]  # new messages that are an answer's: index → request id, number in sessions.saying
    named: Named = field(default_factory=Named)  # changed by what the line names


def request_recorded(row: Exchange, facts: RequestFacts, request: bytes, parts: Parts, new: New, text: str) -> bytes:
    """`text` is what is written of the last words that a person wrote."""
    if parts.is_split:
        request_json, more = _new_of(parts, new, row), {}
    else:
        request_json, more = _whole(request)
    return _line(
        "request_recorded", row, row.started_at,
        request_text=text, request_json=request_json, message_count=row.message_count,
        has_system_prompt=bool(facts.system), has_tools=row.tool_count > 0, tool_count=row.tool_count,
        request_size_bytes=row.request_bytes, body_sha256=row.body_sha256.hex(), dialect=row.dialect, **more,
    )  # fmt: skip


def _whole(request: bytes) -> tuple[Any, dict[str, Any]]:
    """A body that is not in parts: as JSON where it is some, and its bytes where that does not give them."""
    if not request:
        return None, {"is_split": False}
    try:
        readable = _one_line(request)
    except (ValueError, RecursionError):
        readable = orjson.dumps({"text": request.decode(errors="replace")})  # no JSON
    more = {} if readable == request else {"body_base64": b64encode(request).decode()}
    return orjson.Fragment(readable), {"is_split": False, **more}


def _new_of(parts: Parts, new: New, row: Exchange) -> dict[str, Any]:
    """What is new in the request, beside the hashes of what is not: with the session's earlier lines the whole body
    can be put together again (``sessions.rebuild``)."""
    names = PARTS[row.dialect]
    exact: dict[str, str] = {}

    def value(name: str, raw: bytes) -> orjson.Fragment:
        readable = _one_line(raw)
        if readable != raw:
            exact[name] = raw.decode()
        return orjson.Fragment(readable)

    members: dict[str, Any] = {}
    for name, raw in _members.decode(parts.head).items():
        # With a template that is known, all the small members are: the model is there to be read.
        is_new = "template" in new.parts or name == "model"
        if is_new and name not in OWN and (name not in names or (name == names[2] and not parts.messages)):
            members[name] = orjson.Fragment(_one_line(bytes(raw)))
    for part, name in (("system", names[0]), ("tools", names[1])):
        if part in new.parts:
            members[name] = value(part, new.parts[part])
    if parts.messages:
        numbers = range(row.messages_from, len(parts.messages))
        members[names[2]] = [value(str(n), parts.messages[n]) for n in numbers if n not in new.said]
        if new.said:
            members["said"] = [[number, *place] for number, place in new.said.items()]
    if parts.messages or not new.named.keys:
        members["messages_from"] = row.messages_from
    members["hashes"] = _hashes(row, new)
    if "template" in new.parts:
        members["template"] = _readable(msgspec.msgpack.decode(new.parts["template"]))
    wrapped = [start if number == RULE else number for number, offset, start in parts.patches if offset == WRAPPED]
    if wrapped:
        members["wrapped"] = _readable(wrapped)
    if len(wrapped) < len(parts.patches):
        members["patches"] = list(_marks(parts, new.named))
    if exact:
        members["exact"] = exact
    return members


def _hashes(row: Exchange, new: New) -> dict[str, Any]:
    """The keys of a request's parts, those that have changed."""
    keys = {"system": row.system, "tools": row.tools, "template": row.recipe, "leaf": row.leaf, "after": new.after}
    keys = {name: bytes(key) for name, key in keys.items()}
    before = new.named.keys
    new.named.keys = keys
    if not before:
        return {name: key.hex() for name, key in keys.items() if key}
    # The last message that is known is mostly the last that the request before had; the leaf follows from it.
    known = {**before, "after": before["leaf"], "leaf": keys["leaf"]}
    return {"same": True, **{name: key.hex() for name, key in keys.items() if key != known[name]}}


def _marks(parts: Parts, named: Named) -> Iterator[list[Any]]:
    """Cache marks; one that says the same as the one before it says so by its absence."""
    for number, offset, mark in parts.patches:
        if offset != WRAPPED:
            yield [number, offset] if mark == named.mark else [number, offset, mark.decode()]
            named.mark = mark


def _one_line(raw: bytes) -> bytes:
    """JSON without line breaks between its values, checked: a line must stay a line, and whole. And without blanks around it,
    which nobody who reads the line is given."""
    raw = raw.strip()  # the same object where there are none
    msgspec.json.decode(raw, type=msgspec.Raw)
    if not raw.isascii():
        raw.decode()  # UTF-8, or it is no line that `jq` reads
    return msgspec.json.format(raw, indent=-1) if b"\n" in raw or b"\r" in raw else raw


def _readable(value: Any) -> Any:
    """Bytes as text, in what is otherwise lists and numbers."""
    if isinstance(value, bytes):
        return value.decode()
    return [_readable(item) for item in value] if isinstance(value, list | tuple) else value


def answer_json(facts: ResponseFacts) -> bytes:
    """The answer as one JSON object, or nothing."""
    if facts.content is None:
        return b""
    try:
        return orjson.dumps(facts.content)
    except (TypeError, orjson.JSONEncodeError):  # integers beyond 64 bits, lone surrogates
        return json.dumps(facts.content).encode()


def stream_started(row: Exchange) -> bytes:
    return _line(
        "stream_started", row, row.started_at, time_to_first_token_ms=row.time_to_first_token_ms,
    )  # fmt: skip


def response_recorded(row: Exchange, facts: ResponseFacts, answer: bytes) -> bytes:
    """`answer` is the answer as one JSON object, or nothing."""
    return _line(
        "response_recorded", row, row.completed_at,
        response_text=facts.text, response_json=orjson.Fragment(answer) if answer else None, model_used=row.model_used,
        provider_latency_ms=row.provider_latency_ms, total_proxy_overhead_ms=_overhead(row), tokens=_tokens(row),
        tool_calls=[{"id": c.id, "name": c.name} for c in facts.tool_calls], response_size_bytes=row.response_bytes,
        content_blocks=len(facts.blocks), has_refusal=row.has_refusal, is_streaming=row.is_streaming,
        chunk_count=row.chunk_count, streaming_duration_ms=row.streaming_ms, status=row.status,
    )  # fmt: skip


def tool_call_recorded(row: Exchange, call: ToolCall, arguments: str, ended: datetime) -> bytes:
    """`row` is the exchange that asked for the call, `ended` when its result came."""
    return _line(
        "tool_call_recorded", row, ended,
        tool_name=call.name, tool_call_id=call.call_id, execution_time_ms=call.execution_ms,
        input_size_bytes=call.input_bytes, output_size_bytes=call.output_bytes, success=not call.is_error,
        tool_arguments=_arguments(arguments),
    )  # fmt: skip


def _arguments(text: str) -> Any:
    try:
        return orjson.Fragment(_one_line(text.encode())) if text else {}
    except (ValueError, RecursionError):
        return text  # broken JSON stays what it is


def completed(row: Exchange, tools: dict[str, int]) -> bytes:
    """`tools` counts the calls of the answer by tool."""
    streaming = None
    if row.is_streaming:
        streaming = {
            "time_to_first_token_ms": row.time_to_first_token_ms,
            "total_chunks": row.chunk_count,
            "streaming_duration_ms": row.streaming_ms,
        }
    final_stats = {
        "total_duration_ms": row.duration_ms,
        "provider_time_ms": row.provider_latency_ms,
        "proxy_overhead_ms": _overhead(row),
        "tokens": _tokens(row),
        "tool_summary": {"total_calls": sum(tools.values()), "by_tool": tools},
        "streaming_stats": streaming,
        "estimated_cost": row.cost_usd,
    }
    more = {"routing": row.routing} if row.routing else {}
    return _line(
        "completed", row, row.completed_at,
        success=row.success, error=row.error or None, finish_reason=row.finish_reason or None, final_stats=final_stats, **more,
    )  # fmt: skip


def _overhead(row: Exchange) -> float:
    return (row.overhead_before_ms or 0.0) + (row.overhead_after_ms or 0.0)


def _tokens(row: Exchange) -> dict[str, int]:
    """`thinking` and `reasoning` are one number under the vendors' two names; `total` counts it once."""
    return {
        "input": row.input_tokens,
        "output": row.output_tokens,
        "thinking": row.thinking_tokens,
        "reasoning": row.thinking_tokens,
        "cache_read": row.cache_read_tokens,
        "cache_creation": row.cache_creation_5m_tokens + row.cache_creation_1h_tokens,
        "audio": row.audio_input_tokens + row.audio_output_tokens,
        "total": row.total_tokens,
    }
