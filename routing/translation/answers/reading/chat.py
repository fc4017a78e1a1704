"""OpenAI Chat Completions: answers read. https://platform.openai.com/docs/api-reference/chat/streaming."""

from dataclasses import dataclass, field
from typing import Any

from routing.translation.answers.events import (
    BROKE_OFF,
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
    Failure,
    Spent,
    Start,
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
    "stop": STOP, "length": LENGTH, "model_length": LENGTH, "tool_calls": TOOLS, "function_call": TOOLS,
    "content_filter": REFUSED,
}  # fmt: skip
# Why servers other than OpenAI's gave up: what came of the answer is not all of it.
_GAVE_UP = frozenset({"error", "abort", "insufficient_system_resource"})
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


@dataclass(slots=True)
class _Call:
    number: int
    id: str
    has_begun: bool = False
    early: list[str] = field(default_factory=list)  # arguments that came before the name


class Reader:
    """Reads a provider's answer."""

    def __init__(self, context: Context) -> None:
        self._sequence = Sequence(closes=False)
        self._calls: dict[int, _Call] = {}
        self._numbers = 0
        self._has_begun = False
        self._reason = ""
        self._usage: Usage | None = None
        self._is_over = False

    def event(self, value: dict[str, Any]) -> list[Event]:
        """Read a chunk of a stream."""
        if value.get("error"):
            return [failure_of(value["error"])]
        if value.get("object") == "error":
            return [failure_of(value)]
        if isinstance(value.get("usage"), dict):
            self._usage = usage_of(value["usage"])
        choice = _choice(value)
        if choice is None:
            return []
        events: list[Event] = []
        if not self._has_begun:
            self._has_begun = True
            events.append(Start(text_of(value.get("id")), text_of(value.get("model"))))
        events += self._delta(mapping(choice.get("delta")))
        self._reason = text_of(choice.get("finish_reason")) or self._reason
        return events

    def _delta(self, delta: dict[str, Any]) -> list[Event]:
        events: list[Event] = []
        for name in _THOUGHTS:
            if isinstance(delta.get(name), str) and delta[name]:
                events += self._text(THINKING, delta[name])
                break
        content = delta.get("content")
        if content:
            for kind, text in ((TEXT, content),) if isinstance(content, str) else _parts(content):
                events += self._text(kind, text)
        if isinstance(delta.get("refusal"), str) and delta["refusal"]:
            events += self._text(REFUSAL, delta["refusal"])
        for at, call in enumerate(items(delta.get("tool_calls"))):
            index = call.get("index")
            events += self._call(index if isinstance(index, int) else at, call)
        if isinstance(delta.get("function_call"), dict):
            events += self._call(0, {"function": delta["function_call"]})
        return events

    def _text(self, kind: str, text: str) -> list[Event]:
        opened = [] if self._sequence.has(kind) else self._sequence.open(kind, kind)
        return [*opened, *self._sequence.delta(kind, text)]

    def _call(self, index: int, given: dict[str, Any]) -> list[Event]:
        function = _function(given)
        id, name = text_of(given.get("id")), text_of(function.get("name"))
        events: list[Event] = []
        call = self._calls.get(index)
        if call is not None and name and id and call.id not in ("", id):
            events += self._sequence.close(call.number)  # some servers give each call the same index
            call = None
        if call is None:
            self._numbers += 1
            call = self._calls[index] = _Call(self._numbers, id)
        call.id = call.id or id
        arguments = arguments_of(function.get("arguments", function.get("input")))
        if not call.has_begun:
            call.early.append(arguments)
            if not name:
                return events
            call.has_begun = True
            events += self._sequence.open(call.number, CALL, call.id, name)
            arguments = "".join(call.early)
        return [*events, *self._sequence.delta(call.number, arguments)]

    def done(self) -> list[Event]:
        """The stream's last word ([DONE])."""
        if self._is_over:
            return []
        self._is_over = True
        if not self._has_begun or self._reason in _GAVE_UP:
            return [Failure(BROKE_OFF)]
        has_calls = any(call.has_begun for call in self._calls.values())
        spent = [Spent(self._usage)] if self._usage is not None else []
        return [*self._sequence.close_all(), _stop_of(self._reason, has_calls), *spent, End()]

    def is_over(self) -> bool:
        """Whether a stream may end here though it did not say so: some servers leave out [DONE]."""
        return bool(self._reason)

    def whole(self, value: dict[str, Any]) -> list[Event] | None:
        """Read an answer in JSON; None where it is none."""
        choice = _choice(value)
        if choice is None or not isinstance(choice.get("message"), dict):
            return None
        if text_of(choice.get("finish_reason")) in _GAVE_UP:
            return [Failure(BROKE_OFF)]
        message = choice["message"]
        events: list[Event] = [Start(text_of(value.get("id")), text_of(value.get("model")))]
        thought = next((message[name] for name in _THOUGHTS if text_of(message.get(name))), "")
        said = _parts(message.get("content"))
        for kind, text in ((THINKING, thought), *said, (REFUSAL, text_of(message.get("refusal")))):
            if text:
                events += block_events(kind, text)
        calls = items(message.get("tool_calls"))
        if isinstance(message.get("function_call"), dict):
            calls.append({"function": message["function_call"]})
        calls = [call for call in calls if text_of(_function(call).get("name"))]
        for call in calls:
            function = _function(call)
            arguments = arguments_of(function.get("arguments", function.get("input")))
            events += block_events(CALL, arguments, text_of(call.get("id")), function["name"])
        usage = value.get("usage")
        spent = [Spent(usage_of(usage))] if isinstance(usage, dict) else []
        return [*events, _stop_of(choice.get("finish_reason"), bool(calls)), *spent, End()]


def _choice(value: dict[str, Any]) -> dict[str, Any] | None:
    """The first choice: no request asks for more than one."""
    return next((choice for choice in items(value.get("choices")) if not choice.get("index")), None)


def _parts(content: Any) -> list[tuple[str, str]]:
    """Give (kind, text) of content. It is a text, or with some servers, where a model thinks, a list of parts."""
    if isinstance(content, str):
        return [(TEXT, content)]
    found: list[tuple[str, str]] = []
    for part in items(content):
        kind = text_of(part.get("type"))
        if kind == "thinking":
            thought = part.get("thinking")
            pieces = [thought] if isinstance(thought, str) else [piece.get("text") for piece in items(thought)]
            found.append((THINKING, "".join(text_of(piece) for piece in pieces)))
        elif kind in ("text", "refusal"):
            found.append((TEXT if kind == "text" else REFUSAL, text_of(part.get(kind))))
    return [(kind, text) for kind, text in found if text]


def _function(call: dict[str, Any]) -> dict[str, Any]:
    return mapping(call.get("function")) or mapping(call.get("custom"))


def _stop_of(reason: Any, has_calls: bool) -> Stop:
    """Servers say "stop" of an answer with calls, OpenAI too where one tool was asked for by its name."""
    read = _REASONS.get(text_of(reason), STOP)
    return Stop(TOOLS if read == STOP and has_calls else read)
