"""OpenAI Responses: answers read and written. https://platform.openai.com/docs/api-reference/responses-streaming."""

from typing import Any

import msgspec

from routing.translation.answers.events import (
    CALL,
    LENGTH,
    REFUSAL,
    REFUSED,
    STOP,
    TEXT,
    THINKING,
    TOOLS,
    Close,
    Delta,
    End,
    Event,
    Failure,
    Open,
    Sequence,
    Spent,
    Start,
    State,
    Stop,
    Usage,
    block_events,
    count,
    items,
    mapping,
    text_of,
)
from routing.translation.answers.messages import failure_of
from routing.translation.context import Context
from routing.translation.requests.form import object_of
from routing.translation.sealed import seal

encode = msgspec.json.Encoder().encode

# Deltas of a stream, and the block that they belong to.
_DELTAS = {
    "response.output_text.delta": TEXT, "response.refusal.delta": REFUSAL, "response.reasoning_summary_text.delta": THINKING,
    "response.reasoning_text.delta": THINKING, "response.function_call_arguments.delta": CALL,
    "response.custom_tool_call_input.delta": CALL,
}  # fmt: skip
_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
# Fields of a request that its answer repeats, with what they are where the request does not say.
_REPEATED = {
    "instructions": None, "max_output_tokens": None, "max_tool_calls": None, "parallel_tool_calls": True, "reasoning": None,
    "store": False, "temperature": None, "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [],
    "top_p": None, "truncation": "disabled", "metadata": {}, "prompt_cache_key": None, "safety_identifier": None,
}  # fmt: skip


def usage_of(usage: dict[str, Any]) -> Usage:
    """Read a usage object, whose classes contain each other."""
    details = mapping(usage.get("input_tokens_details"))
    cached, written = count(details.get("cached_tokens")), count(details.get("cache_write_tokens"))
    return Usage(
        max(count(usage.get("input_tokens")) - cached - written, 0),
        cached,
        written,
        count(usage.get("output_tokens")),
        count(mapping(usage.get("output_tokens_details")).get("reasoning_tokens")),
    )


class Reader:
    """Reads a provider's answer."""

    def __init__(self, context: Context) -> None:
        self._sequence = Sequence()
        self._has_started = False
        self._has_calls = False
        self._told: set[Any] = set()  # blocks that came in pieces
        self._parts: dict[Any, Any] = {}  # block → its part that came last

    def event(self, value: dict[str, Any]) -> list[Event]:
        """Read an event of a stream."""
        kind = text_of(value.get("type"))
        block = _DELTAS.get(kind)
        if block is not None:
            return self._delta(block, value)
        if kind == "response.output_item.added":
            return self._added(value.get("output_index"), mapping(value.get("item")))
        if kind == "response.output_item.done":
            return self._done(value.get("output_index"), mapping(value.get("item")))
        if kind in ("response.completed", "response.incomplete"):
            return self._end(mapping(value.get("response")))
        if kind in ("response.failed", "response.cancelled"):
            return [failure_of(mapping(mapping(value.get("response")).get("error")))]
        if kind == "error":
            return [failure_of(mapping(value.get("error")) or value)]
        if kind == "response.created" or (kind.startswith("response.") and not self._has_started):
            return self._start(mapping(value.get("response")))
        return []

    def _start(self, response: dict[str, Any]) -> list[Event]:
        if self._has_started:
            return []
        self._has_started = True
        return [Start(text_of(response.get("id")), text_of(response.get("model")))]

    def _key(self, index: Any, kind: str) -> tuple[Any, str]:
        return (index if isinstance(index, int) else 0, kind)

    def _delta(self, kind: str, value: dict[str, Any]) -> list[Event]:
        key, delta = self._key(value.get("output_index"), kind), text_of(value.get("delta"))
        self._told.add(key)
        if kind == CALL:
            return self._sequence.delta(key, delta)
        opened = [] if self._sequence.has(key) else self._sequence.open(key, kind)
        part = (value.get("summary_index"), value.get("content_index"))
        if kind == THINKING and self._parts.setdefault(key, part) != part:
            self._parts[key] = part
            delta = "\n\n" + delta
        return [*opened, *self._sequence.delta(key, delta)]

    def _added(self, index: Any, item: dict[str, Any]) -> list[Event]:
        kind = text_of(item.get("type"))
        if kind in _CALLS:
            self._has_calls = True
            id = text_of(item.get("call_id")) or text_of(item.get("id"))
            return self._sequence.open(self._key(index, CALL), CALL, id, text_of(item.get("name")))
        if kind == "reasoning":
            return self._sequence.open(self._key(index, THINKING), THINKING)
        return []

    def _done(self, index: Any, item: dict[str, Any]) -> list[Event]:
        kind = text_of(item.get("type"))
        if kind in _CALLS:
            key = self._key(index, CALL)
            events = [] if self._sequence.has(key) else self._added(index, item)
            if key not in self._told:
                events += self._sequence.delta(key, text_of(item.get(_CALLS[kind])))
            return [*events, *self._sequence.close(key)]
        if kind == "reasoning":
            key = self._key(index, THINKING)
            said = self._sequence.delta(key, _thought(item)) if key not in self._told else []
            state = State(item_id=text_of(item.get("id")), encrypted=text_of(item.get("encrypted_content")))
            return [*said, *self._sequence.state(key, state), *self._sequence.close(key)]
        return [event for block in (TEXT, REFUSAL) for event in self._sequence.close(self._key(index, block))]

    def _end(self, response: dict[str, Any]) -> list[Event]:
        usage = usage_of(mapping(response.get("usage")))
        return [*self._sequence.close_all(), _stop_of(response, self._has_calls), Spent(usage), End()]

    def is_over(self) -> bool:
        """Whether a stream may end here though it did not say so."""
        return False

    def whole(self, value: dict[str, Any]) -> list[Event] | None:
        """Read an answer in JSON; None where it is none."""
        if not isinstance(value.get("output"), list):
            return None
        if value.get("status") == "failed" or (value.get("error") and not value["output"]):
            return [failure_of(mapping(value.get("error")))]
        events: list[Event] = [Start(text_of(value.get("id")), text_of(value.get("model")))]
        for item in items(value["output"]):
            events += _whole_item(item)
        has_calls = any(item.get("type") in _CALLS for item in items(value["output"]))
        return [*events, _stop_of(value, has_calls), Spent(usage_of(mapping(value.get("usage")))), End()]


