"""Where a dialect's request keeps its conversation, and messages put in front of it.

https://docs.anthropic.com/en/api/messages, https://platform.openai.com/docs/api-reference/chat/create and …/responses/create.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from routing.rewriting.spans import Edit, Member
from routing.translation.context import CHAT, MESSAGES, RESPONSES

# Anthropic's count of a request's tokens: a conversation without what only an answer needs.
COUNT_TOKENS = "anthropic-count-tokens"
# The member that holds the conversation, by dialect.
CONVERSATION = {MESSAGES: "messages", COUNT_TOKENS: "messages", CHAT: "messages", RESPONSES: "input"}

_EMPTY = re.compile(rb"\[[ \t\n\r]*+\]")


def value_of(body: bytes, found: Sequence[Member], name: str) -> Member | None:
    """Give the member called `name`, unless it is null; of several the last, which is the one that counts."""
    member = next((member for member in reversed(found) if member.name == name), None)
    return None if member is None or body.startswith(b"null", member.start) else member


def in_front(
    body: bytes, found: Sequence[Member], dialect: str, messages: Sequence[Mapping[str, Any]]
) -> tuple[list[Edit], dict[str, bytes]]:
    """Put `messages` in front of the conversation; those of the system, for Anthropic, at the end of ``system``.

    A system prompt is not prefixed: providers cache prompts by how they begin, and a Claude subscription is served only
    with a prompt that begins as Claude Code's does. A Responses request that continues a stored one is left alone: there,
    they stand in front already. Gives the edits, and members that the object has to get.
    """
    if dialect == RESPONSES:
        continues = any(value_of(body, found, name) for name in ("previous_response_id", "conversation"))
        return ([], {}) if continues else _of_input(body, found, [_item(message) for message in messages])
    if dialect == CHAT:
        return _of_messages(body, found, messages), {}
    system = [message for message in messages if message.get("role") in ("system", "developer")]
    others = [message for message in messages if message.get("role") not in ("system", "developer")]
    edits = _of_messages(body, found, others) if others else []
    if not system or value_of(body, found, "messages") is None:
        return edits, {}
    own, added = _of_system(
        body, found, [block for message in system for block in _blocks(message.get("content"), "text")]
    )
    return edits + own, added


def _of_messages(body: bytes, found: Sequence[Member], messages: Sequence[Mapping[str, Any]]) -> list[Edit]:
    place = value_of(body, found, "messages")
    return [_at_beginning(body, place, messages)] if place and body[place.start : place.start + 1] == b"[" else []


def _of_input(
    body: bytes, found: Sequence[Member], items: Sequence[Mapping[str, Any]]
) -> tuple[list[Edit], dict[str, bytes]]:
    place = value_of(body, found, "input")
    if place is None:
        return _instead(found, "input", msgspec.json.encode(items))
    if body[place.start : place.start + 1] == b"[":
        return [_at_beginning(body, place, items)], {}
    if body[place.start : place.start + 1] != b'"':
        return [], {}
    opening = (
        msgspec.json.encode(items)[:-1] + b',{"type":"message","role":"user","content":[{"type":"input_text","text":'
    )
    return [Edit(place.start, place.start, opening), Edit(place.end, place.end, b"}]}]")], {}


def _of_system(
    body: bytes, found: Sequence[Member], blocks: Sequence[Mapping[str, Any]]
) -> tuple[list[Edit], dict[str, bytes]]:
    place = value_of(body, found, "system")
    encoded = msgspec.json.encode(blocks)
    if place is None or body[place.start : place.end] == b'""':  # an empty text would make an empty block: refused
        return _instead(found, "system", encoded)
    if body[place.start : place.start + 1] == b'"':
        opening = Edit(place.start, place.start, b'[{"type":"text","text":')
        return [opening, Edit(place.end, place.end, b"}," + encoded[1:])], {}
    if body[place.start : place.start + 1] != b"[":
        return [], {}
    separator = b"" if _EMPTY.match(body, place.start) else b","
    return [Edit(place.end - 1, place.end - 1, separator + encoded[1:-1])], {}


def _instead(found: Sequence[Member], name: str, value: bytes) -> tuple[list[Edit], dict[str, bytes]]:
    present = [Edit(member.start, member.end, value) for member in found if member.name == name]
    return (present, {}) if present else ([], {name: value})


def _at_beginning(body: bytes, place: Member, messages: Sequence[Mapping[str, Any]]) -> Edit:
    separator = b"" if _EMPTY.match(body, place.start) else b","
    return Edit(place.start + 1, place.start + 1, msgspec.json.encode(messages)[1:-1] + separator)


def _item(message: Mapping[str, Any]) -> dict[str, Any]:
    kind = "output_text" if message.get("role") == "assistant" else "input_text"
    return {"type": "message", "role": message.get("role"), "content": _blocks(message.get("content"), kind)}


def _blocks(content: Any, kind: str) -> list[Any]:
    """Give a message's content as blocks, in which texts are called `kind`."""
    if isinstance(content, str):
        return [{"type": kind, "text": content}]
    blocks = content if isinstance(content, list) else []
    return [{**b, "type": kind} if isinstance(b, Mapping) and b.get("type") == "text" else b for b in blocks]
