"""Members of a request's body that a provider's settings set, and its model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from routing.rewriting.conversations import CONVERSATION, COUNT_TOKENS, in_front
from routing.rewriting.spans import CannotRewrite, Edit, Member, members, spliced

# https://docs.anthropic.com/en/api/messages-count-tokens refuses what it does not know.
COUNTED = frozenset(
    ("messages", "model", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control", "mcp_servers")
)

_MODEL_START = b'{"model":"'


class _Model(msgspec.Struct):
    model: object = None


_model = msgspec.json.Decoder(_Model)


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A body and, in words, what was changed in it."""

    body: bytes
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """What to set. Values of `defaults` and `overrides` are JSON; they stand for whole members, nothing is merged."""

    model: str = ""
    defaults: Mapping[str, bytes] = field(default_factory=dict)  # of members that the body does not have
    overrides: Mapping[str, bytes] = field(default_factory=dict)  # of members, whether it has them or not
    prepend: Sequence[Mapping[str, Any]] = ()


def peek_model(body: bytes) -> str:
    """Give the model that a request's body asks for, or "". `body` may be anything."""
    if body.startswith(_MODEL_START):  # as all of the three clients begin
        end = body.find(b'"', len(_MODEL_START), len(_MODEL_START) + 256)
        raw = body[len(_MODEL_START) : end] if end > 0 else b"\\"
        if b"\\" not in raw and raw.isascii():
            return raw.decode("ascii")
    try:
        model = _model.decode(body).model
    except (ValueError, RecursionError):
        return _peek_into_any(body)
    return model if isinstance(model, str) else ""


def _peek_into_any(body: bytes) -> str:
    try:
        found = next((member for member in reversed(members(body)) if member.name == "model"), None)
        model = msgspec.json.decode(body[found.start : found.end]) if found else ""
    except (CannotRewrite, ValueError):
        return ""
    return model if isinstance(model, str) else ""


def rewrite(body: bytes, dialect: str, settings: Settings) -> Rewritten:
    """Give `body` with what `settings` set.

    Where a model answers (`dialect` is not ""), all of them count; of other requests only a model that is there is
    replaced. A name that comes twice is replaced each time. Raises CannotRewrite.
    """
    found = members(body)
    given = {member.name for member in found}
    values: dict[str, bytes] = {}
    if settings.model and (dialect or "model" in given):
        values["model"] = msgspec.json.encode(settings.model)
    if not dialect:
        return _set(body, found, values, {})
    values |= _taken(settings.overrides, dialect)
    defaults = {
        name: value for name, value in _taken(settings.defaults, dialect).items() if name not in given | set(values)
    }
    rewritten = _set(body, found, values, defaults)
    return prepended(rewritten, dialect, settings.prepend) if settings.prepend else rewritten


def prepended(given: Rewritten, dialect: str, messages: Sequence[Mapping[str, Any]]) -> Rewritten:
    """Give a body with `messages` (role, content as a text or as blocks) in front of its conversation.

    A body without a conversation, or of no dialect, is left as it is. Raises CannotRewrite.
    """
    if dialect not in CONVERSATION:
        return given
    found = members(given.body)
    edits, added = in_front(given.body, found, dialect, messages)
    if not edits and not added:
        return given
    body = _with_members(given.body, found, edits, added)
    return Rewritten(body, (*given.changes, "messages prepended" if len(messages) > 1 else "a message prepended"))


def _taken(values: Mapping[str, bytes], dialect: str) -> dict[str, bytes]:
    return {name: value for name, value in values.items() if dialect != COUNT_TOKENS or name in COUNTED}


def _set(body: bytes, found: Sequence[Member], forced: Mapping[str, bytes], defaults: Mapping[str, bytes]) -> Rewritten:
    """Set members; those that the body does not have come at its end."""
    edits = [
        Edit(member.start, member.end, forced[member.name])
        for member in found
        if member.name in forced and body[member.start : member.end] != forced[member.name]
    ]
    given = {member.name for member in found}
    added = {name: value for name, value in forced.items() if name not in given} | dict(defaults)
    if not edits and not added:
        return Rewritten(body)
    at = {edit.start for edit in edits}
    replaced = dict.fromkeys(member.name for member in found if member.start in at)
    changes = [f"{name} replaced" for name in replaced]
    changes += [f"{name} set to its default" if name in defaults else f"{name} set" for name in added]
    return Rewritten(_with_members(body, found, edits, added), tuple(changes))


def _with_members(body: bytes, found: Sequence[Member], edits: Sequence[Edit], added: Mapping[str, bytes]) -> bytes:
    if not added:
        return spliced(body, edits)
    text = b",".join(msgspec.json.encode(name) + b":" + value for name, value in added.items())
    at = found[-1].end if found else body.index(b"{") + 1
    return spliced(body, [*edits, Edit(at, at, b"," + text if found else text)])