def _whole_item(item: dict[str, Any]) -> list[Event]:
    kind = text_of(item.get("type"))
    if kind in _CALLS:
        id = text_of(item.get("call_id")) or text_of(item.get("id"))
        return [*block_events(CALL, text_of(item.get(_CALLS[kind])), id, text_of(item.get("name")))]
    if kind == "reasoning":
        state = State(item_id=text_of(item.get("id")), encrypted=text_of(item.get("encrypted_content")))
        return [*block_events(THINKING, _thought(item), state=state)]
    if kind != "message":
        return []
    found: list[Event] = []
    for part in items(item.get("content")):
        if part.get("type") == "refusal":
            found += block_events(REFUSAL, text_of(part.get("refusal")))
        elif part.get("type") == "output_text":
            found += block_events(TEXT, text_of(part.get("text")))
    return found


def _thought(item: dict[str, Any]) -> str:
    parts = [*items(item.get("summary")), *items(item.get("content"))]
    return "\n\n".join(text_of(part.get("text")) for part in parts)


def _stop_of(response: dict[str, Any], has_calls: bool) -> Stop:
    if response.get("status") == "incomplete":
        reason = mapping(response.get("incomplete_details")).get("reason")
        return Stop(REFUSED if reason == "content_filter" else LENGTH)
    return Stop(TOOLS if has_calls else STOP)


