"""Markers that a person types to choose a provider: ``[LUNAROUTE:name]``, and ``[LUNAROUTE:clear]``.

The last marker in the conversation counts, and all are taken out before a provider sees them. A client sends the whole
conversation with every request, so a choice lasts without being remembered, and the provider's prompt cache sees the same
text each time. Only what a person wrote is looked at: texts of user messages, without what tools brought or what clients
wrap as their own additions. So a file or a page that is read cannot choose.
"""

import re
from dataclasses import dataclass

from routing.people import stretches
from routing.rewriting.bodies import MESSAGES_OF, encode
from routing.rewriting.spans import NotAnObject, Span, items, members, replaced, string_at

MARK = b"[LUNAROUTE:"
CLEAR = "clear"
_MARKER = re.compile(r"\[LUNAROUTE:([A-Za-z0-9_.-]{1,64})\][ \t]?\n?")
_TEXT_TYPES = ("text", "input_text")


@dataclass(frozen=True, slots=True)
class Marked:
    """A body without its markers. `name` is the provider that is chosen, or empty; `found` counts the markers."""

    name: str
    body: bytes
    found: int


def find_markers(body: bytes, dialect: str) -> Marked:
    """Find and take out the markers of a request's body, which may be anything."""
    if MARK not in body:
        return Marked("", body, 0)
    edits: list[tuple[Span, bytes]] = []
    names: list[str] = []
    for span in _texts(body, dialect):
        text = string_at(body, span)
        if text is None or "[LUNAROUTE:" not in text:
            continue
        rest, found = _take_out(text)
        if found:
            names += found
            edits.append((span, encode(rest)))
    if not edits:
        return Marked("", body, 0)
    chosen = "" if names[-1] == CLEAR else names[-1]
    return Marked(chosen, replaced(body, edits), len(names))


def _take_out(text: str) -> tuple[str, list[str]]:
    names: list[str] = []
    parts = []
    for piece, is_typed in stretches(text):
        if is_typed:
            names += _MARKER.findall(piece)
            piece = _MARKER.sub("", piece)
        parts.append(piece)
    rest = "".join(parts)
    # A vendor refuses an empty text, and a message must keep its place.
    return (rest if rest.strip() else "(continue)") if names else text, names


def _texts(body: bytes, dialect: str) -> list[Span]:
    """The texts of user messages."""
    spans: list[Span] = []
    try:
        top = members(body)
        key = MESSAGES_OF.get(dialect, "")
        conversation = next((value for name, _, value in reversed(top) if name == key), None)
        if conversation is None:
            return []
        if dialect == "openai-responses" and body[conversation[0] : conversation[0] + 1] == b'"':
            return [conversation]
        for start, end in items(body, *conversation):
            if body[start : start + 1] == b"{" and MARK in body[start:end]:
                spans += _of_message(body, start, end)
    except NotAnObject:
        return []
    return spans


def _of_message(body: bytes, start: int, end: int) -> list[Span]:
    parts = {name: value for name, _, value in members(body, start, end)}
    role = string_at(body, parts["role"]) if "role" in parts else None
    content = parts.get("content")
    if role != "user" or content is None:
        return []
    if body[content[0] : content[0] + 1] == b'"':
        return [content]
    spans = []
    for block_start, block_end in items(body, *content):
        if body[block_start : block_start + 1] != b"{":
            continue
        block = {name: value for name, _, value in members(body, block_start, block_end)}
        kind = string_at(body, block["type"]) if "type" in block else None
        if kind in _TEXT_TYPES and "text" in block:
            spans.append(block["text"])
    return spans
