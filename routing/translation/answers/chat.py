"""OpenAI Chat Completions: answers read and written. https://platform.openai.com/docs/api-reference/chat/streaming."""

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
    Delta,
    End,
    Event,
    Failure,
    Open,
    Sequence,
    Spent,
    Start,
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
from routing.translation.errors import error_of

encode = msgspec.json.Encoder().encode

_READ = {"stop": STOP, "length": LENGTH, "tool_calls": TOOLS, "function_call": TOOLS, "content_filter": REFUSED}
_WRITTEN = {
    STOP: "stop", LENGTH: "length", TOOLS: "tool_calls", SEQUENCE: "stop", REFUSED: "content_filter", PAUSE: "stop",
}  # fmt: skip
# Where servers put what a model thinks: their own, as OpenAI's API does not show it.
_THOUGHTS = ("reasoning_content", "reasoning")


def usage_of(usage: dict[str, Any]) -> Usage:
    """Read a usage object, whose classes contain each other."""
    details = mapping(usage.get("prompt_tokens_details"))
    cached, written = count(details.get("cached_tokens")), count(details.get("cache_write_tokens"))
    return Usage(
        max(count(usage.get("prompt_tokens")) - cached - written, 0),
        cached,
        written,
        count(usage.get("completion_tokens")),
        count(mapping(usage.get("completion_tokens_details")).get("reasoning_tokens")),
    )


class Reader:
    """Reads a provider's answer."""

    def __init__(self, context: Context) -> None:
        self._sequence = Sequence()
        self._has_started = False
        self._stop: Stop | None = None
        self._usage: Usage | None = None
        self._is_over = False

    def event(self, value: dict[str, Any]) -> list[Event]:
        """Read a chunk of a stream."""
        if value.get("error"):
            error = value["error"]
            return [failure_of(error if isinstance(error, dict) else {"message": str(error)})]
        events: list[Event] = []
        if not self._has_started and ("choices" in value or "id" in value):
            self._has_started = True
            events.append(Start(text_of(value.get("id")), text_of(value.get("model"))))
        if isinstance(value.get("usage"), dict):
            self._usage = usage_of(value["usage"])
        choice = next(iter(items(value.get("choices"))), None)
        if choice is None:
            return events
        events += self._delta(mapping(choice.get("delta")))
        if choice.get("finish_reason"):
            self._stop = Stop(_READ.get(text_of(choice["finish_reason"]), STOP))
        return events

    def _delta(self, delta: dict[str, Any]) -> list[Event]:
        events: list[Event] = []
        for name in _THOUGHTS:
            if isinstance(delta.get(name), str) and delta[name]:
                events += self._text(THINKING, delta[name])
                break
        if isinstance(delta.get("content"), str) and delta["content"]:
            events += self._text(TEXT, delta["content"])
        if isinstance(delta.get("refusal"), str) and delta["refusal"]:
            events += self._text(REFUSAL, delta["refusal"])
        for at, call in enumerate(items(delta.get("tool_calls"))):
            events += self._call(
                ("call", call.get("index", at) if isinstance(call.get("index", at), int) else at), call
            )
        if isinstance(delta.get("function_call"), dict):
            events += self._call(("call", 0), {"id": "call_0", "function": delta["function_call"]})
        return events

    def _text(self, kind: str, text: str) -> list[Event]:
        opened = [] if self._sequence.has(kind) else self._sequence.open(kind, kind)
        return [*opened, *self._sequence.delta(kind, text)]

    def _call(self, key: Any, call: dict[str, Any]) -> list[Event]:
        function = mapping(call.get("function")) or mapping(call.get("custom"))
        events: list[Event] = []
        if not self._sequence.has(key):
            if not function.get("name"):
                return []
            events += self._sequence.open(key, CALL, text_of(call.get("id")), text_of(function["name"]))
        arguments = function.get("arguments", function.get("input"))
        if isinstance(arguments, dict):  # some servers give an object
            arguments = encode(arguments).decode()
        return [*events, *self._sequence.delta(key, text_of(arguments))]

    def done(self) -> list[Event]:
        """The stream's last word ([DONE])."""
        if self._is_over:
            return []
        self._is_over = True
        spent = [Spent(self._usage)] if self._usage is not None else []
        return [*self._sequence.close_all(), self._stop or Stop(STOP), *spent, End()]

    def is_over(self) -> bool:
        """Whether a stream may end here though it did not say so: some servers leave out [DONE]."""
        return self._stop is not None

    def whole(self, value: dict[str, Any]) -> list[Event] | None:
        """Read an answer in JSON; None where it is none."""
        choice = next(iter(items(value.get("choices"))), None)
        if choice is None or not isinstance(choice.get("message"), dict):
            return None
        message = choice["message"]
        events: list[Event] = [Start(text_of(value.get("id")), text_of(value.get("model")))]
        thought = next((message[name] for name in _THOUGHTS if isinstance(message.get(name), str)), "")
        for kind, text in ((THINKING, thought), (TEXT, message.get("content")), (REFUSAL, message.get("refusal"))):
            if isinstance(text, str) and text:
                events += block_events(kind, text)
        calls = items(message.get("tool_calls"))
        if isinstance(message.get("function_call"), dict):
            calls.append({"id": "call_0", "function": message["function_call"]})
        for call in calls:
            function = mapping(call.get("function")) or mapping(call.get("custom"))
            arguments = function.get("arguments", function.get("input"))
            arguments = encode(arguments).decode() if isinstance(arguments, dict) else text_of(arguments)
            events += block_events(CALL, arguments, text_of(call.get("id")), text_of(function.get("name")))
        stop = Stop(_READ.get(text_of(choice.get("finish_reason")), STOP))
        return [*events, stop, Spent(usage_of(mapping(value.get("usage")))), End()]


