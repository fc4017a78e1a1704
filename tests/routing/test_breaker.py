import hypothesis.strategies as st
import pytest
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from routing.breaker import CLOSED, HALF_OPEN, OPEN, Breaker

# Each story: what happens at which second, and the state after it. "ok" and "bad" are whole requests.
STORIES = {
    "three failures in a row open it": [(0, "bad", CLOSED), (1, "bad", CLOSED), (2, "bad", OPEN)],
    "a success between them begins anew": [
        (0, "bad", CLOSED),
        (1, "bad", CLOSED),
        (2, "ok", CLOSED),
        (3, "bad", CLOSED),
        (4, "bad", CLOSED),
        (5, "bad", OPEN),
    ],
    "it is open for thirty seconds": [(0, "open", OPEN), (29.9, "refused", OPEN), (30, "ok", HALF_OPEN)],
    "two probes close it": [(0, "open", OPEN), (30, "ok", HALF_OPEN), (31, "ok", CLOSED), (32, "ok", CLOSED)],
    "a failed probe opens it for another thirty seconds": [
        (0, "open", OPEN),
        (30, "bad", OPEN),
        (59, "refused", OPEN),
        (60, "ok", HALF_OPEN),
    ],
    "one success is lost with a failed probe": [
        (0, "open", OPEN),
        (30, "ok", HALF_OPEN),
        (31, "bad", OPEN),
        (61, "ok", HALF_OPEN),
        (62, "ok", CLOSED),
    ],
    "closed again, it takes three failures again": [
        (0, "open", OPEN),
        (30, "ok", HALF_OPEN),
        (31, "ok", CLOSED),
        (32, "bad", CLOSED),
        (33, "bad", CLOSED),
        (34, "bad", OPEN),
    ],
    "a cancelled probe is no verdict": [(0, "open", OPEN), (30, "cancelled", HALF_OPEN), (30, "ok", HALF_OPEN)],
    "what others see counts, once its time is over": [
        (0, "open", OPEN),
        (29, "seen ok", OPEN),
        (30, "seen ok", HALF_OPEN),
        (31, "seen ok", CLOSED),
    ],
    "what others see fail opens it": [(0, "seen bad", CLOSED), (1, "seen bad", CLOSED), (2, "seen bad", OPEN)],
    "what others see fail keeps it open": [(0, "open", OPEN), (30, "seen bad", OPEN), (59, "refused", OPEN)],
}


def happen(breaker: Breaker, what: str, now: float) -> None:
    if what == "open":
        for _ in range(3):
            happen(breaker, "bad", now)
        return
    if what.startswith("seen"):
        breaker.observed(what == "seen ok", now, now)
        return
    assert breaker.allows(now) == (what != "refused")
    turn = breaker.begin(now)
    assert (turn is None) == (what == "refused")
    if what == "ok":
        breaker.succeeded(turn, now)
    elif what == "bad":
        breaker.failed(turn, now)
    elif what == "cancelled":
        breaker.cancelled(turn)


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_it_goes_through_its_states(story):
    breaker = Breaker()
    for now, what, state in story:
        happen(breaker, what, now)
        assert breaker.state == state, (now, what)


def opened_with_one_under_way() -> tuple[Breaker, int]:
    breaker = Breaker()
    early = breaker.begin(0)
    happen(breaker, "open", 1)
    return breaker, early


def test_an_early_success_does_not_close_it():
    breaker, early = opened_with_one_under_way()
    breaker.succeeded(early, 32)
    assert breaker.state == OPEN
    probe = breaker.begin(32)
    breaker.succeeded(early, 33)
    breaker.succeeded(early, 33)
    assert breaker.state == HALF_OPEN
    assert not breaker.allows(33), "the probe is still under way"
    breaker.succeeded(probe, 34)
    assert breaker.state == HALF_OPEN


def test_an_early_failure_does_not_open_it_again():
    breaker, early = opened_with_one_under_way()
    breaker.begin(32)
    breaker.failed(early, 33)
    assert breaker.state == HALF_OPEN


