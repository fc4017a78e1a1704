from prometheus_client import REGISTRY, CollectorRegistry

from routing import metrics
from routing.board import Board


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0


def test_states_are_those_of_the_board_at_this_moment():
    board = Board()
    registry = CollectorRegistry()
    registry.register(metrics.BoardCollector(lambda: board))
    assert registry.get_sample_value("lunaroute_circuit_breaker_state", {"provider": "a"}) is None
    for _ in range(10):
        board.note("a", False)
    board.note("b", True)

    def value(name: str, provider: str) -> float | None:
        return registry.get_sample_value(f"lunaroute_{name}", {"provider": provider})

    assert (value("circuit_breaker_state", "a"), value("circuit_breaker_state", "b")) == (1, 0)
    assert (value("provider_health_status", "a"), value("provider_health_status", "b")) == (0, None)
    assert (value("provider_success_rate", "a"), value("provider_success_rate", "b")) == (0, 1)
    board.reset("a")
    assert value("circuit_breaker_state", "a") == 0


def test_without_a_board_there_are_no_values():
    registry = CollectorRegistry()
    registry.register(metrics.BoardCollector(lambda: None))
    assert [sample for family in registry.collect() for sample in family.samples] == []


def test_what_happens_on_the_board_is_counted():
    board = Board(tell=metrics.Counting())
    board.ask("limited").answered(429, [(b"retry-after", b"30")])
    for _ in range(3):
        board.ask("broken").failed("upstream_connect")
    assert counted("lunaroute_rate_limits_total", provider="limited") == 1
    assert counted("lunaroute_rate_limit_backoff_seconds_sum", provider="limited") == 30
    labels = {"provider": "broken", "from_state": "closed", "to_state": "open"}
    assert counted("lunaroute_circuit_breaker_transitions_total", **labels) == 1


def test_what_went_on_to_another_is_counted():
    metrics.fell_back("x", "y", "rate_limited")
    metrics.alternative_used("x", "y")
    labels = {"from_provider": "x", "to_provider": "y"}
    assert counted("lunaroute_fallback_triggered_total", **labels, reason="rate_limited") == 1
    assert counted("lunaroute_rate_limit_alternatives_used_total", **labels) == 1
