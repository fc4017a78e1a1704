"""JSON as detectors read it, and the way back: strings without their escapes, everything in one text.

The text of a body is read as a whole, so that a name says what its value is (``"password": "…"``) and there is one search
instead of thousands. Only strings with escapes are decoded, those that hold JSON themselves (arguments of tools) on each
level. What is found is replaced in the bytes as they came: all outside of it stays as it was, escapes included.

Whether a text is JSON is judged by its first character: a body that was cut off, or several in lines, are read the same way.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from json.decoder import scanstring

from pii.binary import Blob, blobs
from pii.edits import Edit

# Skips strings without escapes and stops at one with some. Possessive: no way back, so no way to be slow.
_ESCAPED_STRING = re.compile(r'(?:[^"]*+"[^"\\]*+")*+[^"]*+"([^"\\]*+(?:\\.[^"\\]*+)++)(?:"|\Z)', re.DOTALL)
STRING = re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)(?:"|\Z)', re.DOTALL)
_ESCAPE = re.compile(r'\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|["\\/bfnrt])')
_STRUCTURE = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z)|[{}]', re.DOTALL)
_IS_KEY = re.compile(r'"\s*:')
_NUMBER = re.compile(r"[+\-.0-9eE]*+")
_IN_NUMBERS = frozenset("+-.0123456789eE")
_BEGINS_JSON = re.compile(
    r'\s*+(?:"|\{\s*+(?:["}]|\Z)|\[\s*+(?:["{\[\]]|\Z|(?:-?[\d.eE+-]++|true|false|null)\s*+(?:,|\]\s*+\Z)))'
)


@dataclass(slots=True)
class Part:
    """Where a stretch of a projection's text (`start` to `end`) stands in its source: a decoded string, or a blob."""

    start: int
    end: int
    source_start: int
    source_end: int
    inner: "Projection | None" = None
    blob: Blob | None = None


@dataclass(slots=True)
class Projection:
    """`source` as detectors read it: `text`. Without parts the two are one."""

    source: str
    text: str
    is_json: bool
    parts: list[Part] = field(default_factory=list)
    has_notes: bool = False  # on some level a blob of which only size and hash are kept

    def place_of(self, place: int) -> int:
        """Give where a place of the source, outside of parts, stands in the text."""
        before = [part for part in self.parts if part.source_end <= place]
        return place + (before[-1].end - before[-1].source_end if before else 0)

    def cut(self, length: int) -> "Projection":
        """Give the projection of what stands in the first `length` characters of the text, less a part that is not whole."""
        if length >= len(self.text):
            return self
        parts = [part for part in self.parts if part.end <= length]
        for part in self.parts[len(parts) : len(parts) + 1]:
            length = min(length, part.start)
        shift = parts[-1].source_end - parts[-1].end if parts else 0
        return Projection(self.source[: length + shift], self.text[:length], self.is_json, parts, self.has_notes)


def looks_like_json(text: str) -> bool:
    """Whether a text begins as JSON does that holds strings: as an object, a list, or a string."""
    return _BEGINS_JSON.match(text) is not None


def project(source: str, is_json: bool) -> Projection:
    """Read `source`, as JSON or as plain text. Never fails."""
    parts = list(_strings(source)) if is_json and "\\" in source else []
    starts = [part.source_start for part in parts]
    own = []
    for blob in blobs(source, is_json):
        at = bisect_right(starts, blob.start) - 1
        part = Part(0, 0, blob.start, blob.end, blob=blob)
        if at < 0 or blob.start >= parts[at].source_end:
            own.append(part)
        elif (parts[at].source_start, parts[at].source_end) == (blob.start, blob.end):
            parts[at] = part  # base64 with escaped slashes; what is but a part of a string, its own projection has
    if own:
        parts = sorted(parts + own, key=lambda part: part.source_start)
    if not parts:
        return Projection(source, source, is_json)
    out, at, length = [], 0, 0
    for part in parts:
        before = source[at : part.source_start]
        read = part.inner.text if part.inner else part.blob.note or "[BINARY]"
        part.start = length + len(before)
        part.end = length = part.start + len(read)
        out += (before, read)
        at = part.source_end
    out.append(source[at:])
    has_notes = any(part.inner.has_notes if part.inner else part.blob.note for part in parts)
    return Projection(source, "".join(out), is_json, parts, has_notes)


