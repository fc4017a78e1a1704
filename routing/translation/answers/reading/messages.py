"""Anthropic Messages: answers read. https://docs.anthropic.com/en/docs/build-with-claude/streaming."""

from typing import Any

from routing.translation.answers.events import (
    CALL,
    LENGTH,
    PAUSE,
    REFUSED,
    SEQUENCE,
    STOP,
    TEXT,
    THINKING,
    TOOLS,
    End,
    Event,
    Ping,
    Spent,
    Start,
    State,
    Stop,
    Usage,
    arguments_of,
    block_events,
    count,
    failure_of,
    items,
    mapping,
    text_of,
)
from routing.translation.answers.sequence import Sequence
from routing.translation.context import Context

_REASONS = {
    "end_turn": STOP, "max_tokens": LENGTH, "tool_use": TOOLS, "stop_sequence": SEQUENCE, "refusal": REFUSED,
    "pause_turn": PAUSE, "model_context_window_exceeded": LENGTH,
}  # fmt: skip
_KINDS = {"text": TEXT, "thinking": THINKING, "redacted_thinking": THINKING, "tool_use": CALL}
_DELTAS = {
    "text_delta": ("text", TEXT), "thinking_delta": ("thinking", THINKING), "input_json_delta": ("partial_json", CALL),
}  # fmt: skip


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
        self._sequence = Sequence(closes=True)
        self._usage: dict[str, Any] = {}

    def event(self, value: dict[str, Any]) -> list[Event]:
        """Read an event of a stream."""
        kind = value.get("type")
        if kind == "content_block_delta":
            return self._delta(_index(value), mapping(value.get("delta")))
        if kind == "content_block_start":
            return self._open(_index(value), mapping(value.get("content_block")))
        if kind == "content_block_stop":
            return self._sequence.close(_index(value))
        if kind == "message_start":
            message = mapping(value.get("message"))
            self._note_usage(message.get("usage"))
            return [Start(text_of(message.get("id")), text_of(message.get("model")))]
        if kind == "message_delta":
            self._note_usage(value.get("usage"))
            delta = mapping(value.get("delta"))
            return [*self._sequence.close_all(), _stop_of(delta)] if delta.get("stop_reason") else []
        if kind == "message_stop":
            spent = [Spent(usage_of(self._usage))] if self._usage else []
            return [*self._sequence.close_all(), *spent, End()]
        if kind == "error":
            return [failure_of(value.get("error"))]
        return [Ping()] if kind == "ping" else []

    def _note_usage(self, usage: Any) -> None:
        """What comes later is a total, and leaves out what has not changed."""
        self._usage.update({name: tokens for name, tokens in mapping(usage).items() if tokens is not None})

    def _open(self, index: int, block: dict[str, Any]) -> list[Event]:
        kind = _KINDS.get(text_of(block.get("type")))
        if kind is None:
            return []  # a tool that ran at Anthropic, and what it found
        events = self._sequence.open(index, kind, text_of(block.get("id")), text_of(block.get("name")))
        if kind == CALL:
            return [*events, *self._sequence.delta(index, arguments_of(block.get("input") or None))]
        events += self._sequence.delta(index, text_of(block.get("text")) or text_of(block.get("thinking")))
        state = _state_of(block)
        return [*events, *self._sequence.state(index, state)] if state is not None else events

    def _delta(self, index: int, delta: dict[str, Any]) -> list[Event]:
        kind = text_of(delta.get("type"))
        if kind in _DELTAS:
            name, block = _DELTAS[kind]
            opened = [] if block == CALL or self._sequence.has(index) else self._sequence.open(index, block)
            return [*opened, *self._sequence.delta(index, text_of(delta.get(name)))]
        if kind == "signature_delta":
            return self._sequence.state(index, State(signature=text_of(delta.get("signature"))))
        return []

    def done(self) -> list[Event]:
        """[DONE], which some servers add: the stream's last word came before it."""
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
                arguments = arguments_of(block.get("input") or None)
                events += block_events(CALL, arguments, text_of(block.get("id")), text_of(block.get("name")))
            elif kind is not None:
                text = text_of(block.get("text")) or text_of(block.get("thinking"))
                events += block_events(kind, text, state=_state_of(block))
        spent = [Spent(usage_of(value["usage"]))] if mapping(value.get("usage")) else []
        return [*events, _stop_of(value), *spent, End()]


def _index(value: dict[str, Any]) -> int:
    index = value.get("index")
    return index if isinstance(index, int) else 0


def _state_of(block: dict[str, Any]) -> State | None:
    signature, redacted = text_of(block.get("signature")), text_of(block.get("data"))
    return State(signature, redacted) if signature or redacted else None


def _stop_of(value: dict[str, Any]) -> Stop:
    sequence = value.get("stop_sequence")
    reason = _REASONS.get(text_of(value.get("stop_reason")), STOP)
    return Stop(reason, sequence if isinstance(sequence, str) else None)
