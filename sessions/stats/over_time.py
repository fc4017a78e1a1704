"""Figures by day, by hour, by hour of the week."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from django.db import connection

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

    The bounds go along: exact in every time zone.
    """
    # The first and the last bucket may stand out of the span.
    bounds = [(max(a, span.since), min(b, span.until)) for a, b in pairwise(edges)]
    found: dict[int, list[ModelShare]] = {}
    for number, model, requests, errors, tokens, cost in _asked(span, bounds):
        share = ModelShare(model, requests, int(errors or 0), int(tokens or 0), cost)
        found.setdefault(number, []).append(share)
    return found


_COLUMNS = (
    "e.model_used, COUNT(*), SUM(CASE WHEN NOT e.success THEN 1 ELSE 0 END), SUM(e.total_tokens), SUM(e.cost_usd)"
)


def _asked(span: Span, bounds: list[tuple[datetime, datetime]]) -> Iterator[tuple]:
    """Give (number of the bucket, model, sums)."""
    if connection.vendor == "postgresql":
        # Its planner does not see that each of many ranges is short, and reads all exchanges for each.
        joins, condition, parameters = span.where()
        yield from rows(
            f"SELECT width_bucket(e.started_at, %s::timestamptz[]) - 1, {_COLUMNS}"
            f" FROM exchanges e{joins} WHERE {condition} GROUP BY 1, 2",
            [[moment(since) for since, _ in bounds], *parameters],
        )
        return
    joins, condition, parameters = span.where("b.since", "b.until")
    for start in range(0, len(bounds), AT_ONCE):
        part = bounds[start : start + AT_ONCE]
        values = ", ".join(f"({start + at}, %s, %s)" for at in range(len(part)))
        # A table of bounds: each bucket is one range of the index.
        yield from rows(
            f"WITH b(number, since, until) AS (VALUES {values}) SELECT b.number, {_COLUMNS}"
            f" FROM b CROSS JOIN exchanges e{joins} WHERE {condition} GROUP BY b.number, e.model_used",
            [*(moment(t) for bound in part for t in bound), *parameters],
        )
