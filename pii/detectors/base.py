"""What all detectors share."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import AnyStr

import re2

from pii import limits

Hit = tuple[int, int, float, str]  # start, end (bytes of the plain form), confidence, detector
Stretches = Sequence[tuple[int, int]]  # of a text, in order, apart from each other: from, to
# Of the plain form's bytes, and the stretches of numbers where it reads no others.
Detector = Callable[..., Iterator[Hit]]

_SEPARATORS = bytes(set(range(256)) - set(b"0123456789"))

BEFORE = 64  # bytes before a value whose words may say what it is
AHEAD = 48  # bytes after it, on the same line


# Places of a pattern that are tried before the time is looked at.
_PLACES = 256
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

    def search(self, data: bytes, start: int = 0) -> Match | None:
        """Give the first match from `start` on."""
        span = self._match(_UNANCHORED, data, start, len(data))[0]
        return Match(data, span) if span[0] >= 0 else None

    def finditer(self, data: bytes, stretches: Stretches | None = None) -> Iterator[Match]:
        """Give all matches in order, or those in `stretches` (see `stretches.py`). Raises TooLongError."""
        match, left = self._match, _PLACES
        for start, end in stretches if stretches is not None else ((0, len(data)),):
            while start <= end:
                span = match(_UNANCHORED, data, start, end)[0]
                if span[0] < 0:
                    break
                left -= 1
                if not left:
                    limits.check()
                    left = _PLACES
                yield Match(data, span)
                start = max(span[1], span[0] + 1)


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


# A file's extension, or the next sentence.
_ENDS_HERE = look(r"\.(?:[A-Za-z][A-Za-z0-9]{0,4}(?![A-Za-z0-9_-])(?!\.[A-Za-z0-9])|[A-Z][a-z])")


def goes_on(data: bytes, end: int, signs: bytes) -> bool:
    """Whether a number that ends at `end` is a piece of something longer: one of `signs` stands there, and more behind it."""
    if end >= len(data) or data[end] not in signs or not data[end + 1 : end + 2].isalnum():
        return False
    return data[end : end + 1] != b"." or not _ENDS_HERE.match(data, end)
