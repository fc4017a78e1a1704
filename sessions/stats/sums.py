"""Sums over a span, whole and by model, project, client."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from sessions.stats.caching import cache_saving
from sessions.stats.span import Span, rows


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens in classes that do not overlap."""

    input: int = 0
    output: int = 0
    thinking: int = 0
    cache_read: int = 0
    cache_creation: int = 0
    audio: int = 0
    total: int = 0

    @property
    def cache_share(self) -> float | None:
        """How much of the prompts came from a cache, 0 to 1."""
        prompt = self.input + self.cache_read + self.cache_creation
        return self.cache_read / prompt if prompt else None


@dataclass(frozen=True, slots=True)
class Sums:
    """What a set of exchanges comes to. ``unpriced`` spent tokens, but have no known cost."""

    sessions: int = 0
    requests: int = 0
    errors: int = 0
    tokens: Tokens = Tokens()
    cost_usd: float | None = None
    unpriced: int = 0
    duration_ms: float = 0.0
    provider_time_ms: float = 0.0
    proxy_overhead_ms: float = 0.0

    @property
    def error_rate(self) -> float | None:
        return self.errors / self.requests if self.requests else None


@dataclass(frozen=True, slots=True)
class Percentiles:
    """By nearest rank; None where nothing was measured."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


@dataclass(frozen=True, slots=True)
class Overview:
    """A span in one look, beside the span of the same length before it."""

    since: datetime
    until: datetime
    sums: Sums
    latency_ms: Percentiles
    time_to_first_token_ms: Percentiles
    before: Sums
    cache_saving_usd: float | None  # less what writing to caches cost


@dataclass(frozen=True, slots=True)
class ModelFigures:
    """A model's share of a span."""

    model: str
    sums: Sums
    latency_ms: Percentiles
    time_to_first_token_ms: Percentiles


@dataclass(frozen=True, slots=True)
class ProjectFigures:
    """A project's share of a span; "" for what has none."""

    project: str
    sums: Sums


@dataclass(frozen=True, slots=True)
class ClientFigures:
    """A client's share of a span."""

    client: str
    sums: Sums


@dataclass(frozen=True, slots=True)
class Figures:
    """A span in one look and by who spent it, the dearest first; "" stands for exchanges that named none."""

    overview: Overview
    models: tuple[ModelFigures, ...]
    projects: tuple[ProjectFigures, ...]
    clients: tuple[ClientFigures, ...]


@dataclass(frozen=True, slots=True)
class ProviderHealth:
    """How a provider has answered lately. ``success_rate`` is 0 to 1, None where nothing was asked."""

    provider: str
    requests: int
    errors: int
    success_rate: float | None
    latency_ms: Percentiles


# By a name: durations, times to first token.
Times = dict[str, tuple[list[float], list[float]]]
# Name → what it sums.
SUMMED = {
    "requests": "1",
    "errors": "CASE WHEN NOT e.success THEN 1 ELSE 0 END",
    "input": "e.input_tokens",
    "output": "e.output_tokens",
    "thinking": "e.thinking_tokens",
    "cache_read": "e.cache_read_tokens",
    "cache_creation": "e.cache_creation_5m_tokens + e.cache_creation_1h_tokens",
    "audio": "e.audio_input_tokens + e.audio_output_tokens",
    "total": "e.total_tokens",
    "cost": "e.cost_usd",
    "unpriced": "CASE WHEN e.cost_usd IS NULL AND e.total_tokens > 0 THEN 1 ELSE 0 END",
    "duration": "e.duration_ms",
    "provider_time": "e.provider_latency_ms",
    "overhead": "COALESCE(e.overhead_before_ms, 0) + COALESCE(e.overhead_after_ms, 0)",
}
SUMS = "COUNT(DISTINCT e.session_id), " + ", ".join(f"SUM({value})" for value in SUMMED.values())


def sums_of(row: Sequence) -> Sums:
    """Read the columns of SUMS."""
    sessions, requests, errors, *tokens, cost, unpriced, duration, provider, overhead = row
    return Sums(
        sessions, int(requests or 0), int(errors or 0), Tokens(*(int(t or 0) for t in tokens)), cost, int(unpriced or 0),
        duration or 0.0, provider or 0.0, overhead or 0.0,
    )  # fmt: skip


