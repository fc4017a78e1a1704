"""Where in a text values are, without changing it: for files of any size. Sans-io."""

from collections.abc import Iterator
from dataclasses import dataclass

from pii.overlaps import Span
from pii.redactor import Redactor
from pii.tokens import visible

# Characters that are held at most for a value that does not end; what goes on longer is taken as it is so far.
LONGEST = 4 << 20
_CONTEXT = 2048
# Of values at least so long the first two and the last two characters are shown.
_HINTED = 12


@dataclass(frozen=True, slots=True)
class Place:
    """A value in a text: line and column (from 1), what found it, and how sure that is. ``hint`` shows a part of it."""

    line: int
    column: int
    type: str
    detector: str
    confidence: float
    hint: str


class Scanner:
    """Feed it pieces of a text, then end it; it gives the places of what would be redacted, in order."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._before = ""
        self._held = ""
        self._line, self._column = 1, 1

    def feed(self, piece: str) -> Iterator[Place]:
        """Take a piece. Raises what a detector raises."""
        self._held += piece
        yield from self._take(is_whole=len(self._held) > LONGEST)

    def end(self) -> Iterator[Place]:
        """Nothing follows."""
        yield from self._take(is_whole=True)

    def _take(self, is_whole: bool) -> Iterator[Place]:
        spans, limit = self._redactor.settle(self._held, self._before, self._before, is_whole)
        at = 0
        for span in spans:
            self._go(self._held[at : span.start])
            at = span.start
            yield Place(self._line, self._column, span.type, span.detector, span.confidence, hint(span))
        self._go(self._held[at:limit])
        self._before = (self._before + self._held[:limit])[-_CONTEXT:]
        self._held = self._held[limit:]

    def _go(self, text: str) -> None:
        lines = text.count("\n")
        self._line += lines
        self._column = len(text) - text.rfind("\n") if lines else self._column + len(text)


def hint(span: Span) -> str:
    """Give what tells a value to who knows it, and nobody else."""
    value = " ".join(visible(span.value).split())
    return f"{value[:2]}…{value[-2:]}" if len(value) >= _HINTED else "…"
