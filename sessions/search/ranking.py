"""Which sessions a search finds, and which of them comes first."""

from collections.abc import Mapping, Sequence
from functools import lru_cache, reduce
from math import log2

from django.db.models import QuerySet

from sessions.models import Session
from sessions.search.documents import KIND_BITS, WEIGHTS, Kind, kind_of, session_of
from sessions.search.engines import Fts5, Tsvector, engine
from sessions.search.language import Query, Term, parse

# Up to so many documents are weighed one by one; of more, a session's are counted.
WEIGHED = 2000
# What a session's best documents count, in order.
SHARES = (1.0, 0.3, 0.15, 0.05)
# Steps in which a score is told apart where it doubles: within one, the later session comes first.
STEPS = 4
# More than the steps that scores can be apart.
APART = 1_000_000


def narrow(found: QuerySet[Session], text: str) -> tuple[QuerySet[Session], dict[int, int]]:
    """Keep the sessions of `found` that `text` finds (sessions.search.language). Gives them, and places by primary
    key (of all that it finds, 0 is best, equals share one), none where it names nothing that must occur."""
    query = parse(text)
    index = engine()
    if query.terms:
        ranked = rank(index, query)
        return found.filter(pk__in=index.among(list(ranked))), ranked
    if query.without:
        return found.exclude(pk__in=index.among(sorted(_excluded(index, query.without)))), {}
    return found, {}


def rank(index: Fts5 | Tsvector, query: Query) -> dict[int, int]:
    """Give the places of sessions in which all terms occur: those with all in one document before the others."""
    together = _scores(index, query.terms)
    apart: dict[int, float] = {}
    if len(query.terms) > 1:
        apart = reduce(_both, (_counted(index.counts(index.expression([term]))) for term in query.terms))
    without = _excluded(index, query.without) if query.without else set()
    steps = {key: APART + _step(score) for key, score in apart.items()}
    steps |= {key: _step(score) for key, score in together.items()}
    for key in without:
        steps.pop(key, None)
    places = {step: place for place, step in enumerate(sorted(set(steps.values())))}
    return {key: places[step] for key, step in steps.items()}


def _excluded(index: Fts5 | Tsvector, terms: Sequence[Term]) -> set[int]:
    return {place >> KIND_BITS for place in index.counts(index.expression(terms, any_of=True))}


def _scores(index: Fts5 | Tsvector, terms: Sequence[Term]) -> dict[int, float]:
    """Score the sessions that have a document with all `terms`."""
    expression = index.expression(terms)
    counts = index.counts(expression)
    if sum(counts.values()) > WEIGHED:
        return _counted(counts)
    found: dict[int, list[float]] = {}
    for document, score in index.scores(expression):
        found.setdefault(session_of(document), []).append(score * WEIGHTS[kind_of(document)])
    return {
        key: sum(share * score for share, score in zip(SHARES, sorted(scores, reverse=True), strict=False))
        for key, scores in found.items()
    }


def _both(scores: dict[int, float], others: dict[int, float]) -> dict[int, float]:
    return {key: score + others[key] for key, score in scores.items() if key in others}


def _counted(counts: Mapping[int, int]) -> dict[int, float]:
    """Score sessions by how many of their documents were found, of each kind."""
    found: dict[int, float] = {}
    for place, count in counts.items():
        key = place >> KIND_BITS
        found[key] = found.get(key, 0.0) + _gain(place & (1 << KIND_BITS) - 1, count)
    return found


# The same few values again and again, for each of many sessions.
@lru_cache(4096)
def _gain(kind: int, count: int) -> float:
    return WEIGHTS[Kind(kind)] * log2(1 + count)


@lru_cache(4096)
def _step(score: float) -> int:
    return -round(STEPS * log2(score + 1e-12))
