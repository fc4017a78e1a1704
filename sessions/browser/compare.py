"""What differs between two requests: system prompt, tools, each message, parameters. Pure functions.

Cache marks (``cache_control``) count as parameters of the request, not as changes of a message: they wander on each turn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

import orjson

from sessions.browser.diffs import Line, common_ends, diff
from sessions.dialects.facts import Message
from sessions.dialects.messages import parse_message
from sessions.dialects.parsing import dumps, items, loads, mapping, text
from sessions.split import PARTS

SAME, ADDED, REMOVED, CHANGED, MOVED = "same", "added", "removed", "changed", "moved"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: ``name`` says of what (a tool, a parameter, "user 12"), ``note`` where it went if it moved."""

    kind: str
    name: str
    lines: tuple[Line, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a request and its differences; ``same`` counts what is equal in both."""

    title: str
    changes: tuple[Change, ...]
    same: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two requests compared."""

    parts: tuple[Part, ...]

    @property
    def is_equal(self) -> bool:
        return not any(part.changes for part in self.parts)


def compare(old: bytes, new: bytes, dialect: str) -> Comparison:
    """Compare two request bodies of one dialect. What is no JSON object is compared line by line."""
    a, b = loads(old), loads(new)
    if dialect not in PARTS or not isinstance(a, dict) or not isinstance(b, dict):
        lines = diff(_pretty(a, old), _pretty(b, new))
        kind = CHANGED if old != new else SAME
        return Comparison((Part("Body", (Change(kind, "body", lines),) if old != new else (), int(old == new)),))
    system, tools, messages = PARTS[dialect]
    return Comparison(
        (
            _text_part("System prompt", _system_text(a.get(system)), _system_text(b.get(system))),
            _named_part("Tools", _tools(a.get(tools)), _tools(b.get(tools))),
            _messages_part(_messages(a.get(messages), dialect), _messages(b.get(messages), dialect)),
            _named_part(
                "Parameters", _parameters(a, (system, tools, messages)), _parameters(b, (system, tools, messages))
            ),
        )
    )


def _pretty(value: Any, raw: bytes) -> str:
    if value is None:
        return raw.decode("utf-8", "replace")
    return _json(value)


def _json(value: Any) -> str:
    try:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    except TypeError:  # lone surrogates, integers beyond 64 bits
        return dumps(value)


def _system_text(value: Any) -> str:
    if isinstance(value, str):
        return text(value)
    return "\n\n".join(text(mapping(block).get("text")) for block in items(value))


def _text_part(title: str, old: str, new: str) -> Part:
    if old == new:
        return Part(title, (), int(bool(old)))
    kind = ADDED if not old else REMOVED if not new else CHANGED
    return Part(title, (Change(kind, title.lower(), diff(old, new)),))


def _without_marks(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_marks(v) for k, v in value.items() if k != "cache_control"}
    return [_without_marks(item) for item in value] if isinstance(value, list) else value


def _tools(value: Any) -> dict[str, str]:
    """Tools by name, as text. A name that stands twice gets a number."""
    found: dict[str, str] = {}
    for item in items(value):
        item = mapping(_without_marks(item))
        name = (
            text(item.get("name")) or text(mapping(item.get("function")).get("name")) or text(item.get("type")) or "?"
        )
        key, number = name, 2
        while key in found:
            key, number = f"{name} ({number})", number + 1
        found[key] = _json(item)
    return found


def _parameters(body: dict, parts: tuple[str | None, ...]) -> dict[str, str]:
    found = {}
    for name, value in body.items():
        if name not in parts:
            found[text(name)] = text(value) if isinstance(value, str) else _json(value)
    for name, value in body.items():
        marks = _marks(value, str(name))
        if name in parts and marks:
            found["cache_control"] = "\n".join([*filter(None, [found.get("cache_control")]), *marks])
    return found


def _marks(value: Any, path: str) -> list[str]:
    """Where cache marks are set."""
    if isinstance(value, dict):
        own = [f"{path}: {dumps(value['cache_control'])}"] if "cache_control" in value else []
        return own + [
            mark for name, item in value.items() if name != "cache_control" for mark in _marks(item, f"{path}.{name}")
        ]
    if isinstance(value, list):
        return [mark for at, item in enumerate(value) for mark in _marks(item, f"{path}[{at}]")]
    return []


def _named_part(title: str, old: dict[str, str], new: dict[str, str]) -> Part:
    changes = []
    for name, value in old.items():
        if name not in new:
            changes.append(Change(REMOVED, name, diff(value, "")))
        elif new[name] != value:
            changes.append(Change(CHANGED, name, diff(value, new[name])))
    changes += [Change(ADDED, name, diff("", value)) for name, value in new.items() if name not in old]
    return Part(title, tuple(changes), sum(new.get(name) == value for name, value in old.items()))


def _messages(value: Any, dialect: str) -> list[tuple[str, str]]:
    """Messages as (role, text that holds all that they say)."""
    given = [value] if isinstance(value, str) else items(value)
    found = []
    for item in given:
        message = parse_message(dialect, dumps(_without_marks(item)).encode())
        found.append((message.role, _message_text(message)))
    return found


def _message_text(message: Message) -> str:
    pieces = []
    for block in message.blocks:
        head = "" if block.kind == "text" else " ".join(filter(None, (f"[{block.kind}]", block.name, block.id)))
        body = block.text if len(block.text) < 200_000 else f"{block.text[:200]}… ({len(block.text)} characters)"
        pieces.append("\n".join(filter(None, (head, body))))
    return "\n".join(pieces)


def _messages_part(old: list[tuple[str, str]], new: list[tuple[str, str]]) -> Part:
    changes: list[Change] = []
    same = 0
    for what, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if what == "equal":
            same += j - i
        else:
            changes += _replaced(old, new, range(i, j), range(k, m))
    return Part("Messages", tuple(_moves(changes)), same)


def _replaced(old: Sequence, new: Sequence, a: range, b: range) -> list[Change]:
    """Pair messages of one role in order; what is left was removed or added."""
    changes = []
    left = list(b)
    for i in a:
        role, was = old[i]
        k = next((k for k in left if new[k][0] == role and _alike(was, new[k][1])), None)
        if k is None:
            changes.append(Change(REMOVED, f"{role} {i + 1}", diff(was, "")))
        else:
            left.remove(k)
            changes.append(Change(CHANGED, f"{role} {i + 1}", diff(was, new[k][1]), f"now {k + 1}" if i != k else ""))
    return changes + [Change(ADDED, f"{new[k][0]} {k + 1}", diff("", new[k][1])) for k in left]


def _alike(a: str, b: str) -> bool:
    """Whether one text may be the other, edited: their ends agree for half of the shorter, or most of their lines do."""
    if sum(common_ends(a, b)) * 2 >= min(len(a), len(b)):
        return True
    x, y = set(a.splitlines()), set(b.splitlines())
    return len(x & y) * 2 > min(len(x), len(y))


def _moves(changes: list[Change]) -> list[Change]:
    """What was removed in one place and added in another has moved."""

    def words(change: Change) -> tuple[str, tuple[str, ...]]:
        return change.name.rpartition(" ")[0], tuple(line.before for line in change.lines)

    added = {words(change): change for change in changes if change.kind == ADDED}
    found, gone = [], set()
    for change in changes:
        other = added.get(words(change)) if change.kind == REMOVED else None
        if other is not None and id(other) not in gone:
            gone.add(id(other))
            found.append(Change(MOVED, change.name, (), f"now {other.name.rpartition(' ')[2]}"))
        else:
            found.append(change)
    return [change for change in found if id(change) not in gone]
