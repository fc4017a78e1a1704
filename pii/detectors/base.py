"""What all detectors share."""

import re
from collections.abc import Callable, Iterator

import re2

from pii import limits

Hit = tuple[int, int, float, str]  # start, end (bytes of the plain form), confidence, detector
Detector = Callable[[bytes], Iterator[Hit]]

_SEPARATORS = bytes(set(range(256)) - set(b"0123456789"))

BEFORE = 64  # bytes before a value whose words may say what it is
AHEAD = 48  # bytes after it, on the same line


# Places of a pattern that are tried before the time is looked at.
_PLACES = 256


class Search:
    """A pattern for whole texts: RE2's, linear in the text, some 300 MB a second while nothing is found."""

    __slots__ = ("_finditer", "search")

    def __init__(self, pattern: re2._Regexp) -> None:
        self.search, self._finditer = pattern.search, pattern.finditer

    def finditer(self, data: bytes) -> Iterator[re2._Match]:
        """Give all matches in order. Raises TooLongError."""
        for number, match in enumerate(self._finditer(data)):
            if number % _PLACES == _PLACES - 1:
                limits.check()
            yield match


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