def _strings(source: str) -> Iterator[Part]:
    # Each level of strings in strings doubles the backslashes: there are few levels, and recursion ends soon.
    match = _ESCAPED_STRING.match(source)
    while match:
        content = decoded(match[1])
        yield Part(0, 0, *match.span(1), project(content, looks_like_json(content)))
        match = _ESCAPED_STRING.match(source, match.end())


def decoded(content: str) -> str:
    """Give what stands between the quotes of a JSON string without its escapes; broken ones stay."""
    try:
        text, end = scanstring(content + '"', 0, False)
        if end == len(content) + 1:
            return text
    except ValueError:
        pass
    return _ESCAPE.sub(lambda match: json.loads(f'"{match[0]}"'), content)


def encoded(text: str) -> str:
    """Give `text` as it stands between the quotes of a JSON string."""
    return json.dumps(text, ensure_ascii=not text.isprintable())[1:-1]


class Offsets:
    """Where characters of a decoded string stand in `content`, with its escapes. To be asked in ascending order."""

    def __init__(self, content: str) -> None:
        self._escapes = _ESCAPE.finditer(content)
        self._shift = 0  # of what stands before the next escape
        self._next = next(self._escapes, None)

    def __getitem__(self, place: int) -> int:
        while self._next and self._next.start() - self._shift < place:
            self._shift += self._next.end() - self._next.start() - 1
            self._next = next(self._escapes, None)
        return place + self._shift


def to_source(projection: Projection, edits: list[Edit], keep_binary: bool = False) -> list[Edit]:
    """Give `edits` of a projection's text as edits of its source, in which JSON stays JSON, and those of its blobs.

    An edit over several strings becomes one in each. A number becomes a string. In keys nothing is removed without a
    trace, and different keys of an object stay different.
    """
    plain, inner = _by_part(projection, edits)
    keys: dict[int, int] = {}
    out = _in_json(projection.source, plain, keys) if projection.is_json else plain
    for at, part in enumerate(projection.parts):
        if part.blob:
            if part.blob.note and not keep_binary:
                out.append(Edit(part.source_start, part.source_end, part.blob.note, "BINARY"))
        elif at in inner or (part.inner.has_notes and not keep_binary):
            content = projection.source[part.source_start : part.source_end]
            if is_key := projection.is_json and _IS_KEY.match(projection.source, part.source_end):
                keys[part.source_start] = part.source_end
            offsets = Offsets(content)
            for edit in to_source(part.inner, inner.get(at, []), keep_binary):
                start = part.source_start + offsets[edit.start]
                end = part.source_start + offsets[edit.end]
                out.append(Edit(start, end, encoded(_in_key(edit) if is_key else edit.replacement), edit.type))
    out.sort(key=lambda edit: edit.start)
    return _distinct_keys(projection.source, out, keys)


def _in_key(edit: Edit) -> str:
    return edit.replacement or f"[{edit.type}]"


def _by_part(projection: Projection, edits: list[Edit]) -> tuple[list[Edit], dict[int, list[Edit]]]:
    """Share edits out: those of the source as it is (in its places), and by decoded string those within (in its own)."""
    if not projection.parts:
        return edits, {}
    plain: list[Edit] = []
    inner: dict[int, list[Edit]] = {}
    parts = projection.parts
    starts = [part.start for part in parts]
    for edit in edits:
        place = edit.start
        at = bisect_right(starts, place) - 1
        while place < edit.end:
            part = parts[at] if at >= 0 else None
            if part and place < part.end:
                end = min(edit.end, part.end)
                if part.inner:
                    local = Edit(place - part.start, end - part.start, edit.replacement, edit.type)
                    inner.setdefault(at, []).append(local)
            else:
                shift = part.source_end - part.end if part else 0
                at += 1
                end = min(edit.end, starts[at]) if at < len(parts) else edit.end
                if place < end:
                    plain.append(Edit(place + shift, end + shift, edit.replacement, edit.type))
            place = end
    return plain, inner


