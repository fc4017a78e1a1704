"""Reasoning of another vendor, taken out of a conversation that goes on with the client's own.

A client keeps what a translated answer gave it (routing.translation.sealed) and sends it again. Where its own vendor is asked
next, by a rule, a marker or because a provider failed, that must not be seen: Anthropic refuses a signature, and OpenAI an
encrypted text, that is not its own, on every later turn.
"""

from dataclasses import dataclass

from routing.rewriting.conversations import CONVERSATION, value_of
from routing.rewriting.spans import CannotRewrite, Edit, elements, members, spliced, text_at
from routing.translation.context import RESPONSES
from routing.translation.sealed import MARK

SEALED = MARK.encode()
_FIELDS = {"thinking": "signature", "redacted_thinking": "data"}
# Stands for a message of which nothing else is left: it keeps its place between two of the user.
_NOTHING = b'{"type":"text","text":"(thinking of another model)"}'


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A body without such reasoning. `found` counts what was taken out; `stops_thinking`: thinking had to be turned off."""

    body: bytes
    found: int
    stops_thinking: bool = False


def without_foreign_reasoning(body: bytes, dialect: str) -> Cleaned:
    """Take it out of a request's body. Never raises: what cannot be read has none."""
    if SEALED not in body or dialect not in CONVERSATION:
        return Cleaned(body, 0)
    try:
        top = members(body)
        place = value_of(body, top, CONVERSATION[dialect])
        if place is None or not body.startswith(b"[", place.start):
            return Cleaned(body, 0)
        spans = elements(body, place.start, place.end)
        if dialect == RESPONSES:
            kept = [span for span in spans if not _is_sealed(body, span, "reasoning", "encrypted_content")]
            edit = Edit(place.start, place.end, _list(body, kept))
            return (
                Cleaned(spliced(body, [edit]), len(spans) - len(kept)) if len(kept) < len(spans) else Cleaned(body, 0)
            )
        return _messages(body, spans, value_of(body, top, "thinking"))
    except CannotRewrite:
        return Cleaned(body, 0)


def _messages(body: bytes, spans: list[tuple[int, int]], thinking) -> Cleaned:
    edits: list[Edit] = []
    found, last = 0, -1
    for index, (start, end) in enumerate(spans):
        if body.find(SEALED, start, end) < 0 or not body.startswith(b"{", start):
            continue
        content = value_of(body, members(body, start, end), "content")
        if content is None or not body.startswith(b"[", content.start):
            continue
        blocks = elements(body, content.start, content.end)
        kept = [b for b in blocks if not any(_is_sealed(body, b, kind, field) for kind, field in _FIELDS.items())]
        if len(kept) < len(blocks):
            found, last = found + len(blocks) - len(kept), index
            edits.append(Edit(content.start, content.end, _list(body, kept) if kept else b"[%b]" % _NOTHING))
    # In the middle of a tool loop Anthropic wants the thinking that led to the call, or none at all.
    stops = found > 0 and last >= len(spans) - 2 and thinking is not None
    if stops:
        edits.append(Edit(thinking.start, thinking.end, b'{"type":"disabled"}'))
    return Cleaned(spliced(body, edits), found, stops) if edits else Cleaned(body, 0)


def _is_sealed(body: bytes, span: tuple[int, int], kind: str, field: str) -> bool:
    start, end = span
    if body.find(SEALED, start, end) < 0 or not body.startswith(b"{", start):
        return False
    found = members(body, start, end)
    names = value_of(body, found, "type"), value_of(body, found, field)
    if None in names:
        return False
    told, held = (text_at(body, member.start, member.end) for member in names)
    return told == kind and (held or "").startswith(MARK)


def _list(body: bytes, spans: list[tuple[int, int]]) -> bytes:
    return b"[%b]" % b",".join([body[start:end] for start, end in spans])
