"""What all detectors share."""

import re
from collections.abc import Callable, Iterator
from typing import AnyStr

import re2

from pii import limits

Hit = tuple[int, int, float, str]  # start, end (bytes of the plain form), confidence, detector
Detector = Callable[[bytes], Iterator[Hit]]

_SEPARATORS = bytes(set(range(256)) - set(b"0123456789"))

BEFORE = 64  # bytes before a value whose words may say what it is
AHEAD = 48  # bytes after it, on the same line


# Places of a pattern that are tried before the time is looked at.
_PLACES = 256
# Bytes for each sign, on an average, from which on it is faster to search near signs alone.
_RARE = 1000
_UNANCHORED = re2._Anchor.UNANCHORED


class Match:
    """Where a pattern for whole texts matched. RE2's own asks for its groups at each step, which takes longer than to match."""

    __slots__ = ("_data", "_span")

    def __init__(self, data: bytes, span: tuple[int, int]) -> None:
        self._data, self._span = data, span

    def start(self) -> int:
        return self._span[0]

    def end(self) -> int:
        return self._span[1]

    def span(self) -> tuple[int, int]:
        return self._span

    def group(self) -> bytes:
        return self._data[self._span[0] : self._span[1]]


class Search:
    """A pattern for whole texts, without groups: RE2's, linear in the text, some 500 MB a second while nothing is found."""

    __slots__ = ("_match",)

    def __init__(self, pattern: re2._Regexp) -> None:
        # What RE2's own `search` and `finditer` call: they are generators of objects, and slower than what they call.
        self._match = pattern._regexp.Match

    def search(self, data: bytes) -> Match | None:
        """Give the first match."""
        span = self._match(_UNANCHORED, data, 0, len(data))[0]
        return Match(data, span) if span[0] >= 0 else None

    def finditer(self, data: bytes, start: int = 0, end: int | None = None) -> Iterator[Match]:
        """Give all matches in order, of those that stand from `start` to `end`. Raises TooLongError."""
        match, stop, left = self._match, len(data) if end is None else min(end, len(data)), _PLACES
        while start <= stop:
            span = match(_UNANCHORED, data, start, stop)[0]
            if span[0] < 0:
                return
            left -= 1
            if not left:
                limits.check()
                left = _PLACES
            yield Match(data, span)
            start = max(span[1], span[0] + 1)

    def near(self, data: bytes, signs: tuple[bytes, ...], back: int, ahead: int) -> Iterator[Match]:
        """Give what `finditer` gives, faster where signs are rare. Raises TooLongError.

        Each match must hold one of `signs`, begin at most `back` bytes before it and end at most `ahead` behind its begin.
        """
        if sum(data.count(sign) for sign in signs) * _RARE > len(data):
            yield from self.finditer(data)
            return
        done, end, start = 0, -1, 0
        for place in [*sorted(place for sign in signs for place in places(data, sign)), len(data) + back + ahead + 1]:
            if place - back > end:  # so no match goes from one window into the next
                for match in self.finditer(data, max(start, done), end):
                    done = match.end()
                    yield match
                start = place - back
            end = place + ahead


def places(text: AnyStr, sign: AnyStr) -> Iterator[int]:
    """Where a sign stands: far faster than any pattern where it is rare."""
    at = text.find(sign)
    while at >= 0:
        yield at
        at = text.find(sign, at + 1)


def search(pattern: str) -> Search:
    """Compile a pattern for whole texts."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 64 << 20  # states are kept instead of built anew
    return Search(re2.compile(pattern.encode(), options))


def look(pattern: str) -> re.Pattern[bytes]:
    """A pattern for one place: `re` starts faster than RE2, but may go back over what it read; never for searching."""
    return re.compile(pattern.encode())


def before(data: bytes, start: int, length: int = BEFORE) -> bytes:
    """What stands before a candidate."""
    return data[max(start - length, 0) : start]


def after(data: bytes, end: int, length: int = AHEAD) -> bytes:
    """What stands after a candidate on its line."""
    return data[end : end + length].partition(b"\n")[0]


def digits(value: bytes) -> str:
    """The digits of a number, without what separates them."""
    return value.translate(None, _SEPARATORS).decode()
