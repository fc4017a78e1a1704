"""Sums over a span, whole and by model, project, client."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

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
class ProviderHealth:
    """How a provider has answered lately. ``success_rate`` is 0 to 1, None where nothing was asked."""

    provider: str
    requests: int
    errors: int
    success_rate: float | None
    latency_ms: Percentiles


SUMS = (
    "COUNT(DISTINCT e.session_id), COUNT(*), SUM(CASE WHEN NOT e.success THEN 1 ELSE 0 END),"
    " SUM(e.input_tokens), SUM(e.output_tokens), SUM(e.thinking_tokens), SUM(e.cache_read_tokens),"
    " SUM(e.cache_creation_5m_tokens + e.cache_creation_1h_tokens),"
    " SUM(e.audio_input_tokens + e.audio_output_tokens), SUM(e.total_tokens), SUM(e.cost_usd),"
    " SUM(CASE WHEN e.cost_usd IS NULL AND e.total_tokens > 0 THEN 1 ELSE 0 END),"
    " SUM(e.duration_ms), SUM(e.provider_latency_ms),"
    " SUM(COALESCE(e.overhead_before_ms, 0) + COALESCE(e.overhead_after_ms, 0))"
)


def sums_of(row: Sequence) -> Sums:
    """Read the columns of SUMS."""
    sessions, requests, errors, *tokens, cost, unpriced, duration, provider, overhead = row
    return Sums(
        sessions, requests, int(errors or 0), Tokens(*(int(t or 0) for t in tokens)), cost, int(unpriced or 0),
        duration or 0.0, provider or 0.0, overhead or 0.0,
    )  # fmt: skip


def percentiles(values: Iterable[float]) -> Percentiles:
    """Give the percentiles of `values`, by nearest rank."""
    ordered = sorted(values)
    if not ordered:
        return Percentiles()
    return Percentiles(*(ordered[(len(ordered) * p + 99) // 100 - 1] for p in (50, 95, 99)))


def _sums(span: Span, by: str = "") -> list[tuple]:
    """Give (value of `by`, …SUMS), the dearest first."""
    joins, condition, parameters = span.where()
    if by.startswith("s.") and not joins:
        joins = " JOIN sessions s ON s.id = e.session_id"
    if not by:
        return rows(f"SELECT {SUMS} FROM exchanges e{joins} WHERE {condition}", parameters)
    order = "COALESCE(SUM(e.cost_usd), 0) DESC, SUM(e.total_tokens) DESC, COUNT(*) DESC, 1"
    return rows(
        f"SELECT {by}, {SUMS} FROM exchanges e{joins} WHERE {condition} GROUP BY 1 ORDER BY {order}", parameters
    )


def _times(span: Span, by: str) -> dict[str, tuple[list[float], list[float]]]:
    """Give (durations, times to first token) by the values of the column `by`."""
    joins, condition, parameters = span.where()
    found: dict[str, tuple[list[float], list[float]]] = {}
    columns = f"SELECT {by}, e.duration_ms, e.time_to_first_token_ms FROM exchanges e{joins}"
    for name, duration, first in rows(f"{columns} WHERE {condition} AND e.duration_ms IS NOT NULL", parameters):
        lists = found.get(name)
        if lists is None:
            lists = found[name] = ([], [])
        lists[0].append(duration)
        if first is not None:
            lists[1].append(first)
    return found


def overview(span: Span) -> Overview:
    """A span's sums, latencies, and the sums of the span before it."""
    times = _times(span, "''").get("", ([], []))
    (now,), (before,) = _sums(span), _sums(span.before)
    latency, first = (percentiles(values) for values in times)
    return Overview(span.since, span.until, sums_of(now), latency, first, sums_of(before), cache_saving(span))


def by_model(span: Span) -> list[ModelFigures]:
    """Sums and latencies by model, the dearest first; "" stands for exchanges that named none."""
    times = _times(span, "e.model_used")
    found = []
    for model, *row in _sums(span, "e.model_used"):
        latency, first = (percentiles(values) for values in times.get(model, ([], [])))
        found.append(ModelFigures(model, sums_of(row), latency, first))
    return found


def by_project(span: Span) -> list[ProjectFigures]:
    """Sums by project, the dearest first."""
    return [ProjectFigures(name, sums_of(row)) for name, *row in _sums(span, "s.project")]


def by_client(span: Span) -> list[ClientFigures]:
    """Sums by client, the dearest first."""
    return [ClientFigures(name, sums_of(row)) for name, *row in _sums(span, "e.client")]


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
