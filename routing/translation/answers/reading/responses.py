"""OpenAI Responses: answers read. https://platform.openai.com/docs/api-reference/responses-streaming."""

from typing import Any

from routing.translation.answers.events import (
    CALL,
    LENGTH,
    REFUSAL,
    REFUSED,
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
    block_events,
    count,
    failure_of,
    items,
    mapping,
    text_of,
)
from routing.translation.answers.sequence import Sequence
from routing.translation.context import Context

# Deltas of a stream, and the block that they belong to.
_DELTAS = {
    "response.output_text.delta": TEXT, "response.refusal.delta": REFUSAL, "response.reasoning_summary_text.delta": THINKING,
    "response.reasoning_text.delta": THINKING, "response.function_call_arguments.delta": CALL,
    "response.custom_tool_call_input.delta": CALL,
}  # fmt: skip
_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
# Parts of a message: their block, and where their text is.
_PARTS = {"output_text": (TEXT, "text"), "refusal": (REFUSAL, "refusal")}


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
        self._sequence = Sequence(closes=True)
        self._has_calls = False
        self._has_items = False
        self._told: set[Any] = set()  # blocks whose content has come
        self._parts: dict[Any, Any] = {}  # block of reasoning → its part that came last

    def event(self, value: dict[str, Any]) -> list[Event]:
        """Read an event of a stream."""
        kind = text_of(value.get("type"))
        block = _DELTAS.get(kind)
        if block is not None:
            return self._delta(block, value)
        if kind == "response.output_item.added":
            return self._added(_number(value, "output_index"), mapping(value.get("item")))
        if kind == "response.output_item.done":
            return self._done(_number(value, "output_index"), mapping(value.get("item")))
        if kind == "response.content_part.done":
            place = _number(value, "output_index"), _number(value, "content_index")
            return self._part(*place, mapping(value.get("part")))
        if kind in ("response.completed", "response.incomplete"):
            return self._end({**mapping(value.get("response")), "status": kind.removeprefix("response.")})
        if kind in ("response.failed", "response.cancelled"):
            return [failure_of(mapping(value.get("response")).get("error"))]
        if kind == "error":
            return [failure_of(value.get("error") or {**value, "type": None})]
        if kind == "response.created":
            response = mapping(value.get("response"))
            return [Start(text_of(response.get("id")), text_of(response.get("model")))]
        return [Ping()] if kind == "keepalive" else []

    def _delta(self, kind: str, value: dict[str, Any]) -> list[Event]:
        delta = text_of(value.get("delta"))
        if not delta:
            return []
        index, content = _number(value, "output_index"), _number(value, "content_index")
        key = (index, kind, content) if kind in (TEXT, REFUSAL) else (index, kind)
        opened: list[Event] = []
        if not self._sequence.has(key):
            if kind == CALL or key in self._told:
                return []  # without its name, or after its end
            opened = self._open(key, kind)
        self._told.add(key)
        if kind == THINKING:
            # The summary and the thoughts themselves count their parts apart.
            part = (value["type"], _number(value, "summary_index"), content)
            if self._parts.setdefault(key, part) != part:
                self._parts[key] = part
                delta = "\n\n" + delta
        return [*opened, *self._sequence.delta(key, delta)]

    def _open(self, key: Any, kind: str, id: str = "", name: str = "") -> list[Event]:
        self._has_items = True
        return self._sequence.open(key, kind, id, name)

    def _added(self, index: int, item: dict[str, Any]) -> list[Event]:
        kind = text_of(item.get("type"))
        if kind in _CALLS:
            self._has_calls = True
            id = text_of(item.get("call_id")) or text_of(item.get("id"))
            return self._open((index, CALL), CALL, id, text_of(item.get("name")))
        return self._open((index, THINKING), THINKING) if kind == "reasoning" else []

    def _done(self, index: int, item: dict[str, Any]) -> list[Event]:
        """An item is complete: what of it did not come in pieces is written now."""
        kind = text_of(item.get("type"))
        events: list[Event] = []
        if kind in _CALLS or kind == "reasoning":
            key = (index, CALL if kind in _CALLS else THINKING)
            if not self._sequence.has(key):
                events = self._added(index, item)
            if key not in self._told:
                events += self._sequence.delta(
                    key, text_of(item.get(_CALLS[kind])) if kind in _CALLS else _thought(item)
                )
            if kind == "reasoning":
                events += self._sequence.state(key, _state_of(item))
        for content, part in enumerate(items(item.get("content")) if kind == "message" else ()):
            events += self._part(index, content, part)
        ends = [key for key in self._sequence.going_on() if key[0] == index]
        return [*events, *(event for key in ends for event in self._sequence.close(key))]

    def _part(self, index: int, content: int, part: dict[str, Any]) -> list[Event]:
        """A part of a message is complete."""
        kind, name = _PARTS.get(text_of(part.get("type")), ("", ""))
        key, text = (index, kind, content), text_of(part.get(name))
        if not kind:
            return []
        if key in self._told or not text:
            return self._sequence.close(key)
        self._told.add(key)
        return [*self._open(key, kind), *self._sequence.delta(key, text), *self._sequence.close(key)]

    def _end(self, response: dict[str, Any]) -> list[Event]:
        events = self._sequence.close_all()
        if not self._has_items:
            events += _output(response)
        has_calls = self._has_calls or _has_calls(response)
        return [*events, _stop_of(response, has_calls), *_spent(response), End()]

    def done(self) -> list[Event]:
        """[DONE], which some servers add: the stream's last word came before it."""
        return []

    def is_over(self) -> bool:
        """Whether a stream may end here though it did not say so."""
        return False

    def whole(self, value: dict[str, Any]) -> list[Event] | None:
        """Read an answer in JSON; None where it is none."""
        if not isinstance(value.get("output"), list):
            return None
        if value.get("status") in ("failed", "cancelled") or (value.get("error") and not value["output"]):
            return [failure_of(value.get("error"))]
        start = Start(text_of(value.get("id")), text_of(value.get("model")))
        return [start, *_output(value), _stop_of(value, _has_calls(value)), *_spent(value), End()]


