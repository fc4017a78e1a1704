"""Changes to a JSON text that leave every other byte as it was."""

import json
import re
from collections.abc import Iterable

import msgspec

_SPACE = re.compile(rb"[ \t\r\n]*")
_raw_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_raw_array = msgspec.json.Decoder(list[msgspec.Raw])
_string = msgspec.json.Decoder(str)
# A key is at most this long before it is looked at as a whole.
_KEY = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)

Span = tuple[int, int]


class NotAnObject(ValueError):
    """The text is no JSON object."""


def members(text: bytes, start: int = 0, end: int | None = None) -> list[tuple[str, Span, Span]]:
    """Give (key, span of the key, span of the value) for each member of the JSON object ``text[start:end]``, in order.

    Raises NotAnObject. Keys that stand twice are given twice.
    """
    end = len(text) if end is None else end
    piece = text if start == 0 and end == len(text) else text[start:end]
    values = _values(piece)
    found, at = [], _skip(piece, 0) + 1
    for value in values:
        key_at = _skip(piece, at)
        match = _KEY.match(piece, key_at)
        if match is None:
            raise NotAnObject("expected a key")
        value_at = _skip(piece, _skip(piece, match.end()) + 1)
        size = len(value)
        found.append(
            (
                _key(match.group()),
                (start + key_at, start + match.end()),
                (start + value_at, start + value_at + size),
            )
        )
        at = _skip(piece, value_at + size) + 1
    return found


def _values(piece: bytes) -> list[bytes]:
    """The values' bytes in order, those of repeated keys too."""
    try:
        found = _raw_object.decode(piece)
    except (ValueError, RecursionError) as error:
        raise NotAnObject(str(error) or type(error).__name__) from None
    # A dictionary has a repeated key once: seldom, so it is counted by walking.
    return _walk(piece, len(found), [bytes(value) for value in found.values()])


def _walk(piece: bytes, count: int, values: list[bytes]) -> list[bytes]:
    at = _skip(piece, 0) + 1
    for value in values:
        key_at = _skip(piece, at)
        match = _KEY.match(piece, key_at)
        if match is None:
            return _slowly(piece)
        value_at = _skip(piece, _skip(piece, match.end()) + 1)
        if not piece.startswith(value, value_at):
            return _slowly(piece)
        at = _skip(piece, value_at + len(value))
        if piece[at : at + 1] not in (b",", b"}"):
            return _slowly(piece)
        at += 1
    return values if piece[at - 1 : at] == b"}" or not count else _slowly(piece)


def _slowly(piece: bytes) -> list[bytes]:
    """The same by trying where each value ends; for objects with repeated keys."""
    text = piece.decode("utf-8", "surrogatepass")
    decoder, values, at = json.JSONDecoder(), [], 1 + len(text) - len(text.lstrip(" \t\r\n"))
    while True:
        at = _skip_text(text, at)
        if text[at] == "}":
            return values
        _, at = decoder.raw_decode(text, at)
        at = _skip_text(text, at) + 1
        at = _skip_text(text, at)
        _, after = decoder.raw_decode(text, at)
        values.append(text[at:after].encode("utf-8", "surrogatepass"))
        at = _skip_text(text, after)
        if text[at] == ",":
            at += 1


def _skip_text(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at


def items(text: bytes, start: int, end: int) -> list[Span]:
    """Give the spans of the items of the JSON array ``text[start:end]``, none for what is no array."""
    piece = text[start:end]
    try:
        values = _raw_array.decode(piece)
    except (ValueError, RecursionError):
        return []
    spans, at = [], _skip(piece, 0) + 1
    for value in values:
        at = _skip(piece, at)
        size = len(bytes(value))
        spans.append((start + at, start + at + size))
        at = _skip(piece, at + size) + 1
    return spans


def string_at(text: bytes, span: Span) -> str | None:
    """Give the JSON string at `span`, None for another value."""
    piece = text[span[0] : span[1]]
    if piece[:1] != b'"':
        return None
    try:
        return _string.decode(piece)
    except ValueError:
        return json.loads(piece)  # lone surrogates


def replaced(text: bytes, edits: Iterable[tuple[Span, bytes]]) -> bytes:
    """Give `text` with each span replaced. Spans do not overlap; those that begin at one place keep their order."""
    out, at = [], 0
    for (start, end), new in sorted(edits, key=lambda edit: edit[0][0]):
        out += (text[at:start], new)
        at = end
    out.append(text[at:])
    return b"".join(out)


def _skip(piece: bytes, at: int) -> int:
    return _SPACE.match(piece, at).end()


def _key(raw: bytes) -> str:
    try:
        return _string.decode(raw)
    except ValueError:
        return json.loads(raw)
