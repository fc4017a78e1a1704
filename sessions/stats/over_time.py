"""Figures by day, by hour, by hour of the week."""

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from sessions.stats.span import Span, moment, rows

# Buckets in one query: each takes two parameters, of which old SQLite libraries allow 32,766.
AT_ONCE = 4000


@dataclass(frozen=True, slots=True)
class ModelShare:
    """A model's part of a bucket."""

    model: str
    requests: int
    errors: int
    tokens: int
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class Bucket:
    """A day or an hour; `start` is in the span's time zone. Empty ones are there too."""

    start: datetime
    requests: int
    errors: int
    tokens: int
    cost_usd: float | None
    models: tuple[ModelShare, ...] = ()


@dataclass(frozen=True, slots=True)
class Hour:
    """An hour of the week: `weekday` 0 is Monday, `hour` 0 to 23."""

    weekday: int
    hour: int
    requests: int
    tokens: int
    cost_usd: float | None


def spending(span: Span) -> list[Bucket]:
    """Give the span by the hour where it is at most two days long, else by day. Raises ValueError if it is too long."""
    return _buckets(span, span.is_by_hour)


def costs(span: Span) -> list[Bucket]:
    """Give the span by day, each with its models. Raises ValueError if it is too long."""
    return _buckets(span, by_hour=False)


def hours(span: Span) -> list[Hour]:
    """Give the 168 hours of the week, Monday 0 h first. Raises ValueError if the span is too long."""
    edges = span.edges(by_hour=True)
    found: dict[tuple[int, int], list] = {(day, hour): [0, 0, None] for day in range(7) for hour in range(24)}
    for number, shares in _shares(span, edges).items():
        cell = found[edges[number].weekday(), edges[number].hour]
        for share in shares:
            cell[0] += share.requests
            cell[1] += share.tokens
            cell[2] = _plus(cell[2], share.cost_usd)
    return [Hour(day, hour, *cell) for (day, hour), cell in found.items()]


def _buckets(span: Span, by_hour: bool) -> list[Bucket]:
    edges = span.edges(by_hour)
    shares = _shares(span, edges)
    found = []
    for number, start in enumerate(edges[:-1]):
        models = tuple(sorted(shares.get(number, ()), key=lambda s: (-(s.cost_usd or 0), -s.tokens, s.model)))
        cost = None
        for share in models:
            cost = _plus(cost, share.cost_usd)
        counts = (sum(getattr(s, name) for s in models) for name in ("requests", "errors", "tokens"))
        found.append(Bucket(start, *counts, cost, models))
    return found


def _plus(cost: float | None, more: float | None) -> float | None:
    return cost if more is None else (cost or 0.0) + more


def _shares(span: Span, edges: list[datetime]) -> dict[int, list[ModelShare]]:
    """Give the models' parts of each bucket that has any, by the bucket's number.

    The bounds go along as a table: exact in every time zone, and each bucket is one range of the index.
    """
    joins, condition, parameters = span.where("b.since", "b.until")
    found: dict[int, list[ModelShare]] = {}
    # The first and the last bucket may stand out of the span.
    bounds = [(max(a, span.since), min(b, span.until)) for a, b in pairwise(edges)]
    for start in range(0, len(bounds), AT_ONCE):
        part = bounds[start : start + AT_ONCE]
        values = ", ".join(f"({start + at}, %s, %s)" for at in range(len(part)))
        asked = rows(
            f"WITH b(number, since, until) AS (VALUES {values})"
            " SELECT b.number, e.model_used, COUNT(*), SUM(CASE WHEN NOT e.success THEN 1 ELSE 0 END),"
            " SUM(e.total_tokens), SUM(e.cost_usd)"
            f" FROM b CROSS JOIN exchanges e{joins} WHERE {condition} GROUP BY b.number, e.model_used",
            [*(moment(t) for bound in part for t in bound), *parameters],
        )
        for number, model, requests, errors, tokens, cost in asked:
            share = ModelShare(model, requests, int(errors or 0), int(tokens or 0), cost)
            found.setdefault(number, []).append(share)
    return found