class Writer:
    """Writes for a client of Chat Completions."""

    def __init__(self, context: Context, created: int) -> None:
        self._context, self._created = context, created
        self._head: dict[str, Any] = {}
        self._kind = ""
        self._calls = -1
        self._stop = Stop(STOP)
        self._usage = Usage()
        self._blocks: list[tuple[Open, list[str]]] = []
        self.keeps = False

    def write(self, event: Event) -> bytes:
        """Give what the client gets of an event."""
        kind = type(event)
        if kind is Delta:
            return self._delta(event.text)
        if kind is Open:
            return self._open(event)
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
        if self.keeps:
            self._blocks.append((event, []))
        if event.kind != CALL:
            return b""
        self._calls += 1
        name = self._context.tool_names.get(event.name, event.name)
        function = {"name": name, "arguments": ""}
        call = {"index": self._calls, "id": event.id or f"call_{self._calls}", "type": "function", "function": function}
        return self._chunk({"tool_calls": [call]})

    def _delta(self, text: str) -> bytes:
        if self.keeps:
            self._blocks[-1][1].append(text)
        if self._kind == CALL:
            return self._chunk({"tool_calls": [{"index": self._calls, "function": {"arguments": text}}]})
        names = {THINKING: "reasoning_content", REFUSAL: "refusal"}
        return self._chunk({names.get(self._kind, "content"): text})

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return b"data: %b\n\n" % encode({**self._head, "choices": [choice]})

    def _end(self) -> bytes:
        out = self._chunk({}, _WRITTEN[self._stop.reason])
        if self._context.include_usage:
            out += b"data: %b\n\n" % encode({**self._head, "choices": [], "usage": _usage(self._usage)})
        return out + b"data: [DONE]\n\n"

    def whole(self) -> bytes:
        """Give the answer in JSON."""
        told: dict[str, list[str]] = {TEXT: [], THINKING: [], REFUSAL: []}
        calls = []
        for opened, parts in self._blocks:
            if opened.kind != CALL:
                told[opened.kind] += parts
                continue
            name = self._context.tool_names.get(opened.name, opened.name)
            function = {"name": name, "arguments": "".join(parts) or "{}"}
            calls.append({"id": opened.id, "type": "function", "function": function})
        message: dict[str, Any] = {
            "role": "assistant", "content": "".join(told[TEXT]) or (None if calls or told[REFUSAL] else ""),
            "refusal": "".join(told[REFUSAL]) or None,
        }  # fmt: skip
        if told[THINKING]:
            message["reasoning_content"] = "".join(told[THINKING])
        if calls:
            message["tool_calls"] = calls
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _WRITTEN[self._stop.reason]}
        head = {**self._head, "object": "chat.completion"}
        return encode({**head, "choices": [choice], "usage": _usage(self._usage)})

    def comment(self) -> bytes:
        """Give what keeps the connection alive."""
        return b": keepalive\n\n"


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
