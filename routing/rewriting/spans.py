"""Where the parts of a JSON text stand in its bytes, so that one is replaced and all others stay as they came."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from json.decoder import JSONDecoder, scanstring

import msgspec

_SPACE = re.compile(rb"[ \t\n\r]*+")
_KEY = re.compile(rb'[ \t\n\r]*+,?+[ \t\n\r]*+("[^"\\]*+(?:\\.[^"\\]*+)*+")[ \t\n\r]*+:[ \t\n\r]*+', re.DOTALL)
_NEXT = re.compile(rb"[ \t\n\r]*+,?+[ \t\n\r]*+")
_END = re.compile(rb"[ \t\n\r]*+\}[ \t\n\r]*+\Z")

_raw_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_raw_list = msgspec.json.Decoder(list[msgspec.Raw])
_decoder = JSONDecoder(strict=False)


class CannotRewrite(Exception):
    """The bytes are no JSON object (or not what the dialect's endpoint takes): they are to be sent on as they are."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an object; `start` and `end` are those of its value."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Edit:
    """Bytes to stand in place of those from `start` to `end`."""

    start: int
    end: int
    replacement: bytes


def spliced(body: bytes, edits: Sequence[Edit]) -> bytes:
    """Give `body` with `edits`, which do not overlap; of several at one place, the first comes first."""
    view, out, at = memoryview(body), [], 0  # a view: a conversation is copied once
    for edit in sorted(edits, key=lambda edit: edit.start):
        out += (view[at : edit.start], edit.replacement)
        at = edit.end
    out.append(view[at:])
    return b"".join(out)


def members(body: bytes, start: int = 0, end: int | None = None) -> list[Member]:
    """Give the members of the object that stands from `start` to `end`, repeated names included, in order.

    Takes what ``json.loads`` takes. Raises CannotRewrite for anything but an object.
    """
    end = len(body) if end is None else end
    try:
        values = _raw_object.decode(memoryview(body)[start:end])
    except (ValueError, RecursionError):
        # What msgspec refuses may be JSON all the same: half a surrogate pair, as clients write that cut their texts.
        return _members_of_any(body, start, end)
    found = []
    at = _opening(body, start, end)
    for name, value in values.items():
        key, raw = _KEY.match(body, at), bytes(value)
        if key is None or not body.startswith(raw, key.end()):
            return _members_of_any(body, start, end)  # a name comes twice
        at = key.end() + len(raw)
        found.append(Member(name, key.end(), at))
    return found if _END.match(body, at, end) else _members_of_any(body, start, end)


def elements(body: bytes, start: int, end: int) -> list[tuple[int, int]]:
    """Give where the elements of the list begin and end that stands from `start` to `end`. Raises CannotRewrite."""
    at = start + 1
    found = []
    try:
        for value in _raw_list.decode(memoryview(body)[start:end]):
            at = _NEXT.match(body, at).end()
            found.append((at, at + len(memoryview(value))))
            at = found[-1][1]
        return found
    except (ValueError, RecursionError):
        return _elements_of_any(body, start, end)


def text_at(body: bytes, start: int, end: int) -> str | None:
    """Give the string that stands from `start` to `end`, or None where something else does."""
    if body[start : start + 1] != b'"':
        return None
    try:
        return msgspec.json.decode(memoryview(body)[start:end], type=str)
    except ValueError:
        return _text_of_any(body[start:end])


def _text_of_any(raw: bytes) -> str | None:
    try:
        return scanstring(raw.decode(errors="surrogateescape"), 1, False)[0]
    except ValueError:
        return None


def _opening(body: bytes, start: int, end: int) -> int:
    at = _SPACE.match(body, start, end).end()
    if body[at : at + 1] != b"{":
        raise CannotRewrite("the body is no JSON object")
    return at + 1


def _members_of_any(body: bytes, start: int, end: int) -> list[Member]:
    text = _latin(body, start, end)
    at = _opening(body, start, end)
    found = []
    while not _END.match(body, at, end):
        key = _KEY.match(body, at, end)
        if key is None or (b"," in body[at : key.start(1)]) != bool(found):
            raise CannotRewrite("the body is no JSON object")
        at = start + _end_of_value(text, key.end() - start)
        found.append(Member(_text_of_any(key[1]) or "", key.end(), at))
    return found


def _elements_of_any(body: bytes, start: int, end: int) -> list[tuple[int, int]]:
    text = _latin(body, start, end)
    at = _NEXT.match(body, start + 1).end()
    found = []
    while body[at : at + 1] != b"]" and at < end:
        found.append((at, start + _end_of_value(text, at - start)))
        at = _NEXT.match(body, found[-1][1]).end()
    return found


def _latin(body: bytes, start: int, end: int) -> str:
    """Give the bytes as a text of as many characters: JSON's own are ASCII, so its parts stand in the same places."""
    return body[start:end].decode("latin-1")


def _end_of_value(text: str, at: int) -> int:
    try:
        return _decoder.raw_decode(text, at)[1]
    except (ValueError, RecursionError):
        raise CannotRewrite("the body is no JSON object") from None