def _number(value: dict[str, Any], name: str) -> int:
    number = value.get(name)
    return number if isinstance(number, int) else 0


def _output(response: dict[str, Any]) -> list[Event]:
    return [event for item in items(response.get("output")) for event in _whole_item(item)]


def _whole_item(item: dict[str, Any]) -> list[Event]:
    kind = text_of(item.get("type"))
    if kind in _CALLS:
        id = text_of(item.get("call_id")) or text_of(item.get("id"))
        return [*block_events(CALL, text_of(item.get(_CALLS[kind])), id, text_of(item.get("name")))]
    if kind == "reasoning":
        return [*block_events(THINKING, _thought(item), state=_state_of(item))]
    found: list[Event] = []
    for part in items(item.get("content")) if kind == "message" else ():
        block, name = _PARTS.get(text_of(part.get("type")), ("", ""))
        if text_of(part.get(name)):
            found += block_events(block, part[name])
    return found


def _state_of(item: dict[str, Any]) -> State:
    return State(item_id=text_of(item.get("id")), encrypted=text_of(item.get("encrypted_content")))


def _thought(item: dict[str, Any]) -> str:
    parts = [text_of(part.get("text")) for part in (*items(item.get("summary")), *items(item.get("content")))]
    return "\n\n".join(part for part in parts if part)


def _has_calls(response: dict[str, Any]) -> bool:
    return any(text_of(item.get("type")) in _CALLS for item in items(response.get("output")))


def _stop_of(response: dict[str, Any], has_calls: bool) -> Stop:
    if response.get("status") == "incomplete":
        reason = mapping(response.get("incomplete_details")).get("reason")
        return Stop(REFUSED if reason == "content_filter" else LENGTH)
    return Stop(TOOLS if has_calls else STOP)


def _spent(response: dict[str, Any]) -> list[Event]:
    usage = response.get("usage")
    return [Spent(usage_of(usage))] if isinstance(usage, dict) else []
