"""What `/metrics` says of routing in this process. States are read from the board when somebody asks for them."""

from collections.abc import Callable, Iterable

from prometheus_client import REGISTRY, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from routing.board import Board, Listener
from routing.health import DEGRADED, HEALTHY, UNHEALTHY

_transitions = Counter(
    "lunaroute_circuit_breaker_transitions",
    "Changes of circuit breakers",
    ["provider", "from_state", "to_state"],
)
_fallbacks = Counter(
    "lunaroute_fallback_triggered", "Requests passed on to another provider", ["from_provider", "to_provider", "reason"]
)
_rate_limits = Counter("lunaroute_rate_limits", "Answers that refused for a limit (429, 529)", ["provider"])
_alternatives = Counter(
    "lunaroute_rate_limit_alternatives_used",
    "Requests that an alternative served while a limit lasted",
    ["from_provider", "to_provider"],
)
_backoff = Histogram(
    "lunaroute_rate_limit_backoff_seconds",
    "How long a provider rests after it refused for a limit",
    ["provider"],
    buckets=(1, 5, 15, 60, 300, 900, 3600, 14400, 86400),
)
# As a figure, so that it can be drawn: 1 healthy, 0.5 degraded, 0 unhealthy; nothing where too little is known.
_HEALTH = {HEALTHY: 1.0, DEGRADED: 0.5, UNHEALTHY: 0.0}
# Reasons are a few words of ours, or names of errors.
LIMITED = ("rate_limited", "overloaded", "resting")


class Counting(Listener):
    """Counts what happens on a board."""

    def __init__(self, on_rests_changed: Callable[[], None] = lambda: None) -> None:
        self._on_rests_changed = on_rests_changed

    def breaker_changed(self, provider: str, before: str, after: str) -> None:
        """Count a transition."""
        _transitions.labels(provider, before, after).inc()

    def rate_limited(self, provider: str, seconds: float) -> None:
        """Count a refusal and its rest."""
        _rate_limits.labels(provider).inc()
        _backoff.labels(provider).observe(seconds)

    def rests_changed(self) -> None:
        """Pass it on."""
        self._on_rests_changed()


def fell_back(from_provider: str, to_provider: str, reason: str) -> None:
    """Count a request that went on to another provider."""
    _fallbacks.labels(from_provider, to_provider, reason).inc()
    if reason in LIMITED:
        _alternatives.labels(from_provider, to_provider).inc()


class _States(Collector):
    """The board's states, as they are when they are asked for."""

    def __init__(self, board: Board, names: Callable[[], Iterable[str]]) -> None:
        self._board, self._names = board, names

    def collect(self) -> Iterable[GaugeMetricFamily]:
        breaker = GaugeMetricFamily(
            "lunaroute_circuit_breaker_state", "0 closed, 1 open, 2 half open", labels=["provider"]
        )
        health = GaugeMetricFamily(
            "lunaroute_provider_health_status", "1 healthy, 0.5 degraded, 0 unhealthy", labels=["provider"]
        )
        rate = GaugeMetricFamily(
            "lunaroute_provider_success_rate", "Share of the last minute's requests that succeeded", labels=["provider"]
        )
        for name in self._names():
            status = self._board.status(name)
            breaker.add_metric([name], self._board.breaker_state(name))
            if status.health in _HEALTH:
                health.add_metric([name], _HEALTH[status.health])
            if status.success_rate is not None:
                rate.add_metric([name], status.success_rate)
        return (breaker, health, rate)


def watch(board: Board, names: Callable[[], Iterable[str]]) -> None:
    """Let `/metrics` show the states of the providers that `names` gives."""
    REGISTRY.register(_States(board, names))
