"""Anthropic Messages: answers written. https://docs.anthropic.com/en/docs/build-with-claude/streaming."""

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
    State,
    Stop,
    Usage,
    call_id,
)
from routing.translation.context import Context
from routing.translation.errors import error_of
from routing.translation.sealed import seal

encode = msgspec.json.Encoder().encode

_REASONS = {
    STOP: "end_turn", LENGTH: "max_tokens", TOOLS: "tool_use", SEQUENCE: "stop_sequence", REFUSED: "refusal",
    PAUSE: "end_turn",
}  # fmt: skip


@dataclass(slots=True)
class _Block:
    """A block that is written in JSON."""

    value: dict[str, Any]
    parts: list[str] = field(default_factory=list)


class Writer:
    """Writes for a client of Anthropic's."""

    def __init__(self, context: Context, created: int) -> None:
        self._context = context
        self._index = -1
        self._kind = ""
        self._held: list[str] | None = None  # a call's arguments that do not begin as an object
        self._refused = False
        self._is_signed = False
        self._stop = Stop(STOP)
        self._usage = Usage(input=context.estimated_input)
        self._message: dict[str, Any] = {}
        self._blocks: list[_Block] = []
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
        if kind is Ping:
            return self.comment()
        if kind is Start:
            return self._start(event)
        if kind is Stop:
            self._stop = event
        elif kind is Spent:
            self._usage = event.usage
        elif kind is End:
            return self._end()
        elif kind is Failure:
            return b"event: error\ndata: %b\n\n" % error_of(self._context.client, event.status, event.message)
        return b""

    def _start(self, event: Start) -> bytes:
        self._message = {
            "id": event.id or "msg_lunaroute", "type": "message", "role": "assistant",
            "model": event.model or self._context.model, "content": [], "stop_reason": None, "stop_sequence": None,
        }  # fmt: skip
        message = {**self._message, "usage": {**_usage(self._usage), "output_tokens": 0}}
        return _sse("message_start", {"type": "message_start", "message": message})

    def _open(self, event: Open) -> bytes:
        self._index += 1
        self._kind = event.kind
        self._is_signed = False
        self._refused |= event.kind == REFUSAL
        block: dict[str, Any] = {"type": "text", "text": ""}
        if event.kind == THINKING:
            block = {"type": "thinking", "thinking": "", "signature": ""}
        elif event.kind == CALL:
            self._held = []
            name = self._context.tool_names.get(event.name, event.name)
            id = call_id(event.id, self._message["id"], self._index)
            block = {"type": "tool_use", "id": id, "name": name, "input": {}}
        if self.keeps:
            self._blocks.append(_Block(block))
        value = {"type": "content_block_start", "index": self._index, "content_block": block}
        return _sse("content_block_start", value)

    def _delta(self, text: str) -> bytes:
        if self.keeps:
            self._blocks[-1].parts.append(text)
            return b""
        if self._kind == CALL:
            if self._held is not None:
                text = self._begun(self._held, text)
                if not text:
                    return b""
            delta = {"type": "input_json_delta", "partial_json": text}
        elif self._kind == THINKING:
            delta = {"type": "thinking_delta", "thinking": text}
        else:
            delta = {"type": "text_delta", "text": text}
        return _sse("content_block_delta", {"type": "content_block_delta", "index": self._index, "delta": delta})

    def _begun(self, held: list[str], text: str) -> str:
        """Give what goes out of arguments: nothing, where they are no object, until all of them are there."""
        if not held:
            text = text.lstrip()
            if text.startswith("{"):
                self._held = None
                return text
        if text:
            held.append(text)
        return ""

    def _state(self, event: State) -> bytes:
        if self._kind != THINKING or not event.encrypted:
            return b""
        return self._sign(seal({"id": event.item_id, "encrypted_content": event.encrypted}))

    def _sign(self, signature: str) -> bytes:
        self._is_signed = True
        if self.keeps:
            self._blocks[-1].value["signature"] = signature
        delta = {"type": "signature_delta", "signature": signature}
        return _sse("content_block_delta", {"type": "content_block_delta", "index": self._index, "delta": delta})

    def _close(self) -> bytes:
        out = b""
        if self._kind == THINKING and not self._is_signed:
            # Anthropic must never get it for its own: see routing.rewriting.foreign.
            out = self._sign(seal({"from": self._context.provider}))
        if self._held and not self.keeps:
            text, self._held = _input("".join(self._held)).decode(), None
            out += self._delta(text)
        return out + _sse("content_block_stop", {"type": "content_block_stop", "index": self._index})

    def _ending(self) -> dict[str, Any]:
        reason = REFUSED if self._refused and self._stop.reason == STOP else self._stop.reason
        return {"stop_reason": _REASONS[reason], "stop_sequence": self._stop.sequence}

    def _end(self) -> bytes:
        delta = {"type": "message_delta", "delta": self._ending(), "usage": _usage(self._usage)}
        return _sse("message_delta", delta) + _sse("message_stop", {"type": "message_stop"})

    def whole(self) -> bytes:
        """Give the answer in JSON."""
        content: list[dict[str, Any]] = []
        for block in self._blocks:
            text = "".join(block.parts)
            kind = block.value["type"]
            if kind == "tool_use":
                content.append({**block.value, "input": msgspec.Raw(_input(text))})
            else:
                content.append({**block.value, kind: text})
        return encode({**self._message, "content": content, **self._ending(), "usage": _usage(self._usage)})

    def comment(self) -> bytes:
        """Give what keeps the connection alive."""
        return _sse("ping", {"type": "ping"})


def _input(arguments: str) -> bytes:
    """Give a call's arguments as the JSON of an object, whatever they are."""
    if not arguments.strip():
        return b"{}"
    try:
        value = msgspec.json.decode(arguments)
    except (ValueError, RecursionError):
        return encode({"input": arguments})
    return arguments.encode() if isinstance(value, dict) else b'{"input":%b}' % arguments.encode()


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
