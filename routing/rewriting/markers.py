"""Markers that a person types into a conversation: ``[LUNAROUTE:name]`` picks a provider, ``[LUNAROUTE:clear]`` ends that.

Clients send the conversation again with every request, so nothing is remembered here: the last marker among the user's
messages counts, in this request and in all that follow, until another one comes or the client forgets the message that
holds it (compaction, a Responses request that only says what is new). All that count are taken out each time, by which a
conversation begins with the same bytes from one request to the next, and the provider's prompt cache holds.

Only what a person wrote counts: no tool's result, nothing that a client put around or between it (routing.people). Those
stay where they are.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from routing.people import added
from routing.rewriting.conversations import CONVERSATION, value_of
from routing.rewriting.spans import CannotRewrite, Edit, Member, elements, members, spliced, text_at

BEGINNING = b"[LUNAROUTE:"
_MARKER = re.compile(rb"\[LUNAROUTE:([A-Za-z0-9_.-]{1,64})\]")
_CLEAR = "clear"
# White space as it stands in a JSON string: one piece of it goes with a marker.
_SPACE_AFTER = re.compile(rb"\\r\\n| |\\[nt]")
# Stands for a text in which nothing else was: Anthropic refuses a text of white space alone, and the others see no task.
_INSTEAD = b"Continue."


@dataclass(frozen=True, slots=True)
class Marked:
    """What the markers of a request say. ``name`` is "" where there is none, or the last one was a clear."""

    name: str
    body: bytes  # without the markers that count
    found: int  # how many did


@dataclass(frozen=True, slots=True)
class _Marker:
    name: str
    start: int
    end: int


def find_markers(body: bytes, dialect: str) -> Marked:
    """Read a request's markers and take them out. Never raises: what cannot be read has none."""
    if BEGINNING not in body or dialect not in CONVERSATION:
        return Marked("", body, 0)
    names: list[str] = []
    edits: list[Edit] = []
    try:
        for start, end in _texts(body, dialect):
            markers = _markers(body, start, end)
            names += [marker.name for marker in markers]
            edits += _without(body, start, end, markers)
    except CannotRewrite:
        return Marked("", body, 0)
    if not names:
        return Marked("", body, 0)
    last = names[-1]
    return Marked("" if last.lower() == _CLEAR else last, spliced(body, edits), len(names))


def _texts(body: bytes, dialect: str) -> Iterator[tuple[int, int]]:
    """Give where the user's texts begin and end, with their quotes, in the order of the conversation."""
    place = value_of(body, members(body), CONVERSATION[dialect])
    if place is None:
        return
    if body.startswith(b'"', place.start):
        yield place.start, place.end  # a Responses request that is but a text
    elif body.startswith(b"[", place.start):
        for start, end in elements(body, place.start, place.end):
            if body.find(BEGINNING, start, end) >= 0 and body.startswith(b"{", start):
                yield from _texts_of_message(body, members(body, start, end))


def _texts_of_message(body: bytes, found: list[Member]) -> Iterator[tuple[int, int]]:
    content = value_of(body, found, "content")
    if content is None or _text(body, found, "role") != "user" or _text(body, found, "type") not in (None, "message"):
        return
    if body.startswith(b'"', content.start):
        yield content.start, content.end
    elif body.startswith(b"[", content.start):
        for start, end in elements(body, content.start, content.end):
            if body.find(BEGINNING, start, end) >= 0 and body.startswith(b"{", start):
                block = members(body, start, end)
                text = value_of(body, block, "text")
                if text and _text(body, block, "type") in ("text", "input_text") and body.startswith(b'"', text.start):
                    yield text.start, text.end


def _text(body: bytes, found: list[Member], name: str) -> str | None:
    member = value_of(body, found, name)
    return text_at(body, member.start, member.end) if member else None


def _markers(body: bytes, start: int, end: int) -> list[_Marker]:
    """Give the markers that a person wrote into the string from `start` to `end`."""
    found = [_Marker(m[1].decode("ascii"), *m.span()) for m in _MARKER.finditer(body, start, end)]
    text = text_at(body, start, end) if found else None
    if text is None:
        return []
    spans = added(text)
    if not spans:
        return found
    kept, place, at, span = [], 0, start + 1, 0
    for marker in found:
        # Where it stands in the text: no character of a marker is ever part of an escape.
        place += len(text_at(b'"%b"' % body[at : marker.start], 0, marker.start - at + 2) or "")
        at = marker.start
        while span < len(spans) and spans[span][1] <= place:
            span += 1
        if span == len(spans) or place < spans[span][0]:
            kept.append(marker)
    return kept


def _without(body: bytes, start: int, end: int, markers: list[_Marker]) -> list[Edit]:
    """Take markers out of the string from `start` to `end`, each with the white space after it, or else before it."""
    edits: list[Edit] = []
    first, last = start + 1, end - 1
    for marker in markers:
        after = _SPACE_AFTER.match(body, marker.end, last)
        begin, stop = marker.start, after.end() if after else marker.end
        least = edits[-1].end if edits else first
        if stop == last and after is None:
            begin -= _space_before(body, least, begin)
        edits.append(Edit(begin, stop, b""))
    rest = spliced(body[first:last], [Edit(e.start - first, e.end - first, b"") for e in edits])
    if edits and not (text_at(b'"%b"' % rest, 0, len(rest) + 2) or "").strip():
        return [Edit(first, last, _INSTEAD)]
    return edits


def _space_before(body: bytes, least: int, at: int) -> int:
    """Give the length of the piece of white space that ends at `at`, in a string that goes back to `least`."""
    if body.endswith(b" ", least, at):
        return 1
    if not body.endswith((b"\\n", b"\\t"), least, at):
        return 0
    # After an even number of backslashes it is a letter.
    begin = at - 1
    while begin > least and body[begin - 1] == 0x5C:
        begin -= 1
    return 2 if (at - 1 - begin) % 2 else 0
