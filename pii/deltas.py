"""Texts that a stream's messages bring in pieces: where the pieces stand, by dialect."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson

from pii.json_text import STRING, decoded

_QUOTES_AND_BRACKETS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+("|\Z)|[{}\[\]]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Field:
    """A member of a message that is a piece of a text: of which, in which object, and whether that text is JSON."""

    stream: tuple
    holder: dict
    name: str
    is_json: bool = False


def loads(data: str) -> Any:
    """Decode JSON; None where it is none."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def closed(data: str) -> str:
    """Give JSON that was cut off with what is open in it closed, so that it can be read as far as it came."""
    ends = []
    for match in _QUOTES_AND_BRACKETS.finditer(data):
        if match[0] in "{[":
            ends.append("}" if match[0] == "{" else "]")
        elif match[0] in "}]":
            if ends:
                ends.pop()
        elif not match[1]:
            ends.append('"')
    return data + "".join(reversed(ends))


def fields(dialect: str, message: Any) -> Iterator[Field]:
    """Give the pieces of texts that a message brings."""
    if isinstance(message, dict):
        yield from _DIALECTS[dialect](message) if dialect in _DIALECTS else ()


def _anthropic(message: dict) -> Iterator[Field]:
    kind, index = message.get("type"), repr(message.get("index"))
    if kind == "content_block_delta":
        delta = message.get("delta")
        yield from _texts((index,), delta, "text", "thinking")
        yield from _texts((index,), delta, "partial_json", is_json=True)
    elif kind == "content_block_start":
        yield from _texts((index,), message.get("content_block"), "text", "thinking")
    elif kind == "completion":
        yield from _texts((), message, "completion")


def _chat(message: dict) -> Iterator[Field]:
    for at, choice in _objects(message.get("choices")):
        index = repr(choice.get("index", at))
        delta = choice.get("delta")
        yield from _texts((index,), choice, "text")
        if not isinstance(delta, dict):
            continue
        yield from _texts((index,), delta, "content", "refusal", "reasoning_content", "reasoning")
        for position, detail in _objects(delta.get("reasoning_details")):
            stream = (index, "details", repr(detail.get("index", position)))
            yield from _texts(stream, detail, "text", "summary")
        yield from _texts((index, "audio"), delta.get("audio"), "transcript")
        yield from _texts((index, "old"), delta.get("function_call"), "arguments", is_json=True)
        for position, call in _objects(delta.get("tool_calls")):
            stream = (index, repr(call.get("index", position)))
            yield from _texts(stream, call.get("function"), "arguments", is_json=True)
            yield from _texts(stream, call.get("custom"), "input")


def _responses(message: dict) -> Iterator[Field]:
    kind = message.get("type")
    if isinstance(kind, str) and kind.endswith(".delta") and not kind.endswith("audio.delta"):
        # Some servers give an item another id in each message: its place says more.
        item = message.get("output_index", message.get("item_id"))
        part = (message.get("content_index"), message.get("summary_index"))
        yield from _texts((kind, repr(item), repr(part)), message, "delta", is_json="arguments" in kind)


_DIALECTS = {"anthropic": _anthropic, "openai-chat": _chat, "openai-responses": _responses}


def _objects(value: Any) -> Iterator[tuple[int, dict]]:
    for at, item in enumerate(value if isinstance(value, list) else ()):
        if isinstance(item, dict):
            yield at, item


def _texts(stream: tuple, holder: Any, *names: str, is_json: bool = False) -> Iterator[Field]:
    if isinstance(holder, dict):
        for name in names:
            if isinstance(holder.get(name), str):
                yield Field((*stream, name), holder, name, is_json)


@cache
def _member(name: str) -> re.Pattern:
    # An unescaped quote on both sides cannot stand inside of a string.
    return re.compile(rf'"{name}"\s*+:\s*+')


class Strings:
    """Finds in a message's `data` the strings of its fields. What is found of a name is kept: a message may have thousands."""

    def __init__(self, data: str, message: Any) -> None:
        self._data, self._message = data, message
        self._by_name: dict[str, dict[int, int]] = {}

    def place(self, field: Field) -> tuple[int, int] | None:
        """Give where a field's string stands, between its quotes; None where that cannot be told."""
        if field.name not in self._by_name:
            self._by_name[field.name] = self._members(field.name)
        at = self._by_name[field.name].get(id(field.holder))
        match = STRING.match(self._data, at) if at is not None else None
        if match is None or decoded(match[1]) != field.holder[field.name]:
            return None
        return match.span(1)

    def _members(self, name: str) -> dict[int, int]:
        """Give by object where the value of its member `name` begins."""
        found = [match.end() for match in _member(name).finditer(self._data)]
        holders = [id(holder) for holder in _holders(self._message, name)]
        if len(holders) != len(found):  # a name twice in one object, or one that stands in a string
            return {}
        return dict(zip(holders, found, strict=True))


def _holders(message: Any, name: str) -> Iterator[dict]:
    """Give the objects that have a member called `name`, in the order in which these members are written."""
    waiting: list[tuple[dict | None, Any]] = [(None, message)]
    while waiting:
        holder, value = waiting.pop()
        if holder is not None:
            yield holder
        if isinstance(value, dict):
            waiting += reversed([(value if key == name else None, item) for key, item in value.items()])
        elif isinstance(value, list):
            waiting += ((None, item) for item in reversed(value))
