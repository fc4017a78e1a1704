"""Anthropic Messages: answers read and written. https://docs.anthropic.com/en/docs/build-with-claude/streaming."""

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
from routing.translation.context import Context
from routing.translation.requests.form import object_of
from routing.translation.sealed import seal

encode = msgspec.json.Encoder().encode

_READ = {
    "end_turn": STOP, "max_tokens": LENGTH, "tool_use": TOOLS, "stop_sequence": SEQUENCE, "refusal": REFUSED,
    "pause_turn": PAUSE, "model_context_window_exceeded": LENGTH,
}  # fmt: skip
_WRITTEN = {
    STOP: "end_turn", LENGTH: "max_tokens", TOOLS: "tool_use", SEQUENCE: "stop_sequence", REFUSED: "refusal",
    PAUSE: "end_turn",
}  # fmt: skip
_KINDS = {"text": TEXT, "thinking": THINKING, "redacted_thinking": THINKING, "tool_use": CALL}
_DELTAS = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}


def usage_of(usage: dict[str, Any]) -> Usage:
    """Read a usage object."""
    return Usage(
        count(usage.get("input_tokens")),
        count(usage.get("cache_read_input_tokens")),
        count(usage.get("cache_creation_input_tokens")),
        count(usage.get("output_tokens")),
        count(mapping(usage.get("output_tokens_details")).get("thinking_tokens")),
    )


class Reader:
    """Reads a provider's answer."""

    def __init__(self, context: Context) -> None:
        self._sequence = Sequence()
        self._usage: dict[str, Any] = {}

    def event(self, value: dict[str, Any]) -> list[Event]:
        """Read an event of a stream."""
        kind = value.get("type")
        if kind == "content_block_delta":
            return self._delta(value.get("index"), mapping(value.get("delta")))
        if kind == "content_block_start":
            return self._open(value.get("index"), mapping(value.get("content_block")))
        if kind == "content_block_stop":
            return self._sequence.close(value.get("index"))
        if kind == "message_start":
            message = mapping(value.get("message"))
            self._usage = dict(mapping(message.get("usage")))
            return [Start(text_of(message.get("id")), text_of(message.get("model")), usage_of(self._usage))]
        if kind == "message_delta":
            delta = mapping(value.get("delta"))
            self._usage.update({k: v for k, v in mapping(value.get("usage")).items() if v is not None})
            reason = _READ.get(text_of(delta.get("stop_reason")), STOP)
            sequence = delta.get("stop_sequence")
            stop = [Stop(reason, sequence if isinstance(sequence, str) else None)] if delta.get("stop_reason") else []
            return [*self._sequence.close_all(), *stop]
        if kind == "message_stop":
            return [*self._sequence.close_all(), Spent(usage_of(self._usage)), End()]
        if kind == "error":
            return [failure_of(mapping(value.get("error")))]
        return []

    def _open(self, index: Any, block: dict[str, Any]) -> list[Event]:
        kind = _KINDS.get(text_of(block.get("type")))
        if kind is None:
            return []  # a tool that ran at Anthropic, and what it found
        events = self._sequence.open(index, kind, text_of(block.get("id")), text_of(block.get("name")))
        if block.get("type") == "redacted_thinking":
            events += self._sequence.state(index, State(redacted=text_of(block.get("data"))))
        if kind != CALL:
            events += self._sequence.delta(index, text_of(block.get("text")) or text_of(block.get("thinking")))
        elif block.get("input"):
            events += self._sequence.delta(index, encode(block["input"]).decode())
        return events

    def _delta(self, index: Any, delta: dict[str, Any]) -> list[Event]:
        kind = delta.get("type")
        name = _DELTAS.get(kind) if isinstance(kind, str) else None
        if name is not None:
            return self._sequence.delta(index, text_of(delta.get(name)))
        if kind == "signature_delta":
            return self._sequence.state(index, State(signature=text_of(delta.get("signature"))))
        return []

    def is_over(self) -> bool:
        """Whether a stream may end here though it did not say so."""
        return False

    def whole(self, value: dict[str, Any]) -> list[Event] | None:
        """Read an answer in JSON; None where it is none."""
        if value.get("type") != "message" or not isinstance(value.get("content"), list):
            return None
        events: list[Event] = [Start(text_of(value.get("id")), text_of(value.get("model")))]
        for block in items(value["content"]):
            kind = _KINDS.get(text_of(block.get("type")))
            if kind == CALL:
                arguments = encode(block.get("input", {})).decode()
                events += block_events(CALL, arguments, text_of(block.get("id")), text_of(block.get("name")))
            elif kind is not None:
                state = State(text_of(block.get("signature")), text_of(block.get("data")))
                text = text_of(block.get("text")) or text_of(block.get("thinking"))
                events += block_events(kind, text, state=state if kind == THINKING else None)
        sequence = value.get("stop_sequence")
        reason = _READ.get(text_of(value.get("stop_reason")), STOP)
        stop = Stop(reason, sequence if isinstance(sequence, str) else None)
        return [*events, stop, Spent(usage_of(mapping(value.get("usage")))), End()]


