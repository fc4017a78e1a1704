"""Which of overlapping findings wins, and how far what replaces it reaches."""

from collections.abc import Iterable
from dataclasses import dataclass

from pii.detectors import TYPES


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of text to replace, by whose finding and for which value. Of what `is_masked` nothing is shown."""

    start: int
    end: int
    type: str
    value: str
    confidence: float
    detector: str
    is_masked: bool = False

    @property
    def rank(self) -> tuple:
        """The most confident wins, of these the longest, then a pattern of the user's, then what comes first."""
        return (self.confidence, self.end - self.start, self.type not in TYPES, -self.start)


def resolve(spans: Iterable[Span]) -> list[Span]:
    """Give spans that do not overlap, in order, and together cover all that `spans` cover.

    Where some overlap the best win, and reach over what is left of the others between them: the longest of the most
    confident, but what a pattern of the user's found goes before what lies within.
    """
    resolved: list[Span] = []
    cluster: list[Span] = []
    end = 0
    for span in sorted(spans, key=lambda s: s.start):
        if cluster and span.start >= end:
            resolved += _winners(cluster, end)
            cluster = []
        end = max(end, span.end) if cluster else span.end
        cluster.append(span)
    return resolved + (_winners(cluster, end) if cluster else [])


def _winners(cluster: list[Span], end: int) -> list[Span]:
    if len(cluster) == 1:
        return cluster
    ranked = sorted(_unnamed(cluster), key=lambda s: s.rank, reverse=True)
    winners: list[Span] = []
    for span in ranked:
        at = _place(winners, span)
        before, after = winners[at - 1] if at else None, winners[at] if at < len(winners) else None
        if (before is None or before.end <= span.start) and (after is None or span.end <= after.start):
            winners.insert(at, span)
    starts = [cluster[0].start, *(span.start for span in winners[1:])]
    ends = [*starts[1:], end]
    return [_stretched(span, s, e) for span, s, e in zip(winners, starts, ends, strict=True)]


def _unnamed(cluster: list[Span]) -> list[Span]:
    """Leave out what lies within something that a pattern of the user's found: they have named that, whatever it is."""
    left, named = [], -1
    for span in sorted(cluster, key=lambda s: (s.start, s.type in TYPES)):
        if span.type not in TYPES:
            named = max(named, span.end)
        if span.type not in TYPES or span.end > named:
            left.append(span)
    return left


def _place(winners: list[Span], span: Span) -> int:
    low, high = 0, len(winners)
    while low < high:
        middle = (low + high) // 2
        if winners[middle].start < span.start:
            low = middle + 1
        else:
            high = middle
    return low


def _stretched(span: Span, start: int, end: int) -> Span:
    return Span(start, end, span.type, span.value, span.confidence, span.detector, span.is_masked)


def within(limit: int, spans: list[Span]) -> tuple[int, list[Span]]:
    """Bring a limit down to the begin of a span across it, and leave out the spans behind. `spans` do not overlap."""
    for span in spans:
        if span.start < limit < span.end:
            limit = span.start
    return limit, [span for span in spans if span.end <= limit]