class Writer:
    """Writes for a client of Responses."""

    def __init__(self, context: Context, created: int) -> None:
        self._context, self._created = context, created
        self._number = 0
        self._response: dict[str, Any] = {}
        self._output: list[dict[str, Any]] = []
        self._open: Open | None = None
        self._parts: list[str] = []
        self._encrypted: str | None = None
        self._has_part = False
        self._stop = Stop(STOP)
        self._usage = Usage()
        self.keeps = False

    def write(self, event: Event) -> bytes:
        """Give what the client gets of an event."""
        kind = type(event)
        if kind is Delta:
            return self._delta(event.text)
        if kind is Open:
            return self._begin(event)
        if kind is State:
            self._state(event)
        elif kind is Close:
            return self._close()
        elif kind is Start:
            return self._start(event)
        elif kind is Stop:
            self._stop = event
        elif kind is Spent:
            self._usage = event.usage
        elif kind is End:
            name = "response.incomplete" if self._stop.reason in (LENGTH, REFUSED) else "response.completed"
            return self._event(name, response=self._final())
        elif kind is Failure:
            return self._fail(event)
        return b""

    def _event(self, name: str, /, **fields: Any) -> bytes:
        value = {"type": name, "sequence_number": self._number, **fields}
        self._number += 1
        return b"event: %b\ndata: %b\n\n" % (name.encode(), encode(value))

    def _start(self, event: Start) -> bytes:
        request = self._context.request
        self._response = {
            "id": event.id if event.id.startswith("resp_") else f"resp_{event.id or 'lunaroute'}", "object": "response",
            "created_at": self._created, "status": "in_progress", "background": False, "error": None,
            "incomplete_details": None, "model": event.model or self._context.model, "output": [], "usage": None,
            "previous_response_id": None, "service_tier": "default",
            **{name: request[name] if request.get(name) is not None else default for name, default in _REPEATED.items()},
        }  # fmt: skip
        created = self._event("response.created", response=self._response)
        return created + self._event("response.in_progress", response=self._response)

    def _item(self, kind: str) -> dict[str, Any]:
        opened, at = self._open, len(self._output)
        own = self._response.get("id", "resp_")[5:]
        if kind == THINKING:
            return {"id": f"rs_{own}_{at}", "type": "reasoning", "summary": []}
        if kind != CALL:
            return {
                "id": f"msg_{own}_{at}",
                "type": "message",
                "role": "assistant",
                "status": "in_progress",
                "content": [],
            }
        name = self._context.tool_names.get(opened.name, opened.name)
        item = {"id": f"fc_{own}_{at}", "call_id": opened.id or f"call_{at}", "name": name, "status": "in_progress"}
        if self._is_custom():
            return {**item, "id": f"ctc_{own}_{at}", "type": "custom_tool_call", "input": ""}
        return {**item, "type": "function_call", "arguments": ""}

    def _is_custom(self) -> bool:
        opened = self._open
        return self._context.tool_names.get(opened.name, opened.name) in self._context.custom_tools

    def _begin(self, event: Open) -> bytes:
        self._open, self._parts, self._encrypted, self._has_part = event, [], None, False
        self._item_now = self._item(event.kind)
        out = self._event("response.output_item.added", output_index=len(self._output), item=self._item_now)
        if event.kind in (TEXT, REFUSAL):
            out += self._event("response.content_part.added", **self._place(), content_index=0, part=self._part(""))
        return out

    def _place(self) -> dict[str, Any]:
        return {"output_index": len(self._output), "item_id": self._item_now["id"]}

    def _part(self, text: str) -> dict[str, Any]:
        if self._open.kind == REFUSAL:
            return {"type": "refusal", "refusal": text}
        if self._open.kind == THINKING:
            return {"type": "summary_text", "text": text}
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}

    def _delta(self, text: str) -> bytes:
        self._parts.append(text)
        kind = self._open.kind
        if kind == TEXT:
            return self._event("response.output_text.delta", **self._place(), content_index=0, delta=text, logprobs=[])
        if kind == REFUSAL:
            return self._event("response.refusal.delta", **self._place(), content_index=0, delta=text)
        if kind == CALL:
            if self._is_custom():
                return b""  # what it is given is inside of JSON, which ends with its last piece
            return self._event("response.function_call_arguments.delta", **self._place(), delta=text)
        out = b""
        if not self._has_part:
            self._has_part = True
            part = self._part("")
            out = self._event("response.reasoning_summary_part.added", **self._place(), summary_index=0, part=part)
        return out + self._event("response.reasoning_summary_text.delta", **self._place(), summary_index=0, delta=text)

    def _state(self, event: State) -> None:
        if event.signature:
            self._encrypted = seal({"signature": event.signature})
        elif event.redacted:
            self._encrypted = seal({"redacted": event.redacted})

    def _close(self) -> bytes:
        text, kind, place = "".join(self._parts), self._open.kind, self._place()
        item = dict(self._item_now)
        out = b""
        if kind in (TEXT, REFUSAL):
            part = self._part(text)
            name, field = ("output_text", "text") if kind == TEXT else ("refusal", "refusal")
            logprobs = {"logprobs": []} if kind == TEXT else {}
            out = self._event(f"response.{name}.done", **place, content_index=0, **{field: text}, **logprobs)
            out += self._event("response.content_part.done", **place, content_index=0, part=part)
            item |= {"status": "completed", "content": [part]}
        elif kind == THINKING:
            if self._has_part:
                out = self._event("response.reasoning_summary_text.done", **place, summary_index=0, text=text)
                out += self._event(
                    "response.reasoning_summary_part.done", **place, summary_index=0, part=self._part(text)
                )
                item["summary"] = [self._part(text)]
            item["encrypted_content"] = self._encrypted
        elif self._is_custom():
            given = object_of(text).get("input")
            given = given if isinstance(given, str) else text
            out = self._event("response.custom_tool_call_input.delta", **place, delta=given)
            out += self._event("response.custom_tool_call_input.done", **place, input=given)
            item |= {"status": "completed", "input": given}
        else:
            text = text or "{}"
            out = self._event("response.function_call_arguments.done", **place, arguments=text, name=item["name"])
            item |= {"status": "completed", "arguments": text}
        out += self._event("response.output_item.done", output_index=len(self._output), item=item)
        self._output.append(item)
        self._open = None
        return out

    def _final(self) -> dict[str, Any]:
        reason = self._stop.reason
        incomplete = {LENGTH: "max_output_tokens", REFUSED: "content_filter"}.get(reason)
        return {
            **self._response, "status": "incomplete" if incomplete else "completed", "output": self._output,
            "incomplete_details": {"reason": incomplete} if incomplete else None, "usage": _usage(self._usage),
        }  # fmt: skip

    def _fail(self, event: Failure) -> bytes:
        if not self._response:
            self._start(Start("", ""))
            self._number = 0
        code = {429: "rate_limit_exceeded", 529: "server_is_overloaded"}.get(event.status, "server_error")
        response = {**self._response, "status": "failed", "error": {"code": code, "message": event.message}}
        return self._event("response.failed", response={**response, "output": self._output})

    def whole(self) -> bytes:
        """Give the answer in JSON."""
        return encode(self._final())

    def comment(self) -> bytes:
        """Give what keeps the connection alive."""
        return b": keepalive\n\n"


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.thinking},
        "total_tokens": usage.prompt + usage.output,
    }
