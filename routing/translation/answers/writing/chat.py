"""OpenAI Chat Completions: answers written. https://platform.openai.com/docs/api-reference/chat/streaming."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from routing.translation.answers.events import (
    CALL,
    LENGTH,
    PAUSE,
    REFUSAL,
    REFUSED,
    SEQUENCE,
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
    Ping,
    Spent,
    Start,
    Stop,
    Usage,
    call_id,
)
from routing.translation.answers.freetext import FreeText
from routing.translation.context import Context
from routing.translation.errors import error_of

encode = msgspec.json.Encoder().encode

_REASONS = {
    STOP: "stop", LENGTH: "length", TOOLS: "tool_calls", SEQUENCE: "stop", REFUSED: "content_filter", PAUSE: "stop",
}  # fmt: skip
_FIELDS = {TEXT: "content", THINKING: "reasoning_content", REFUSAL: "refusal"}


@dataclass(slots=True)
class _Call:
    id: str
    name: str
    free: FreeText | None
    parts: list[str] = field(default_factory=list)
    is_empty: bool = True


class Writer:
    """Writes for a client of Chat Completions."""

    def __init__(self, context: Context, created: int) -> None:
        self._context, self._created = context, created
        self._head: dict[str, Any] = {}
        self._kind = ""
        self._calls: list[_Call] = []
        self._stop = Stop(STOP)
        self._usage: Usage | None = None
        self._told: dict[str, list[str]] = {TEXT: [], THINKING: [], REFUSAL: []}
        # A client from before there were tools knows one call, and that under another name.
        self._has_functions = bool(context.request.get("functions")) and not context.request.get("tools")
        self.keeps = False

    def write(self, event: Event) -> bytes:
        """Give what the client gets of an event."""
        kind = type(event)
        if kind is Delta:
            return self._delta(event.text)
        if kind is Open:
            return self._open(event)
        if kind is Close:
            return self._close()
        if kind is Ping:
            return self.comment()
        if kind is Start:
            self._head = {"id": event.id or "chatcmpl-lunaroute", "object": "chat.completion.chunk", "created": self._created,
                          "model": event.model or self._context.model}  # fmt: skip
            return self._chunk({"role": "assistant", "content": ""})
        if kind is Stop:
            self._stop = event
        elif kind is Spent:
            self._usage = event.usage
        elif kind is End:
            return self._end()
        elif kind is Failure:
            return b"data: %b\n\n" % error_of(self._context.client, event.status, event.message)
        return b""

    def _open(self, event: Open) -> bytes:
        self._kind = event.kind
        if event.kind != CALL:
            return b""
        name = self._context.tool_names.get(event.name, event.name)
        index = len(self._calls)
        id = call_id(event.id, self._head["id"], index)
        call = _Call(id, name, FreeText() if name in self._context.custom_tools else None)
        self._calls.append(call)
        if self._has_functions:
            return self._chunk({"function_call": {"name": name, "arguments": ""}}) if not index else b""
        return self._chunk({"tool_calls": [{"index": index, **_call(call, "")}]})

    def _delta(self, text: str) -> bytes:
        if self._kind == CALL:
            call = self._calls[-1]
            if call.free is not None:
                text = call.free.feed(text)
            return self._arguments(call, text) if text else b""
        if self.keeps:
            self._told[self._kind].append(text)
        return self._chunk({_FIELDS[self._kind]: text})

    def _arguments(self, call: _Call, text: str) -> bytes:
        call.is_empty = False
        if self.keeps:
            call.parts.append(text)
        if self._has_functions:
            return self._chunk({"function_call": {"arguments": text}}) if len(self._calls) == 1 else b""
        kind, name = ("function", "arguments") if call.free is None else ("custom", "input")
        return self._chunk({"tool_calls": [{"index": len(self._calls) - 1, kind: {name: text}}]})

    def _close(self) -> bytes:
        if self._kind != CALL:
            return b""
        call = self._calls[-1]
        rest = call.free.finish() if call.free is not None else "{}" if call.is_empty else ""
        return self._arguments(call, rest) if rest else b""

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> bytes:
        if self.keeps:
            return b""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return b"data: %b\n\n" % encode({**self._head, "choices": [choice]})

    def _reason(self) -> str:
        reason = _REASONS[self._stop.reason]
        return "function_call" if reason == "tool_calls" and self._has_functions else reason

    def _end(self) -> bytes:
        out = self._chunk({}, self._reason())
        if self._context.include_usage and self._usage is not None:
            out += b"data: %b\n\n" % encode({**self._head, "choices": [], "usage": _usage(self._usage)})
        return out + b"data: [DONE]\n\n"

    def whole(self) -> bytes:
        """Give the answer in JSON."""
        text, thought, refusal = ("".join(self._told[kind]) for kind in (TEXT, THINKING, REFUSAL))
        message: dict[str, Any] = {
            "role": "assistant", "content": text or (None if self._calls or refusal else ""), "refusal": refusal or None,
        }  # fmt: skip
        if thought:
            message["reasoning_content"] = thought
        calls = [_call(call, "".join(call.parts)) for call in self._calls]
        if calls and self._has_functions:
            message["function_call"] = calls[0]["function"]
        elif calls:
            message["tool_calls"] = calls
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._reason()}
        value = {**self._head, "object": "chat.completion", "choices": [choice]}
        return encode({**value, "usage": _usage(self._usage)} if self._usage is not None else value)

    def comment(self) -> bytes:
        """Give what keeps the connection alive."""
        return b": keepalive\n\n"


def _call(call: _Call, text: str) -> dict[str, Any]:
    if call.free is not None:
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": text}}
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": text}}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.output,
        "total_tokens": usage.prompt + usage.output,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.thinking, "audio_tokens": 0},
    }
