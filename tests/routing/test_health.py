import hypothesis.strategies as st
import pytest
from hypothesis import given

from routing.health import Health


@given(
    st.lists(st.tuples(st.floats(0, 30), st.booleans()), max_size=200),
    st.floats(0, 200),
)
def test_it_counts_as_a_list_of_all_requests_would(steps, later):
    """Against the naive model: keep everything, and look at the last sixty whole seconds."""
    health, everything, now = Health(), [], 1000.0
    for pause, ok in steps:
        now += pause
        health.record(ok, now)
        everything.append((int(now), ok))
    now += later
    seen = [ok for second, ok in everything if second > int(now) - 60]
    assert health.counts(now) == (seen.count(True), seen.count(False))
    assert health.rate(now) == (seen.count(True) / len(seen) if seen else None)


@pytest.mark.parametrize(
    ("good", "bad", "status"),
    [
        (0, 0, "unknown"),
        (9, 0, "unknown"),
        (0, 9, "unknown"),
        (10, 0, "healthy"),
        (95, 5, "healthy"),
        (94, 6, "degraded"),
        (75, 25, "degraded"),
        (74, 26, "unhealthy"),
        (0, 10, "unhealthy"),
    ],
)
def test_it_says_how_a_provider_is(good, bad, status):
    health = Health()
    for ok in [True] * good + [False] * bad:
        health.record(ok, 5)
    assert health.status(5) == status


def test_what_is_over_a_minute_old_is_forgotten():
    health = Health()
    for _ in range(10):
        health.record(False, 5.5)
    assert health.status(64.9) == "unhealthy"
    assert health.status(65) == "unknown"
    assert health.rate(65) is None


def test_another_window_has_as_many_buckets():
    health = Health(window_secs=3600, min_requests=1)
    health.record(True, 0)
    assert health.status(3539) == "healthy"
    assert health.status(3600) == "unknown"


def test_its_memory_is_bounded():
    health = Health()
    for now in range(10_000):
        health.record(True, now)
    assert len(health._stamps) == len(health._good) == len(health._bad) == 60
