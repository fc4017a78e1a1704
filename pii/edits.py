"""Replacements in a text, and where its places are afterwards."""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """What replaces the characters from `start` to `end` of a text; `type` is what was found there."""

    start: int
    end: int
    replacement: str
    type: str


def applied(text: str, edits: Sequence[Edit]) -> str:
    """Give `text` with `edits` made, which are in order and do not overlap."""
    if not edits:
        return text
    out, at = [], 0
    for edit in edits:
        out += (text[at : edit.start], edit.replacement)
        at = edit.end
    out.append(text[at:])
    return "".join(out)


class Places:
    """Tells for places in the edited text where they were before."""

    def __init__(self, edits: Sequence[Edit]) -> None:
        self._edits = edits
        self._starts: list[int] = []
        self._ends: list[int] = []
        shift = 0
        for edit in edits:
            self._starts.append(edit.start + shift)
            shift += len(edit.replacement) - (edit.end - edit.start)
            self._ends.append(edit.end + shift)

    def start(self, place: int) -> int:
        """Give where a stretch that begins at `place` began; within a replacement, where what it replaced began."""
        at = bisect_right(self._starts, place) - 1
        if at < 0:
            return place
        if place < self._ends[at]:
            return self._edits[at].start
        return self._edits[at].end + place - self._ends[at]

    def end(self, place: int) -> int:
        """Give where a stretch that ends at `place` ended."""
        at = bisect_left(self._starts, place) - 1
        if at < 0:
            return place
        return self._edits[at].end + max(place - self._ends[at], 0)

    def touches(self, start: int, end: int) -> bool:
        """Whether a stretch of the edited text holds anything of a replacement."""
        at = bisect_left(self._starts, end) - 1
        return at >= 0 and self._ends[at] > start

    def around(self, distance: int, new: Collection[int]) -> Iterator[tuple[int, int]]:
        """Give the stretches of the edited text no further than `distance` from what replaces an edit that starts in `new`."""
        begin, end = None, 0
        for start, stop, edit in zip(self._starts, self._ends, self._edits, strict=True):
            if edit.start not in new:
                continue
            if begin is not None and start - distance <= end:
                end = stop + distance
                continue
            if begin is not None:
                yield begin, end
            begin, end = max(start - distance, 0), stop + distance
        if begin is not None:
            yield begin, end
