import pytest

from routing.board import FAILURES, LATER, Board, Rest, Settings
from routing.breaker import CLOSED, OPEN

QUOTA = [(b"Anthropic-RateLimit-Requests-Remaining", b"3"), (b"content-type", b"application/json")]


class Clocks:
    """A monotonic clock and a wall clock that go together."""

    def __init__(self) -> None:
        self.now = 100.0

    def clock(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + 1_000_000


class Heard:
    def __init__(self) -> None:
        self.changes, self.limits = [], []

    def breaker_changed(self, provider, before, after):
        self.changes.append((provider, before, after))

    def rate_limited(self, provider, seconds):
        self.limits.append((provider, seconds))


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def board(clocks, heard) -> Board:
    return Board(clock=clocks.clock, wall=clocks.wall, tell=heard)


def answer(board: Board, status: int, headers=(), name: str = "a", **options) -> str:
    return board.ask(name, **options).answered(status, headers)


def break_it(board: Board, name: str = "a") -> None:
    for _ in range(3):
        answer(board, 500, name=name)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (200, ""),
        (101, ""),
        (301, ""),
        (400, ""),
        (401, ""),
        (404, ""),
        (429, "rate_limited"),
        (500, "server_error"),
        (502, "server_error"),
        (503, "overloaded"),
        (504, "server_error"),
        (529, "overloaded"),
    ],
)
def test_it_says_why_the_next_one_is_asked(board, status, reason):
    ticket = board.ask("a")
    assert ticket.answered(status, ()) == reason
    assert ticket.answered(200, ()) == reason, "the first verdict counts"


def test_failures_in_a_row_open_the_breaker(board, heard):
    break_it(board)
    assert board.ask("a") is None
    assert not board.available("a")
    assert board.why_out("a") == "breaker_open"
    assert heard.changes == [("a", CLOSED, OPEN)]


@pytest.mark.parametrize("kind", FAILURES)
def test_what_failed_on_the_way_counts(board, kind):
    for _ in range(3):
        assert board.ask("a").failed(kind) == kind
    assert board.ask("a") is None


@pytest.mark.parametrize("kind", ["client_disconnected", "shutdown", "internal", "request_too_large"])
def test_what_the_provider_has_no_part_in_does_not_count(board, kind):
    for _ in range(5):
        assert board.ask("a").failed(kind) == ""
    assert board.ask("a") is not None
    assert board.state("a").success_rate is None


@pytest.mark.parametrize("status", [400, 401, 404, 422])
def test_a_clients_mistakes_are_no_failures(board, status):
    for _ in range(5):
        answer(board, status)
    assert board.state("a").success_rate == 1
    assert board.available("a")


def test_after_thirty_seconds_one_probe_goes_through(board, clocks):
    break_it(board)
    clocks.now += 30
    probe = board.ask("a")
    assert board.ask("a") is None
    assert board.why_out("a") == "probing"
    probe.answered(200, ())
    assert board.state("a").breaker == "half_open"
    answer(board, 200)
    assert board.state("a").breaker == "closed"


def test_a_client_that_leaves_gives_the_probe_back(board, clocks):
    break_it(board)
    clocks.now += 30
    ticket = board.ask("a")
    ticket.cancelled()
    ticket.cancelled()
    assert board.ask("a") is not None


def test_a_probe_that_meets_a_limit_is_no_verdict(board, clocks):
    break_it(board)
    clocks.now += 30
    answer(board, 429, [(b"retry-after", b"5")])
    assert board.why_out("a") == "resting"
    clocks.now += 5
    assert board.state("a").breaker == "half_open"
    assert board.ask("a") is not None


def test_only_the_first_verdict_of_a_failed_one_counts(board):
    ticket = board.ask("a")
    for _ in range(5):
        ticket.failed("upstream_reset")
        ticket.answered(500, ())
        ticket.cancelled()
    assert board.state("a").failed == 1
    assert board.available("a")


def test_a_finished_ticket_is_not_cancelled(board):
    ticket = board.ask("a")
    ticket.answered(200, ())
    ticket.cancelled()
    assert board.state("a").served == 1


def test_answers_that_break_off_open_the_breaker(board):
    for _ in range(3):
        ticket = board.ask("a")
        assert ticket.answered(200, ()) == ""
        assert ticket.failed("upstream_broken") == "upstream_broken"
        ticket.failed("upstream_broken")
    assert board.ask("a") is None
    assert board.state("a").failed == 3


def test_a_limit_lets_it_rest_as_long_as_it_asks(board, clocks, heard):
    answer(board, 429, [(b"Retry-After", b"20")])
    assert board.ask("a") is None
    assert board.why_out("a") == "resting"
    clocks.now += 19.9
    assert not board.available("a")
    clocks.now += 0.1
    assert board.ask("a") is not None
    assert heard.limits == [("a", 20)]


def test_limits_do_not_open_the_breaker(board, clocks):
    for _ in range(5):
        answer(board, 429, [(b"retry-after", b"1")])
        clocks.now += 1
    assert board.state("a").breaker == "closed"


