"""Line by line, what an edit changed. Pure functions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from sessions.dialects.parsing import items, loads, mapping, text

# Lines kept around a change, and pairs of lines beyond which everything between the common ends counts as changed.
CONTEXT, MAX_PAIRS = 3, 4_000_000
SAME, ADDED, REMOVED, SKIPPED = "same", "added", "removed", "skipped"


@dataclass(frozen=True, slots=True)
class Line:
    """A line: `before` and `after` surround what of it changed (all of it where they are empty)."""

    kind: str
    before: str
    changed: str = ""
    after: str = ""

    @property
    def sign(self) -> str:
        return {ADDED: "+", REMOVED: "-"}.get(self.kind, " ")


@dataclass(frozen=True, slots=True)
class FileDiff:
    """An edit of one file."""

    path: str
    lines: tuple[Line, ...]

    @property
    def added(self) -> int:
        return sum(line.kind == ADDED for line in self.lines)

    @property
    def removed(self) -> int:
        return sum(line.kind == REMOVED for line in self.lines)


def diff(old: str, new: str, context: int = CONTEXT) -> tuple[Line, ...]:
    """Give the lines of a diff, with unchanged stretches folded to one line that says how many were left out."""
    a, b = old.splitlines(), new.splitlines()
    return tuple(_fold(list(_lines(a, b)), context))


def common_ends(a: Sequence, b: Sequence) -> tuple[int, int]:
    """Give how much of two texts, or lists of lines, is the same at their beginnings and at their ends."""
    shorter = min(len(a), len(b))
    start = 0
    while start < shorter and a[start] == b[start]:
        start += 1
    end = 0
    while end < shorter - start and a[-1 - end] == b[-1 - end]:
        end += 1
    return start, end


def _lines(a: list[str], b: list[str]) -> Iterator[Line]:
    start, end = common_ends(a, b)
    yield from (Line(SAME, line) for line in a[:start])
    yield from _changed(a[start : len(a) - end], b[start : len(b) - end])
    yield from (Line(SAME, line) for line in a[len(a) - end :])


def _changed(a: list[str], b: list[str]) -> Iterator[Line]:
    if len(a) * len(b) > MAX_PAIRS:
        yield from _replaced(a, b)
        return
    for what, i, j, k, m in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if what == "equal":
            yield from (Line(SAME, line) for line in a[i:j])
        else:
            yield from _replaced(a[i:j], b[k:m])


def _replaced(a: Sequence[str], b: Sequence[str]) -> Iterator[Line]:
    """Removed lines, then added ones; where they pair up, with what differs in each pair."""
    if len(a) != len(b):
        yield from (Line(REMOVED, line) for line in a)
        yield from (Line(ADDED, line) for line in b)
        return
    pairs = [_pair(old, new) for old, new in zip(a, b, strict=True)]
    yield from (old for old, _ in pairs)
    yield from (new for _, new in pairs)


def _pair(old: str, new: str) -> tuple[Line, Line]:
    start, end = common_ends(old, new)
    if start + end < max(len(old), len(new)) // 3:  # little in common: the whole line changed
        return Line(REMOVED, old), Line(ADDED, new)
    return (
        Line(REMOVED, old[:start], old[start : len(old) - end], old[len(old) - end :]),
        Line(ADDED, new[:start], new[start : len(new) - end], new[len(new) - end :]),
    )


def _fold(lines: list[Line], context: int) -> Iterator[Line]:
    near = [False] * len(lines)
    for at, line in enumerate(lines):
        if line.kind != SAME:
            for place in range(max(at - context, 0), min(at + context + 1, len(lines))):
                near[place] = True
    at = 0
    while at < len(lines):
        if near[at]:
            yield lines[at]
            at += 1
            continue
        end = at
        while end < len(lines) and not near[end]:
            end += 1
        yield Line(SKIPPED, f"{end - at} unchanged line{'s' if end - at > 1 else ''}")
        at = end


def edits_of(arguments: str) -> list[FileDiff]:
    """Give what a tool call would change, from its arguments: Claude Code's Edit, MultiEdit and Write, OpenCode's edit
    and write, the vendors' text editor tools, and Codex's apply_patch. Empty for any other call."""
    value = loads(arguments) if arguments[:1] == "{" else arguments
    if isinstance(value, str):
        return patch(value) if value.startswith("*** Begin Patch") else []
    value = mapping(value)
    written = _patch_in(value)
    if written:
        return patch(written)
    path = text(value.get("file_path")) or text(value.get("filePath")) or text(value.get("path"))
    if not path:
        return []
    found = []
    for edit in items(value.get("edits")) or [value]:
        edit = mapping(edit)
        for old, new in (("old_string", "new_string"), ("oldString", "newString"), ("old_str", "new_str")):
            if isinstance(edit.get(old), str) and isinstance(edit.get(new), str):
                found.append(FileDiff(path, diff(text(edit[old]), text(edit[new]))))
    content = value.get("content", value.get("file_text"))
    if not found and isinstance(content, str):
        found.append(FileDiff(path, tuple(Line(ADDED, line) for line in text(content).splitlines())))
    return found


def _patch_in(value: dict) -> str:
    candidates = [value.get("input"), value.get("patch"), value.get("patchText"), value.get("cmd")]
    candidates += items(value.get("command"))
    for candidate in candidates:
        if isinstance(candidate, str) and "*** Begin Patch" in candidate:
            return text(candidate)
    return ""


def patch(written: str) -> list[FileDiff]:
    """Read a patch in the form of Codex's apply_patch."""
    found: list[tuple[str, list[Line]]] = []
    for line in written[written.index("*** Begin Patch") :].splitlines()[1:]:
        if line.startswith("*** End Patch"):
            break
        if line.startswith("*** "):
            what, _, path = line[4:].partition(": ")
            if what.endswith("File"):
                found.append((path, []))
                if what.startswith("Delete"):
                    found[-1][1].append(Line(SKIPPED, "the file is deleted"))
        elif not found:
            continue
        elif line.startswith("@@"):
            found[-1][1].append(Line(SKIPPED, line[2:].strip() or "…"))
        else:
            kind = {"+": ADDED, "-": REMOVED}.get(line[:1], SAME)
            found[-1][1].append(Line(kind, line[1:]))
    return [FileDiff(path, tuple(lines)) for path, lines in found]