def failure_of(error: dict[str, Any]) -> Failure:
    """Read an error object of any vendor."""
    kind = text_of(error.get("type")) or text_of(error.get("code"))
    status = {
        "overloaded_error": 529,
        "rate_limit_error": 429,
        "rate_limit_exceeded": 429,
        "invalid_request_error": 400,
    }
    return Failure(text_of(error.get("message")) or kind or "the provider failed", status.get(kind, 500))


class Writer:
    """Writes for a client of Anthropic's."""

    def __init__(self, context: Context, created: int) -> None:
        self._context = context
        self._index = -1
        self._kind = ""
        self._signature = ""
        self._refused = False
        self._stop = Stop(STOP)
        self._usage = Usage(input=context.estimated_input)
        self._message: dict[str, Any] = {}
        self._blocks: list[tuple[Open, list[str], dict[str, str]]] = []
        self.keeps = False  # whether blocks are kept for `whole`

    def write(self, event: Event) -> bytes:
        """Give what the client gets of an event."""
        kind = type(event)
        if kind is Delta:
            return self._delta(event.text)
        if kind is Open:
            return self._open(event)
        if kind is State:
            return self._state(event)
        if kind is Close:
            return self._close()
        if kind is Start:
            return self._start(event)
        if kind is Stop:
            self._stop = event
        elif kind is Spent:
            self._usage = event.usage
        elif kind is End:
            return self._end()
        elif kind is Failure:
            return _sse(
                "error", {"type": "error", "error": {"type": _error_type(event.status), "message": event.message}}
            )
        return b""

    def _start(self, event: Start) -> bytes:
        if event.usage is not None and event.usage.prompt:
            self._usage = event.usage
        self._message = {
            "id": event.id or "msg_lunaroute", "type": "message", "role": "assistant",
            "model": event.model or self._context.model, "content": [], "stop_reason": None, "stop_sequence": None,
        }  # fmt: skip
        message = {**self._message, "usage": {**_usage(self._usage), "output_tokens": 0}}
        return _sse("message_start", {"type": "message_start", "message": message})

    def _open(self, event: Open) -> bytes:
        self._index += 1
        self._kind = event.kind
        self._signature = ""
        self._refused |= event.kind == REFUSAL
        if self.keeps:
            self._blocks.append((event, [], {}))
        block: dict[str, Any] = {"type": "text", "text": ""}
        if event.kind == THINKING:
            block = {"type": "thinking", "thinking": "", "signature": ""}
        elif event.kind == CALL:
            name = self._context.tool_names.get(event.name, event.name)
            block = {"type": "tool_use", "id": event.id or f"toolu_{self._index}", "name": name, "input": {}}
        return _sse(
            "content_block_start", {"type": "content_block_start", "index": self._index, "content_block": block}
        )

    def _delta(self, text: str) -> bytes:
        if self.keeps:
            self._blocks[-1][1].append(text)
        if self._kind == CALL:
            delta = {"type": "input_json_delta", "partial_json": text}
        elif self._kind == THINKING:
            delta = {"type": "thinking_delta", "thinking": text}
        else:
            delta = {"type": "text_delta", "text": text}
        return _sse("content_block_delta", {"type": "content_block_delta", "index": self._index, "delta": delta})

    def _state(self, event: State) -> bytes:
        if self._kind != THINKING or not event.encrypted:
            return b""
        signature = seal({"id": event.item_id, "encrypted_content": event.encrypted})
        if self.keeps:
            self._blocks[-1][2]["signature"] = signature
        delta = {"type": "signature_delta", "signature": signature}
        return _sse("content_block_delta", {"type": "content_block_delta", "index": self._index, "delta": delta})

    def _close(self) -> bytes:
        return _sse("content_block_stop", {"type": "content_block_stop", "index": self._index})

    def _ending(self) -> dict[str, Any]:
        reason = REFUSED if self._refused and self._stop.reason == STOP else self._stop.reason
        return {"stop_reason": _WRITTEN[reason], "stop_sequence": self._stop.sequence}

    def _end(self) -> bytes:
        delta = {"type": "message_delta", "delta": self._ending(), "usage": _usage(self._usage)}
        return _sse("message_delta", delta) + _sse("message_stop", {"type": "message_stop"})

    def whole(self) -> bytes:
        """Give the answer in JSON."""
        content: list[dict[str, Any]] = []
        for opened, parts, state in self._blocks:
            text = "".join(parts)
            if opened.kind == CALL:
                name = self._context.tool_names.get(opened.name, opened.name)
                content.append({"type": "tool_use", "id": opened.id, "name": name, "input": object_of(text)})
            elif opened.kind == THINKING:
                content.append({"type": "thinking", "thinking": text, "signature": state.get("signature", "")})
            elif text:
                content.append({"type": "text", "text": text})
        return encode({**self._message, "content": content, **self._ending(), "usage": _usage(self._usage)})

    def comment(self) -> bytes:
        """Give what keeps the connection alive."""
        return _sse("ping", {"type": "ping"})


def _error_type(status: int) -> str:
    return {529: "overloaded_error", 429: "rate_limit_error", 400: "invalid_request_error"}.get(status, "api_error")


def _usage(usage: Usage) -> dict[str, Any]:
    value: dict[str, Any] = {
        "input_tokens": usage.input,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "output_tokens": usage.output,
    }
    if usage.thinking:
        value["output_tokens_details"] = {"thinking_tokens": usage.thinking}
    return value


def _sse(name: str, value: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), encode(value))