def test_limits_in_a_row_double_the_rest(board, clocks, heard):
    for seconds in (60, 120, 240):
        answer(board, 429)
        clocks.now += seconds
    answer(board, 200)
    answer(board, 429)
    assert [seconds for _, seconds in heard.limits] == [60, 120, 240, 60]


def test_the_rule_says_what_a_rest_begins_with(board, heard):
    answer(board, 429, backoff_base_secs=7)
    assert heard.limits == [("a", 7)]


def test_many_at_once_meet_one_limit(board, clocks):
    tickets = [board.ask("a") for _ in range(10)]
    clocks.now += 1
    for ticket in tickets:
        ticket.answered(429, ())
    assert board.rests()["a"].limits == 1
    assert board.rests()["a"].until == clocks.wall() + 60


def test_an_early_answer_does_not_end_a_rest(board, clocks):
    early = board.ask("a")
    clocks.now += 1
    answer(board, 429)
    clocks.now += 1
    early.answered(200, ())
    assert board.why_out("a") == "resting"


def test_an_answer_to_one_who_insisted_ends_the_rest(board):
    answer(board, 429)
    answer(board, 200, force=True)
    assert board.available("a")


@pytest.mark.parametrize(("headers", "rests"), [([], False), ([(b"retry-after", b"9")], True)])
def test_an_unavailable_one_rests_if_it_says_for_how_long(board, headers, rests):
    answer(board, 503, headers)
    assert (board.why_out("a") == "resting") == rests


def test_an_overloaded_one_rests_shortly_and_counts_as_failed(board, clocks, heard):
    for _ in range(3):
        answer(board, 529)
        clocks.now += 60
    assert heard.limits == [("a", 5), ("a", 10), ("a", 20)]
    assert heard.changes[0] == ("a", CLOSED, OPEN)


def test_one_who_insists_gets_a_ticket_that_is_no_probe(board, clocks):
    break_it(board)
    assert answer(board, 200, force=True) == ""
    assert board.state("a").breaker == "open"
    clocks.now += 30
    probe = board.ask("a")
    forced = board.ask("a", force=True)
    forced.cancelled()
    assert board.ask("a") is None, "the probe is still under way"
    probe.cancelled()
    assert board.ask("a") is not None


def test_the_one_that_is_back_first_is_asked(board, clocks):
    answer(board, 429, [(b"retry-after", b"50")], name="a")
    answer(board, 429, [(b"retry-after", b"10")], name="b")
    break_it(board, "c")
    assert board.soonest(["a", "b", "c"]) == "b"
    assert board.soonest(["a", "c"]) == "c"
    assert board.soonest(["a", "new", "newer"]) == "new"
    clocks.now += 100
    assert board.soonest(["a", "b", "c"]) == "a"


def test_passthrough_is_counted_and_never_refused(board, clocks):
    for _ in range(5):
        board.note("a", False)
    state = board.state("a")
    assert (state.breaker, state.success_rate, state.failed) == ("open", 0, 5)
    clocks.now += 30
    board.note("a", True, begun=1.0)
    assert board.state("a").breaker == "open", "it went out before the breaker opened"
    board.note("a", True)
    board.note("a", True)
    assert board.state("a").breaker == "closed"


def test_a_success_in_passthrough_ends_a_row(board):
    for ok in (False, False, True, False, False):
        board.note("a", ok)
    assert board.state("a").breaker == "closed"


def test_states_say_all_that_is_known(board, clocks):
    answer(board, 200, QUOTA)
    clocks.now += 1
    answer(board, 429, [(b"retry-after", b"30")])
    (state,) = board.states()
    assert (state.name, state.out, state.breaker, state.health) == ("a", "resting", "closed", "unknown")
    assert (state.served, state.failed, state.limited, state.success_rate) == (1, 0, 1, 0.5)
    assert (state.rest_until, state.rest_why) == (clocks.wall() + 30, "it answered 429 (rate limited)")
    assert [(quota.name, quota.remaining) for quota in state.quotas] == [("requests", 3)]
    assert state.quotas_at == clocks.wall() - 1


def test_a_state_says_when_the_breaker_opens(board, clocks):
    break_it(board)
    clocks.now += 10
    assert board.state("a").breaker_until == clocks.wall() + 20


def test_an_unknown_name_is_not_remembered_by_looking(board):
    assert board.state("x").breaker == "closed"
    assert board.available("x")
    assert board.why_out("x") == ""
    assert board.states() == ()


def test_reset_closes_the_breaker_and_ends_the_rest(board, heard):
    ticket = board.ask("a")
    break_it(board)
    answer(board, 429, force=True)
    board.reset("a")
    assert board.available("a")
    assert heard.changes[-1] == ("a", OPEN, CLOSED)
    for _ in range(3):
        ticket.failed("upstream_reset")
    assert board.available("a")
    assert board.rests() == {}
    board.reset("never heard of")


