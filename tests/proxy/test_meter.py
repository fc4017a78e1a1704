"""Requests of a minute, counted as they are let in."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.meter import WINDOW, Meter
from proxy.stops import Stop


def meter(limits=None, default=0, stops=None, elsewhere=None) -> Meter:
    made = Meter()
    made.use(limits or {}, default, stops or {}, elsewhere or {})
    return made


def test_as_many_are_let_in_as_the_limit_says_and_more_when_the_minute_is_over():
    of = meter({"alice": 3})
    assert [of.admit("alice", now) for now in (100.0, 101.0, 102.0)] == [None] * 3
    stop = of.admit("alice", 103.0)
    assert stop.until == 160.0, "when the first of them is a minute ago"
    assert "3 requests a minute" in stop.message
    assert of.admit("bob", 103.0) is None, "nobody else is held up"
    assert of.admit("alice", 160.5) is None
    assert of.admit("alice", 160.6).until == 161.0


def test_who_has_no_limit_of_their_own_has_everybody_elses():
    of = meter({"alice": 5}, 1)
    assert of.admit("bob", 1.0) is None
    assert of.admit("bob", 2.0) is not None
    assert all(of.admit("alice", 2.0) is None for _ in range(5))


def test_what_others_let_in_counts():
    of = meter({"alice": 3}, elsewhere={"alice": 1})
    of.heard("alice", 10.0)
    assert of.admit("alice", 11.0) is None
    assert of.admit("alice", 12.0).until == 70.0
    assert meter({"alice": 3}, elsewhere={"alice": 3}).admit("alice", 5.0).until > 5.0


def test_who_is_stopped_by_something_else_is_until_that_is_over():
    of = meter(stops={"alice": Stop("no more tokens", 50.0)})
    assert of.admit("alice", 49.0).message == "no more tokens"
    assert of.admit("alice", 50.0) is None


def test_a_clock_that_is_set_back_locks_nobody_out():
    of = meter({"alice": 1})
    assert of.admit("alice", 10_000.0) is None
    assert of.admit("alice", 100.0) is None


@given(st.lists(st.floats(0, 20), max_size=80), st.integers(1, 8))
def test_no_minute_has_more_than_the_limit(pauses, limit):
    of, now, admitted = meter(default=limit), 1000.0, []
    for pause in pauses:
        now += pause
        if of.admit("x", now) is None:
            admitted.append(now)
    for at in admitted:
        assert sum(at - WINDOW < other <= at for other in admitted) <= limit
