"""Secrets that are known by their form alone: what `known_tokens` lists, and JSON web tokens."""

import re
from collections.abc import Iterator

import re2

from pii.detectors.base import Hit, look, search
from pii.detectors.known_tokens import EXAMPLES, FORMATS, JSON_WEB_TOKEN, Format

_EDGE = r"\b"
_WORD = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
_REPEATED = search(r"(?i)(?:x{8}|\*{4}|\.{4}|0{16}|your[_-]?|placeholder|redacted)")
_CHECKED = 256  # characters of a token in which something is looked for that stands for one


_CLASS = re.compile(r"(\[[^\]]+\])\{(\d+)")
_ENOUGH = 10  # characters of a class that tell a token from a word


def _next(goes_on: str) -> str:
    """What a token goes on with, as far as a class of characters says so."""
    match = _CLASS.match(goes_on)
    return f"{match[1]}{{{min(int(match[2]), _ENOUGH)}}}" if match else ""


class _Compiled:
    """A format that is looked for."""

    __slots__ = ("before", "format", "is_at_an_edge", "length_before", "searched", "whole")

    def __init__(self, form: Format) -> None:
        begins = f"(?:{form.begins.removeprefix(_EDGE)})"
        self.format = form
        self.is_at_an_edge = form.begins.startswith(_EDGE)
        self.searched = begins + (form.then or _next(form.goes_on))
        self.whole: re.Pattern[bytes] = look(f"{begins}(?:{form.goes_on})")
        self.length_before, pattern = form.before or (0, "")
        self.before: re.Pattern[bytes] = look(f"(?:{pattern})$")

    def found(self, data: bytes, start: int) -> Hit | None:
        """The token of this format of which what is searched for stands at `start`."""
        if self.is_at_an_edge and start and data[start - 1] in _WORD:
            return None
        match = self.whole.match(data, start)
        if not match:
            return None
        first, end = match.span(1 if match.lastindex else 0)
        if self.length_before:
            first -= self.length_before
            if first < 0 or not self.before.match(data, first, start):
                return None
        return first, end, self.format.confidence, self.format.name


_FORMATS = [_Compiled(form) for form in FORMATS]


def _any_of(is_at_an_edge: bool) -> str:
    return "|".join(form.searched for form in _FORMATS if form.is_at_an_edge == is_at_an_edge)


# All in one pass. RE2's states for hundreds of beginnings stay few, as nearly all text leaves each at its first letters.
_BEGINS = search(f"{_any_of(False)}|(?:^|[^A-Za-z0-9])(?:{_any_of(True)}|eyJ[A-Za-z0-9_-]{{10}})")
_LONGEST = 128  # bytes by which it is clear whose beginning it is


def _set() -> re2.Set:
    options = re2.Options()
    options.max_mem = 64 << 20
    made = re2.Set.MatchSet(options)
    for form in _FORMATS:
        made.Add(form.searched.encode())
    made.Compile()
    return made


_WHOSE = _set()


def _stands_for_one(value: bytes) -> bool:
    return bool(_REPEATED.search(value[:_CHECKED])) or value in EXAMPLES


def _token(data: bytes, start: int) -> tuple[Hit | None, bool]:
    """The token of which what is searched for stands at `start`, the first of the table, and whether any may begin there."""
    numbers = _WHOSE.Match(data[start : start + _LONGEST])
    for number in sorted(numbers or ()):
        if hit := _FORMATS[number].found(data, start):
            return hit, True
    return None, bool(numbers)


_PART = look(r"[A-Za-z0-9_/+-]*")  # some write their parts in base64 instead of base64url


def _web_token(data: bytes, start: int) -> tuple[Hit | None, int]:
    """The JSON web token that begins at `start`, three parts of base64url and dots (RFC 7519) or five if it is encrypted
    (RFC 7516), and how far it was looked for.

    Parts may have any length. Where no dot follows one, none follows what begins within it either: so each is read only
    once, however often a token seems to begin.
    """
    parts = []
    at = start
    while len(parts) < 5:
        end = _PART.match(data, at).end()  # type: ignore[union-attr]
        parts.append((at, end))
        if data[end : end + 1] != b".":
            break
        at = end + 1
    lengths = [end - begin for begin, end in parts]
    if len(parts) == 5 and lengths[0] > 12 and min(lengths[2:]) >= 8:
        end = parts[4][1]
    elif len(parts) >= 3 and lengths[0] > 12 and lengths[1] >= 7 and data.startswith(b"eyJ", parts[1][0]):
        end = parts[2][1]
    else:
        return None, parts[0][1]
    return (start, end, JSON_WEB_TOKEN.confidence, JSON_WEB_TOKEN.name), end


def formats(data: bytes) -> Iterator[Hit]:
    done = 0
    for match in _BEGINS.finditer(data):
        start, end = match.span()
        if end <= done:
            continue
        seen = done
        hit, begins = _token(data, start)
        if not begins and data[start] not in _WORD:  # what stands before one that must not follow a letter
            start += 1
            hit, _ = _token(data, start)
        if not hit and start >= done and data.startswith(b"eyJ", start):
            hit, done = _web_token(data, start)
        if hit and hit[0] >= seen:
            done = hit[1]
            if not _stands_for_one(data[hit[0] : hit[1]]):
                yield hit
