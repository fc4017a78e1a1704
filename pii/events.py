"""Redaction of recorded streams: values are found in whole texts, and cut out of the pieces in which these came.

What replaces a value stands in the piece where the value began; the rest of it disappears from those that follow. All
else in a message is redacted as JSON. Messages in which nothing was found stay byte for byte, as does the framing.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from pii.deltas import Strings, closed, fields, loads
from pii.edits import Edit, applied
from pii.json_text import Offsets, encoded
from pii.policy import FAILED
from pii.redactor import Redactor

_BOM = b"\xef\xbb\xbf"


@dataclass(slots=True)
class _Piece:
    """A piece of a text: in which message, where there (None: nobody knows), and the place of its first character in the whole."""

    message: int
    span: tuple[int, int] | None
    text: str
    offset: int = 0


def redact_stream(redactor: Redactor, dialect: str, raw: bytes) -> bytes:
    """Redact an answer as it was recorded: server-sent events (WHATWG HTML, section 9.2), or else JSON or text.

    `dialect` is anthropic, openai-chat, openai-responses; of any other each message is redacted by itself.
    """
    lines = raw.splitlines(keepends=True)
    if not any(line.removeprefix(_BOM).startswith(b"data:") for line in lines):
        return redactor.json(raw)
    events: list[list[int]] = [[]]  # numbers of the lines that hold an event's data
    others: dict[bytes, list[int]] = {}
    for number, line in enumerate(lines):
        if _content(line)[0] is not None:
            events[-1].append(number)
        elif line.strip(b"\r\n"):
            others.setdefault(line, []).append(number)
        elif events[-1]:
            events.append([])
    events = [numbers for numbers in events if numbers]
    before = [_text(lines, numbers) for numbers in events]
    out = list(lines)
    for numbers, old, new in zip(events, before, redact_messages(redactor, dialect, before), strict=True):
        if new is not old:
            _replace(out, numbers, new)
    for line, numbers in others.items():
        text = line.decode("utf-8", "surrogateescape")
        redacted = redactor.text(text)
        if redacted is not text:
            for number in numbers:
                out[number] = redacted.encode("utf-8", "surrogateescape")
    return raw if out == lines else b"".join(out)


def _content(line: bytes) -> tuple[int | None, int]:
    """Give where the content of a ``data`` line begins and ends; None where it is another line."""
    start = len(_BOM) if line.startswith(_BOM) else 0
    if not line.startswith(b"data:", start):
        return None, 0
    start += 6 if line[start + 5 : start + 6] == b" " else 5
    return start, len(line.rstrip(b"\r\n"))


def _text(lines: list[bytes], numbers: list[int]) -> str:
    contents = (lines[number][slice(*_content(lines[number]))] for number in numbers)
    return b"\n".join(contents).decode("utf-8", "surrogateescape")


def _replace(lines: list[bytes], numbers: list[int], text: str) -> None:
    """Put an event's new data into its lines; what is too much for them goes into the last one's place, as lines."""
    *contents, rest = text.encode("utf-8", "surrogateescape").split(b"\n", len(numbers) - 1)
    contents.append(rest)
    for number, content in zip_longest(numbers, contents):
        line = lines[number]
        start, end = _content(line)
        if content is None:
            lines[number] = b""
        else:
            content = content.replace(b"\n", line[end:] + line[:start].removeprefix(_BOM))
            lines[number] = line[:start] + content + line[end:]


def redact_messages(redactor: Redactor, dialect: str, messages: Sequence[str]) -> list[str]:
    """Redact the messages of one stream (data of events, or texts of a WebSocket). Unchanged ones are the same objects."""
    edits: list[list[Edit]] = [[] for _ in messages]
    streams: dict[tuple, list[_Piece]] = {}
    json_streams: set[tuple] = set()
    rests: dict[str, list[int]] = {}  # what is not a piece of a text, where it is JSON → its messages
    whole: dict[str, None] = {}  # those of them that are whole objects
    holes: list[list[tuple[int, int]]] = [[] for _ in messages]
    for number, data in enumerate(messages):
        message = loads(data)
        is_whole = isinstance(message, dict)
        if message is None:
            message = loads(closed(data))
        strings = Strings(data, message)
        for field in fields(dialect, message):
            piece = _Piece(number, strings.place(field), field.holder[field.name])
            streams.setdefault(field.stream, []).append(piece)
            if field.is_json:
                json_streams.add(field.stream)
            if piece.span:
                holes[number].append(piece.span)
        holes[number].sort()
        rest = applied(data, [Edit(*hole, "", "") for hole in holes[number]])
        rests.setdefault(rest, []).append(number)
        if is_whole:
            whole[rest] = None
    withheld: set[int] = set()
    for stream, pieces in streams.items():
        _cut(redactor, messages, pieces, stream in json_streams, edits, withheld)
    _redact_rests(redactor, rests, list(whole), holes, edits)
    out = []
    for number, data in enumerate(messages):
        if number in withheld:
            redactor.counts["FAILED"] += 1
            out.append(f'"{FAILED}"')
        else:
            out.append(applied(data, sorted(edits[number], key=lambda edit: edit.start)))
    return out


def _cut(
    redactor: Redactor,
    messages: Sequence[str],
    pieces: list[_Piece],
    is_json: bool,
    edits: list[list[Edit]],
    withheld: set[int],
) -> None:
    """Find the values in the text that `pieces` make, and add what is to be done to `edits` of their messages."""
    pieces = [piece for piece in pieces if piece.text]
    length = 0
    for piece in pieces:
        piece.offset = length
        length += len(piece.text)
    text = "".join(piece.text for piece in pieces)
    found = redactor.json_edits(text) if is_json else redactor.edits(text)
    redactor.count(found)
    offsets = [piece.offset for piece in pieces]
    local: dict[int, list[Edit]] = {}
    for edit in found:
        at = bisect_right(offsets, edit.start) - 1
        replacement = edit.replacement
        while at < len(pieces) and offsets[at] < edit.end:
            piece = pieces[at]
            start = max(edit.start - piece.offset, 0)
            end = min(edit.end - piece.offset, len(piece.text))
            local.setdefault(at, []).append(Edit(start, end, replacement, edit.type))
            replacement = ""
            at += 1
    for at, changes in local.items():
        piece = pieces[at]
        if piece.span is None:
            withheld.add(piece.message)
            continue
        start, end = piece.span
        places = Offsets(messages[piece.message][start:end])
        for edit in changes:
            span = start + places[edit.start], start + places[edit.end]
            edits[piece.message].append(Edit(*span, encoded(edit.replacement), edit.type))


def _redact_rests(
    redactor: Redactor,
    rests: dict[str, list[int]],
    together: list[str],
    holes: list[list[tuple[int, int]]],
    edits: list[list[Edit]],
) -> None:
    """Redact what is left of messages without the pieces, each different rest once, those of `together` in one go."""
    starts, length = [], 0
    for rest in together:
        starts.append(length)
        length += len(rest) + 1
    found: dict[str, list[Edit]] = {}
    all_edits = redactor.json_edits("\n".join(together)) if together else []
    if any(edit.type == "FAILED" for edit in all_edits):
        together = []  # each by itself: what can be examined is kept
    else:
        for edit in all_edits:
            at = bisect_right(starts, edit.start) - 1
            shifted = replace(edit, start=edit.start - starts[at], end=edit.end - starts[at])
            found.setdefault(together[at], []).append(shifted)
    known = set(together)
    for rest, numbers in rests.items():
        changes = found.get(rest, []) if rest in known else redactor.json_edits(rest)
        for number in numbers if changes else ():
            redactor.count(changes)
            edits[number] += _around(changes, holes[number])


def _around(changes: list[Edit], holes: list[tuple[int, int]]) -> list[Edit]:
    """Give edits of a message without its holes as edits of the message."""
    places, lengths, length = [], [0], 0  # where the holes are in what is left, and how long they are up to there
    for start, end in holes:
        places.append(start - length)
        length += end - start
        lengths.append(length)
    return [
        replace(
            edit,
            start=edit.start + lengths[bisect_right(places, edit.start)],
            end=edit.end + lengths[bisect_left(places, edit.end)],
        )
        for edit in changes
    ]