def _in_json(source: str, edits: list[Edit], keys: dict[int, int]) -> list[Edit]:
    """Cut edits of JSON text to its strings and numbers; adds to `keys` where those begin and end that are touched."""
    if not edits:
        return []
    out: list[Edit] = []
    contents = [match.span(1) for match in STRING.finditer(source)]
    starts = [start for start, _ in contents]
    is_valid: bool | None = None
    for edit in edits:
        at = max(edit.start, out[-1].end) if out else edit.start
        while at < edit.end:
            number = bisect_right(starts, at) - 1
            if number >= 0 and at < contents[number][1]:
                start, end = contents[number]
                if _IS_KEY.match(source, end):
                    keys[start] = end
                replacement = _in_key(edit) if start in keys else edit.replacement
                stop = min(end, edit.end)
                out.append(Edit(at, stop, encoded(replacement), edit.type))
            else:
                stop = min(edit.end, starts[number + 1] if number + 1 < len(starts) else edit.end)
                if any(c.isalnum() for c in source[at:stop]):
                    is_valid = _is_valid(source) if is_valid is None else is_valid
                    found = (
                        _numbers(source, at, stop, edit) if is_valid else [Edit(at, stop, edit.replacement, edit.type)]
                    )
                    out += found
                    stop = max(stop, found[-1].end) if found else stop
            at = stop
    return out


def _numbers(source: str, start: int, end: int, edit: Edit) -> list[Edit]:
    """Make strings of the numbers of JSON that an edit touches between its strings."""
    while start > 0 and source[start - 1] in _IN_NUMBERS:
        start -= 1
    found = []
    while start < end:
        stop = _NUMBER.match(source, start).end()
        if any(c.isdigit() for c in source[start:stop]):
            found.append(Edit(start, stop, f'"{encoded(edit.replacement)}"', edit.type))
        start = max(stop, start + 1)
    return found


def _is_valid(source: str) -> bool:
    """Whether all of a text is JSON, one value or several, each in a line of its own or not."""
    decoder, at = json.JSONDecoder(), 0
    try:
        while True:
            while at < len(source) and source[at] in " \t\r\n":
                at += 1
            if at == len(source):
                return True
            at = decoder.raw_decode(source, at)[1]
    except (ValueError, RecursionError):
        return False


def _distinct_keys(source: str, edits: list[Edit], keys: dict[int, int]) -> list[Edit]:
    """Number keys of one object that differed and would no longer do so. `keys`: where those begin and end that change."""
    if len(keys) < 2:
        return edits
    starts = sorted(keys)
    touched: dict[int, list[int]] = {}  # where a key begins → its edits
    for number, edit in enumerate(edits):
        at = bisect_right(starts, edit.start) - 1
        if at >= 0 and edit.end <= keys[starts[at]]:
            touched.setdefault(starts[at], []).append(number)
    objects = _objects(source)
    seen: dict[tuple[int, str], dict[str, int]] = {}  # object and new key → old keys with their numbers
    out = list(edits)
    for start, numbers in touched.items():
        end = keys[start]
        new, place = [], start
        for number in numbers:
            new += (source[place : edits[number].start], edits[number].replacement)
            place = edits[number].end
        key = "".join((*new, source[place:end]))
        known = seen.setdefault((objects.get(start, 0), key), {})
        number = known.setdefault(source[start:end], len(known) + 1)
        if number > 1:
            last = out[numbers[-1]]
            out[numbers[-1]] = Edit(last.start, last.end, f"{last.replacement} {number}", last.type)
    return out


def _objects(source: str) -> dict[int, int]:
    """Give for each string the place where its object begins."""
    found: dict[int, int] = {}
    open_objects = [0]
    for match in _STRUCTURE.finditer(source):
        if match[0] == "{":
            open_objects.append(match.start())
        elif match[0] == "}":
            if len(open_objects) > 1:
                open_objects.pop()
        else:
            found[match.start() + 1] = open_objects[-1]
    return found
