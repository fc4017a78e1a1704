"""What `/metrics` says of routing. States are read from the live board when they are asked for; a request only counts."""

from collections.abc import Callable, Iterable

from prometheus_client import REGISTRY, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from routing.board import Board, ProviderStatus
from routing.breaker import STATES
from routing.health import DEGRADED, HEALTHY, UNHEALTHY

HEALTH_VALUES = {UNHEALTHY: 0, DEGRADED: 1, HEALTHY: 2}

_transitions = Counter(
    "lunaroute_circuit_breaker_transitions",
    "Changes of state of a provider's circuit breaker",
    ["provider", "from_state", "to_state"],
)
_fallbacks = Counter(
    "lunaroute_fallback_triggered",
    "Requests that went on to another provider, by why",
    ["from_provider", "to_provider", "reason"],
)
_limits = Counter("lunaroute_rate_limits", "Answers that said that a limit was met (429, 529)", ["provider"])
_alternatives = Counter(
    "lunaroute_rate_limit_alternatives_used",
    "Requests that an alternative provider took while the first choice was at its limits",
    ["from_provider", "to_provider"],
)
_backoff = Histogram(
    "lunaroute_rate_limit_backoff_seconds",
    "How long a provider is left alone after it has met a limit",
    ["provider"],
    buckets=(1, 5, 15, 30, 60, 120, 300, 900, 3600, 14400, 86400),
)


class Counting:
    """A listener of the board that counts what it hears."""

    def breaker_changed(self, provider: str, before: int, after: int) -> None:
        """Count a change of state."""
        _transitions.labels(provider, STATES[before], STATES[after]).inc()

    def rate_limited(self, provider: str, seconds: float) -> None:
        """Count a limit, and how long it means to wait."""
        _limits.labels(provider).inc()
        _backoff.labels(provider).observe(seconds)


def fell_back(from_provider: str, to_provider: str, reason: str) -> None:
    """Count that a request went on to another provider: `reason` is a ticket's, or why the board gave none."""
    _fallbacks.labels(from_provider, to_provider, reason).inc()


def alternative_used(from_provider: str, to_provider: str) -> None:
    """Count that an alternative of ``limits_alternative`` was asked in place of the first choice."""
    _alternatives.labels(from_provider, to_provider).inc()


class BoardCollector(Collector):
    """Breaker states, health and success rates of the board that `board` gives (None: nothing is known)."""

    def __init__(self, board: Callable[[], Board | None]) -> None:
        self._board = board

    def describe(self) -> Iterable[Metric]:
        """Give the families without values: registering asks no board."""
        return _families(())

    def collect(self) -> Iterable[Metric]:
        """Give the values of this moment."""
        board = self._board()
        return _families(board.states() if board is not None else ())


def watch(board: Callable[[], Board | None]) -> None:
    """Let `/metrics` show the board that `board` gives. Once in a process."""
    REGISTRY.register(BoardCollector(board))


def _families(states: Iterable[ProviderStatus]) -> list[Metric]:
    breaker = GaugeMetricFamily(
        "lunaroute_circuit_breaker_state", "0: closed, 1: open, 2: half-open", labels=["provider"]
    )
    health = GaugeMetricFamily(
        "lunaroute_provider_health_status",
        "0: unhealthy, 1: degraded, 2: healthy; absent with too few requests to say",
        labels=["provider"],
    )
    rate = GaugeMetricFamily(
        "lunaroute_provider_success_rate",
        "Share of a provider's requests that it served, in the window; absent without any",
        labels=["provider"],
    )
    for state in states:
        breaker.add_metric([state.name], STATES.index(state.breaker))
        if state.health in HEALTH_VALUES:
            health.add_metric([state.name], HEALTH_VALUES[state.health])
        if state.success_rate is not None:
            rate.add_metric([state.name], state.success_rate)
    return [breaker, health, rate]
