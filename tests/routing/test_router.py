import pytest

from routing.board import Board
from routing.definitions import Provider, RequestFacts, Rule
from routing.router import Router
from routing.rules import RuleSet

FACTS = RequestFacts("claude-sonnet", "/v1/messages", (), "other", "anthropic")
PROVIDERS = {
    name: Provider(name, "anthropic", f"http://{name}", enabled=name != "off") for name in ("a", "b", "c", "off")
}


def router(*rules: Rule, board: Board | None = None, providers=PROVIDERS) -> Router:
    return Router(RuleSet(rules), providers, board or Board())


def order(of: Router, **options) -> str:
    return "".join(provider.name for provider in of.decide(FACTS, **options).providers)


@pytest.fixture
def board() -> Board:
    return Board(clock=lambda: 0.0, wall=lambda: 0.0)


def rest(board: Board, name: str) -> None:
    board.ask(name).answered(429, ())


def test_primary_asks_as_listed_then_the_fallbacks(board):
    rule = Rule("r", ("b",), fallbacks=("c", "a"), model_pattern="^claude-", backoff_base_secs=7)
    decision = router(rule, board=board).decide(FACTS)
    assert [provider.name for provider in decision.providers] == ["b", "c", "a"]
    assert (decision.rule, decision.strategy, decision.backoff_base_secs) == ("r", "primary", 7)
    assert decision.why == "rule 'r': model matches ^claude-"
    rest(board, "b")
    assert order(router(rule, board=board)) == "bca", "the board says who is out, not the order"


def test_weights_give_each_its_share(board):
    routes = router(Rule("r", ("a", "b"), "weighted_round_robin", weights=(3, 1), fallbacks=("c",)), board=board)
    assert sorted(order(routes) for _ in range(4)) == ["abc", "abc", "abc", "bac"]


def test_round_robin_goes_round_those_that_are_there(board):
    routes = router(Rule("r", ("a", "b", "c"), "round_robin"), board=board)
    rest(board, "b")
    assert [order(routes) for _ in range(4)] == ["acb", "cab", "acb", "cab"]


def test_limits_alternative_asks_its_own_then_the_alternatives_then_the_fallbacks():
    rule = Rule("r", ("a",), "limits_alternative", alternatives=("b",), fallbacks=("c",))
    decision = router(rule).decide(FACTS)
    assert [provider.name for provider in decision.providers] == ["a", "b", "c"]
    assert decision.alternatives == {"b"}


def test_disabled_providers_are_left_out():
    assert order(router(Rule("r", ("off", "a"), fallbacks=("off", "b")))) == "ab"
    assert order(router(Rule("r", ("off",), fallbacks=("b",)))) == "b"
    weighted = Rule("r", ("off", "a", "b"), "weighted_round_robin", weights=(98, 1, 1))
    assert {order(weights) for weights in [router(weighted)] for _ in range(2)} == {"ab", "ba"}


def test_a_rule_that_nobody_can_serve_is_passed_over():
    routes = router(Rule("first", ("off",)), Rule("second", ("a",)))
    assert routes.decide(FACTS).rule == "second"
    assert [verdict.taken for verdict in routes.explain(FACTS)] == [False, True]
    assert router(Rule("first", ("off", "gone"))).decide(FACTS) is None


def test_without_a_rule_that_matches_nothing_is_decided():
    assert router(Rule("r", ("a",), client="codex")).decide(FACTS) is None


def test_a_marker_beats_the_rules_and_is_asked_alone():
    decision = router(Rule("r", ("a",), fallbacks=("b",))).decide(FACTS, marker="c")
    assert [provider.name for provider in decision.providers] == ["c"]
    assert (decision.rule, decision.why) == ("", "the marker [LUNAROUTE:c] names it")


@pytest.mark.parametrize("marker", ["off", "nobody"])
def test_a_marker_that_names_nobody_leaves_it_to_the_rules(marker):
    assert router(Rule("r", ("a",))).decide(FACTS, marker=marker).rule == "r"
    assert router().decide(FACTS, marker=marker) is None


def test_a_marker_needs_no_rule():
    assert order(router(), marker="b") == "b"


def test_a_change_of_other_rules_does_not_begin_a_rotation_anew(board):
    rule = Rule("r", ("a", "b"), "round_robin")
    assert order(router(rule, board=board)) == "ab"
    changed = router(Rule("new", ("c",), client="codex"), Rule("r", ("a", "b"), "round_robin", priority=4), board=board)
    assert order(changed) == "ba"
    other_weights = Rule("r", ("a", "b"), "weighted_round_robin", weights=(2, 1))
    assert order(router(other_weights, board=board)) == "ab"


def test_a_look_takes_no_turn(board):
    routes = router(Rule("r", ("a", "b"), "round_robin"), board=board)
    assert {order(routes, peek=True) for _ in range(5)} == {"ab"}
    assert order(routes) == "ab"


def test_rotations_of_providers_that_are_no_more_are_forgotten(board):
    router(Rule("r", ("a", "b"), "round_robin"), Rule("s", ("a", "c"), "round_robin"), board=board)
    board.keep(["a", "c"])
    assert [key[0] for key in board.rotations] == ["s"]