def percentiles(values: Iterable[float]) -> Percentiles:
    """Give the percentiles of `values`, by nearest rank."""
    ordered = sorted(values)
    if not ordered:
        return Percentiles()
    return Percentiles(*(ordered[(len(ordered) * p + 99) // 100 - 1] for p in (50, 95, 99)))


def _sums(span: Span, by: str = "") -> list[tuple]:
    """Give (value of the column `by` of exchanges, …SUMS)."""
    joins, condition, parameters = span.where()
    if not by:
        return rows(f"SELECT {SUMS} FROM exchanges e{joins} WHERE {condition}", parameters)
    return rows(f"SELECT {by}, {SUMS} FROM exchanges e{joins} WHERE {condition} GROUP BY 1", parameters)


def _all_sums(span: Span) -> dict[str, list[tuple[str, Sums]]]:
    """Give the sums by model, project and client, and of all (under ""), from one pass over the exchanges."""
    joins, condition, parameters = span.where()
    summed = ", ".join(f"SUM({value}) AS {name}" for name, value in SUMMED.items())
    again = "COUNT(DISTINCT g.session_id), " + ", ".join(f"SUM(g.{name})" for name in SUMMED)
    found = rows(
        f"WITH g AS MATERIALIZED (SELECT e.session_id, e.model_used, e.client, {summed} FROM exchanges e{joins}"
        f" WHERE {condition} GROUP BY e.session_id, e.model_used, e.client)"
        f" SELECT '', '', {again} FROM g"
        f" UNION ALL SELECT 'model', g.model_used, {again} FROM g GROUP BY g.model_used"
        f" UNION ALL SELECT 'project', s.project, {again} FROM g JOIN sessions s ON s.id = g.session_id GROUP BY s.project"
        f" UNION ALL SELECT 'client', g.client, {again} FROM g GROUP BY g.client",
        parameters,
    )
    sums: dict[str, list[tuple[str, Sums]]] = {"": [], "model": [], "project": [], "client": []}
    for by, name, *row in found:
        sums[by].append((name, sums_of(row)))
    return {by: _dearest_first(some) for by, some in sums.items()}


def _dearest_first(found: Iterable[tuple[str, Sums]]) -> list[tuple[str, Sums]]:
    return sorted(found, key=lambda f: (-(f[1].cost_usd or 0), -f[1].tokens.total, -f[1].requests, f[0]))


def _times(span: Span, by: str) -> Times:
    """Give durations and times to first token, the least first, by the values of the column `by`."""
    joins, condition, parameters = span.where()
    found: Times = {}
    columns = f"SELECT {by}, e.duration_ms, e.time_to_first_token_ms FROM exchanges e{joins}"
    for name, duration, first in rows(f"{columns} WHERE {condition} AND e.duration_ms IS NOT NULL", parameters):
        lists = found.get(name)
        if lists is None:
            lists = found[name] = ([], [])
        lists[0].append(duration)
        if first is not None:
            lists[1].append(first)
    for lists in found.values():
        for values in lists:
            values.sort()  # once: sorting them again, or several of them together, is quick then
    return found


def overview(span: Span) -> Overview:
    """A span's sums, latencies, and the sums of the span before it."""
    (now,) = _sums(span)
    return _overview(span, sums_of(now), _times(span, "''"))


def _overview(span: Span, sums: Sums, times: Times) -> Overview:
    (before,) = _sums(span.before)
    latency, first = (
        percentiles(chain.from_iterable(values)) for values in zip(*times.values(), ((), ()), strict=True)
    )
    return Overview(span.since, span.until, sums, latency, first, sums_of(before), cache_saving(span))


def by_model(span: Span) -> list[ModelFigures]:
    """Sums and latencies by model, the dearest first; "" stands for exchanges that named none."""
    sums = _dearest_first((model, sums_of(row)) for model, *row in _sums(span, "e.model_used"))
    return _models(sums, _times(span, "e.model_used"))


def _models(sums: Iterable[tuple[str, Sums]], times: Times) -> list[ModelFigures]:
    return [ModelFigures(model, some, *map(percentiles, times.get(model, ((), ())))) for model, some in sums]


def figures(span: Span) -> Figures:
    """The overview, and sums by model, project and client, in far less time than one after the other."""
    sums, times = _all_sums(span), _times(span, "e.model_used")
    ((_, whole),) = sums[""]
    return Figures(
        _overview(span, whole, times),
        tuple(_models(sums["model"], times)),
        tuple(ProjectFigures(name, some) for name, some in sums["project"]),
        tuple(ClientFigures(name, some) for name, some in sums["client"]),
    )


def provider_health(span: Span) -> dict[str, ProviderHealth]:
    """How each provider answered. Failures are those of the provider: a client that hung up or erred is none."""
    joins, condition, parameters = span.where()
    failed = "CASE WHEN NOT e.success AND (e.status IS NULL OR e.status >= 500 OR e.status = 429 OR e.status < 400)"
    failed = f"SUM({failed} AND e.error NOT LIKE 'client_disconnected%%' THEN 1 ELSE 0 END)"
    counted = rows(
        f"SELECT e.provider, COUNT(*), {failed} FROM exchanges e{joins}"
        f" WHERE {condition} AND e.success IS NOT NULL GROUP BY 1",
        parameters,
    )
    times = _times(span, "e.provider")
    return {
        name: ProviderHealth(
            name, requests, int(errors), 1 - int(errors) / requests, percentiles(times.get(name, ([],))[0])
        )
        for name, requests, errors in counted
    }