def test_what_was_under_way_has_no_say_after_a_reset(board, heard):
    tickets = [board.ask("a") for _ in range(5)]
    board.reset("a")
    for ticket in tickets:
        ticket.answered(500, ())
    assert board.available("a")
    assert heard.changes == []


def test_rests_survive_a_restart(board, clocks):
    answer(board, 429, [(b"retry-after", b"100")])
    answer(board, 429, [(b"retry-after", b"10")], name="b")
    kept = board.rests()
    clocks.now += 20
    other = Clocks()
    other.wall = clocks.wall
    new = Board(clock=other.clock, wall=other.wall)
    new.restore_rests(kept)
    assert new.why_out("a") == "resting"
    assert new.available("b")
    assert new.rests() == {"a": Rest(clocks.wall() + 80, "it answered 429 (rate limited)", 1)}
    other.now += 80
    assert new.available("a")


def test_a_kept_rest_does_not_shorten_one_and_lasts_a_day_at_most(board, clocks):
    answer(board, 429, [(b"retry-after", b"100")])
    board.restore_rests({"a": Rest(clocks.wall() + 50, "earlier"), "b": Rest(clocks.wall() + 1e9, "odd clock")})
    rests = board.rests()
    assert rests["a"].until == clocks.wall() + 100
    assert rests["b"].until == clocks.wall() + 86_400


def test_it_tells_that_a_rest_has_changed(clocks):
    changed = []
    board = Board(clock=clocks.clock, wall=clocks.wall, on_rest_changed=changed.append)
    answer(board, 200)
    board.reset("a")
    assert changed == []
    answer(board, 429)
    answer(board, 200, force=True)
    answer(board, 200)
    assert changed == ["a", "a"]


def test_what_is_no_more_is_forgotten(board):
    for name in "abc":
        answer(board, 200, name=name)
    board.keep(["b"])
    assert [state.name for state in board.states()] == ["b"]


def test_settings_are_those_of_every_provider(clocks):
    settings = Settings(failure_threshold=1, timeout_secs=5, success_threshold=1, min_requests=2, healthy_threshold=0.4)
    board = Board(settings, clocks.clock, clocks.wall)
    answer(board, 500)
    assert board.ask("a") is None
    clocks.now += 5
    answer(board, 200)
    assert (board.state("a").breaker, board.state("a").health) == ("closed", "healthy")


# -- what other processes have found out ----------------------------------------------------------------------------


@pytest.fixture
def other(clocks) -> Board:
    """The board of another process."""
    return Board(clock=clocks.clock, wall=clocks.wall)


def test_a_breaker_that_another_process_has_opened_is_open_here_as_long(board, other, clocks, heard):
    break_it(other)
    board.follow({}, other.trips())
    assert board.why_out("a") == "breaker_open"
    clocks.now += 30
    assert other.available("a"), "who found it out tries first"
    assert not board.available("a")
    clocks.now += LATER
    assert board.available("a"), "for want of news each asks for itself"
    assert heard.changes == [], "nothing of it has happened here"


def test_who_opened_a_breaker_does_not_wait_for_itself(other, clocks):
    break_it(other)
    until = other.state("a").breaker_until
    for _ in range(3):
        other.follow({}, other.trips())  # what all have found out holds its own
    assert other.state("a").breaker_until == until


def test_a_probe_that_fails_keeps_the_others_away_until_the_next(board, other, clocks):
    break_it(other)
    board.follow({}, other.trips())
    for _ in range(3):
        clocks.now += 30
        assert other.available("a")
        answer(other, 500)
        board.follow({}, other.trips())
        clocks.now += LATER / 2
        assert not board.available("a")
        clocks.now -= LATER / 2


def test_it_is_closed_here_when_the_other_has_closed_it(board, other, clocks):
    break_it(other)
    board.follow({}, other.trips())
    clocks.now += 30
    answer(other, 200)
    answer(other, 200)
    assert other.trips() == {}
    board.follow({}, other.trips())
    assert board.state("a").breaker == "closed"
    break_it(board)
    board.follow({}, {})
    assert board.state("a").breaker == "open", "what is found out here stays until somebody else's end of it"


def test_a_rest_of_another_process_begins_and_ends_here_too(board, other, clocks):
    answer(other, 429, [(b"retry-after", b"50")])
    board.follow(other.rests(), {})
    assert board.why_out("a") == "resting"
    board.follow({}, {})
    assert board.available("a")


def test_who_tells_others_hears_of_opening_and_closing_only(board, clocks):
    told = []
    board.on_trip_changed = lambda name: told.append((name, name in board.trips()))
    break_it(board)
    clocks.now += 30
    answer(board, 200)
    answer(board, 200)
    assert told == [("a", True), ("a", False)]
    break_it(board)
    board.reset("a")
    assert told[2:] == [("a", True), ("a", False)]


def test_a_clock_that_is_off_keeps_nobody_out_for_long(board, clocks):
    board.follow({}, {"a": clocks.wall() + 1e9})
    clocks.now += 30 + LATER
    assert board.available("a")
