"""What the dialects' parsers share: JSON that never raises, and the frame of an answer's parser."""

import json
from typing import Any

import orjson

from sessions.dialects.facts import Block, ResponseFacts, Stream, ToolCall, Usage
from sessions.dialects.sse import SseParser

# What reading an answer raises where it has not the form that it should have.
UNREADABLE = (TypeError, ValueError, KeyError, AttributeError, IndexError, RecursionError)


# Levels of JSON that are read. Clients and providers nest as deep as they like, and whatever walks through a value here, or
# writes it down again (orjson: 254 levels), may recurse.
DEEPEST = 200


def loads(data: bytes | str) -> Any:
    """Decode JSON; None where it is none, or nested deeper than `DEEPEST`. What orjson refuses (NaN, 1e400, lone
    surrogates) the standard library takes."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            return None
    return None if _may_be_deep(data) and _is_deep(value) else value


def _may_be_deep(data: bytes | str) -> bool:
    """Tell of most texts, quickly, that they are not deep: they have fewer brackets."""
    opening = ("[", "{") if isinstance(data, str) else (b"[", b"{")
    return sum(map(data.count, opening)) > DEEPEST


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST + 1):
        inner = [v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list)]
        level = [item for items in inner for item in items if isinstance(item, dict | list)]
        if not level:
            return False
    return True


def mapping(value: Any) -> dict:
    """`value` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list:
    """`value` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def text(value: Any) -> str:
    """`value` if it is text, else an empty one; lone surrogates become replacement characters."""
    return clean(value) if isinstance(value, str) else ""


def clean(value: str) -> str:
    """Text that UTF-8 can hold."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def count(value: Any) -> int:
    """`value` if it can be a number of tokens, else 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62 else 0


def dumps(value: Any) -> str:
    """JSON text of `value`."""
    try:
        return orjson.dumps(value).decode()
    except (TypeError, orjson.JSONEncodeError):
        return json.dumps(value)


def error_text(error: Any) -> str:
    """A vendor's error object as "type: message"."""
    if isinstance(error, str):
        return clean(error)
    error = mapping(error)
    kind = text(error.get("type")) or text(error.get("code"))
    message = text(error.get("message"))
    return ": ".join(part for part in (kind, message) if part) or "error"


class Answer:
    """An answer's parser: bytes in, facts out. A dialect says what an event and a JSON body mean.

    ``first_token`` turns True with the first piece of content. ``streams`` are the blocks whose text comes in parts, in
    the order in which they began; they only ever grow. Nothing raises, whatever comes.
    """

    def __init__(self, content_type: str, status: int) -> None:
        self.first_token = False
        self.streams: list[Stream] = []
        self.status = status
        self._sse = SseParser() if "text/event-stream" in content_type.lower() else None
        self._body: list[bytes] = []
        self.found = ResponseFacts()

    def feed(self, data: bytes) -> None:
        """Take bytes of the answer, decoded from their content coding."""
        if self._sse is None:
            self._body.append(data)
            return
        for event in self._sse.feed(data):
            if event.data == b"[DONE]":
                self.found.complete = True
                continue
            value = loads(event.data)
            if isinstance(value, dict):
                try:
                    self.on_event(value)
                except UNREADABLE as error:
                    self._note(error)

    def finish(self) -> ResponseFacts:
        """Give what the answer says, as far as it came. May be asked more than once."""
        if self._sse is None:
            self.found = ResponseFacts()
            value = loads(b"".join(self._body)) if self._body else None
            if isinstance(value, dict):
                if self.status >= 400 or value.get("error"):
                    self.found.error = error_text(value.get("error") or value)
                    self.found.content = value
                    self.found.complete = True
                else:
                    self.found.complete = True
                    self._guard(self.on_body, value)
            return self.found
        self._guard(self.on_finish)
        return self.found

    def _guard(self, method, *arguments) -> None:
        try:
            method(*arguments)
        except UNREADABLE as error:
            self._note(error)

    def _note(self, error: Exception) -> None:
        self.found.error = self.found.error or f"unreadable answer: {type(error).__name__}: {error}"

    def stream(self, kind: str, parts: list[str], name: str = "") -> Stream:
        """Begin a block whose text comes in `parts`, to which the dialect will append."""
        stream = Stream(kind, name, parts)
        self.streams.append(stream)
        return stream

    def on_event(self, event: dict) -> None:
        """Take an event of a stream."""

    def on_body(self, body: dict) -> None:
        """Take a whole JSON body."""

    def on_finish(self) -> None:
        """Put together what the events said; may come more than once."""


class OtherAnswer(Answer):
    """An answer of an address that is no conversation: embeddings name tokens, the rest names nothing."""

    def on_body(self, body: dict) -> None:
        self.found.model = text(body.get("model"))
        usage = mapping(body.get("usage"))
        self.found.usage = Usage(input=count(usage.get("prompt_tokens")))
        self.found.response_id = text(body.get("id"))


def tool_block(call: ToolCall) -> Block:
    """A tool call as a block."""
    return Block("tool_call", call.arguments, call.name, call.id)