def test_a_probe_is_judged_once():
    breaker, _ = opened_with_one_under_way()
    probe = breaker.begin(31)
    breaker.succeeded(probe, 32)
    breaker.succeeded(probe, 32)
    assert breaker.state == HALF_OPEN


def test_what_went_out_before_it_opened_counts_for_nothing():
    breaker, _ = opened_with_one_under_way()
    breaker.observed(True, 0.5, 40)
    breaker.observed(False, 0.5, 40)
    assert breaker.state == OPEN
    assert breaker.allows(40)


def test_one_that_breaks_off_every_answer_is_found_out():
    breaker = Breaker()
    for now in range(3):
        turn = breaker.begin(now)
        breaker.broke(turn, breaker.succeeded(turn, now), now)
    assert breaker.state == OPEN


def test_a_whole_answer_ends_a_row_of_broken_ones():
    breaker = Breaker()
    for broken in (True, True, False, True, True):
        turn = breaker.begin(0)
        ended = breaker.succeeded(turn, 0)
        if broken:
            breaker.broke(turn, ended, 0)
    assert breaker.state == CLOSED


def test_it_tells_each_change():
    told = []
    breaker = Breaker(on_change=lambda before, after: told.append((before, after)))
    for now, what in ((0, "open"), (30, "bad"), (60, "ok"), (61, "ok")):
        happen(breaker, what, now)
    assert told == [(CLOSED, OPEN), (OPEN, HALF_OPEN), (HALF_OPEN, OPEN), (OPEN, HALF_OPEN), (HALF_OPEN, CLOSED)]


def test_it_says_when_it_opens():
    breaker, _ = opened_with_one_under_way()
    assert breaker.opens_at == 31
    breaker.begin(31)
    assert breaker.opens_at < 0


class Interleaved(RuleBasedStateMachine):
    """Requests that begin and end in any order, also twice: never two probes at once, and each change is a known one."""

    turns = Bundle("turns")

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.changes: list[tuple[int, int]] = []
        self.breaker = Breaker(2, 10, 2, lambda before, after: self.changes.append((before, after)))
        self.probes: set[int] = set()
        self.opened = 0.0

    def settle(self, turn):
        self.probes.discard(turn)
        if self.breaker.state != HALF_OPEN:
            self.probes.clear()  # a change of state takes the say of those before

    @rule(seconds=st.sampled_from([0.5, 5, 10]))
    def wait(self, seconds):
        self.now += seconds

    @rule(target=turns)
    def begin(self):
        allowed = self.breaker.allows(self.now)
        turn = self.breaker.begin(self.now)
        assert allowed == (turn is not None)
        if turn is not None and self.breaker.state == HALF_OPEN:
            assert not self.probes, "a second probe"
            self.probes.add(turn)
        return turn

    @rule(turn=turns, verdict=st.sampled_from(["succeeded", "failed", "cancelled", "broke"]))
    def end(self, turn, verdict):
        if turn is None:
            return
        before, probing = self.breaker.state, set(self.probes)
        if verdict == "cancelled":
            self.breaker.cancelled(turn)
        elif verdict == "broke":
            self.breaker.broke(turn, 0, self.now)
        else:
            getattr(self.breaker, verdict)(turn, self.now)
        if before == OPEN or (before == HALF_OPEN and turn not in probing):
            assert self.breaker.state == before, "a stale verdict counted"
        if verdict == "broke" and before == HALF_OPEN:
            return  # only what is closed takes it: the probe goes on
        self.settle(turn)

    @rule(ok=st.booleans(), ago=st.sampled_from([0, 1, 20]))
    def observe(self, ok, ago):
        self.breaker.observed(ok, self.now - ago, self.now)
        self.settle(None)

    @invariant()
    def changes_are_known(self):
        assert set(self.changes) <= {(CLOSED, OPEN), (OPEN, HALF_OPEN), (HALF_OPEN, OPEN), (HALF_OPEN, CLOSED)}
        for (_, after), (before, _) in zip(self.changes, self.changes[1:], strict=False):
            assert after == before

    @invariant()
    def a_probe_keeps_others_out(self):
        if self.breaker.state == HALF_OPEN:
            assert self.breaker.allows(self.now) == (not self.probes)


TestInterleaved = Interleaved.TestCase
