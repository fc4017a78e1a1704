"""What redaction replaced, in sessions and over a span."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import orjson

from sessions.models import Session
from sessions.stats.span import Span, rows


@dataclass(frozen=True, slots=True)
class RedactionFigures:
    """Values of one type that were replaced, and the requests in which there were any."""

    type: str
    values: int
    requests: int


def redactions(span: Span) -> list[RedactionFigures]:
    """The types of which values were replaced in a span, the most first. Reads all of its exchanges: no index has them."""
    joins, condition, parameters = span.where()
    found = rows(
        f"SELECT CAST(e.redactions AS text), COUNT(*) FROM exchanges e{joins}"
        f" WHERE {condition} AND e.redactions <> '{{}}' GROUP BY 1",
        parameters,
    )
    values: Counter[str] = Counter()
    requests: Counter[str] = Counter()
    for counts, times in found:
        for kind, count in orjson.loads(counts).items():
            values[kind] += count * times
            requests[kind] += times
    return [
        RedactionFigures(kind, values[kind], requests[kind]) for kind in sorted(values, key=lambda k: (-values[k], k))
    ]


def redactions_of(sessions: Iterable[Session]) -> dict[int, Counter[str]]:
    """Give how many values were replaced in each session, by type: primary key → counts, for those that had any."""
    keys = [session.pk for session in sessions]
    found: dict[int, Counter[str]] = {}
    if not keys:
        return found
    # Many exchanges say the same: what is read as JSON is few.
    counted = rows(
        "SELECT e.session_id, CAST(e.redactions AS text), COUNT(*) FROM exchanges e"
        f" WHERE e.session_id IN ({', '.join(['%s'] * len(keys))}) AND e.redactions <> '{{}}' GROUP BY 1, 2",
        keys,
    )
    for key, counts, times in counted:
        found.setdefault(key, Counter()).update({kind: n * times for kind, n in orjson.loads(counts).items()})
    return found
