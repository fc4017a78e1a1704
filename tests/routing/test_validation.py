import hypothesis.strategies as st
import pytest
from hypothesis import given

from routing.board import Board
from routing.definitions import Provider, RequestFacts, Rule
from routing.router import Router
from routing.rules import RuleSet
from routing.validation import problems_of, warnings_of

NAMES = {"a", "b", "c"}
PROVIDERS = {
    "a": Provider("a", "anthropic", "http://a"),
    "b": Provider("b", "openai", "http://b"),
    "off": Provider("off", "openai", "http://off", enabled=False),
}


@pytest.mark.parametrize(
    "rule",
    [
        Rule("r", ("a",)),
        Rule("r", ("a",), fallbacks=("b", "c"), model_pattern="^x", headers=(("X-Y", "z"),)),
        Rule("r", ("a", "b"), strategy="weighted_round_robin", weights=(80, 20)),
        Rule("r", ("a", "b"), strategy="weighted_round_robin", weights=(1, 0)),
        Rule("r", ("a",), strategy="limits_alternative", alternatives=("b",), fallbacks=("c",)),
        Rule("r", ("a", "b"), strategy="round_robin", client="opencode", dialect="openai"),
    ],
)
def test_a_good_rule_has_no_problems(rule):
    assert problems_of(rule, NAMES) == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": ""}, "name: expected 1 to 100 characters, without control characters"),
        ({"name": "a\nb"}, "name: expected 1 to 100 characters, without control characters"),
        ({"providers": ()}, "providers: expected at least one"),
        ({"providers": ("x",)}, "providers: expected one of a, b, c, got 'x'"),
        ({"fallbacks": ("x",)}, "fallbacks: expected one of a, b, c, got 'x'"),
        ({"fallbacks": ("b", "a")}, "fallbacks: 'a' is named twice; each provider is asked once"),
        ({"providers": ("a", "a")}, "providers: 'a' is named twice; each provider is asked once"),
        ({"strategy": "random"}, "strategy: expected one of primary, round_robin, "),
        ({"client": "vim"}, "client: expected one of claude-code, codex, opencode, other, got 'vim'"),
        ({"dialect": "gemini"}, "dialect: expected one of anthropic, openai, got 'gemini'"),
        ({"model_pattern": "(x"}, "model_pattern: expected a regular expression (RE2): missing ): (x"),
        ({"path_pattern": "x**"}, "path_pattern: expected a regular expression (RE2): bad repetition operator: **"),
        ({"path_pattern": "(?=x)"}, "path_pattern: expected a regular expression (RE2): "),
        ({"headers": (("x-a", "["),)}, "headers: x-a: expected a regular expression (RE2): missing ]: ["),
        ({"headers": (("x a", "y"),)}, "headers: expected the name of a header, got 'x a'"),
        ({"headers": (("", "y"),)}, "headers: expected the name of a header, got ''"),
        ({"weights": (1,)}, "weights: only the strategy weighted_round_robin has any"),
        ({"alternatives": ("b",)}, "alternatives: only the strategy limits_alternative has any"),
        ({"strategy": "weighted_round_robin"}, "weights: expected one for each provider (1), got 0"),
        ({"strategy": "weighted_round_robin", "weights": (0,)}, "weights: expected whole numbers from 0 on, and"),
        ({"strategy": "weighted_round_robin", "weights": (-1,)}, "weights: expected whole numbers from 0 on, and"),
        ({"backoff_base_secs": 0}, "backoff_base_secs: expected seconds above 0"),
        ({"backoff_base_secs": float("nan")}, "backoff_base_secs: expected seconds above 0"),
    ],
)
def test_it_says_what_is_wrong(changes, problem):
    rule = Rule(**{"name": "r", "providers": ("a",), **changes})
    problems = problems_of(rule, NAMES)
    assert any(found.startswith(problem) for found in problems), problems


def test_each_problem_is_said():
    assert len(problems_of(Rule("", (), model_pattern="[", client="x", backoff_base_secs=-1), set())) == 5


NAME = st.sampled_from(["a", "b", "c", "x", ""]) | st.text(max_size=5)
PATTERN = st.sampled_from(["", "^a", "(", "\ud800", "a{1001}"]) | st.text(max_size=8)
RULES = st.builds(
    Rule,
    name=NAME,
    providers=st.lists(NAME, max_size=4).map(tuple),
    strategy=st.sampled_from(["primary", "round_robin", "weighted_round_robin", "limits_alternative", "x"]),
    fallbacks=st.lists(NAME, max_size=2).map(tuple),
    weights=st.lists(st.integers(-1, 5), max_size=4).map(tuple),
    alternatives=st.lists(NAME, max_size=2).map(tuple),
    backoff_base_secs=st.floats(),
    model_pattern=PATTERN,
    path_pattern=PATTERN,
    headers=st.lists(st.tuples(NAME, PATTERN), max_size=2).map(tuple),
    client=st.sampled_from(["", "codex", "x"]),
)


@given(RULES)
def test_a_rule_is_served_or_has_problems_and_nothing_raises(rule):
    problems = problems_of(rule, NAMES)
    if not problems:
        providers = {name: Provider(name, "openai", "http://x") for name in NAMES}
        rules = RuleSet([rule])
        warnings_of([rule], providers)
        decision = Router(rules, providers, Board()).decide(RequestFacts("a", "/v1", (), "codex", "openai"))
        assert decision is None or len(decision.providers) == len(rule.all_providers())


@pytest.mark.parametrize(
    ("rules", "warned"),
    [
        (
            [Rule("r", ("off",), fallbacks=("gone",))],
            "It takes no request: none of its providers is enabled (off, gone).",
        ),
        ([Rule("all", ("a",)), Rule("r", ("b",), model_pattern="x")], "'all' comes before it and takes all of them"),
        ([Rule("all", ("a",), model_pattern="^.*$"), Rule("r", ("b",), client="codex")], "'all' comes before it"),
        (
            [Rule("same", ("a",), model_pattern="x"), Rule("r", ("b",), model_pattern="x")],
            "'same' comes before it",
        ),
        (
            [Rule("wider", ("a",), model_pattern="x"), Rule("r", ("b",), model_pattern="x", client="codex")],
            "'wider' comes before it",
        ),
        ([Rule("r", ("a",)), Rule("high", ("b",), priority=3)], "'high' comes before it"),
        ([Rule("r", ("a",), path_pattern="^/v1/messages", dialect="openai")], "/v1/messages is anthropic's"),
        ([Rule("r", ("a",), path_pattern="^/v1/responses$", dialect="anthropic")], "/v1/responses is openai's"),
    ],
)
def test_it_warns_of_a_rule_that_takes_nothing(rules, warned):
    ((rule, text),) = warnings_of(rules, PROVIDERS)
    assert rule.name == "r"
    assert warned in text


@pytest.mark.parametrize(
    "rules",
    [
        [Rule("narrow", ("a",), model_pattern="x", client="codex"), Rule("wide", ("b",), model_pattern="x")],
        [Rule("nobody", ("off",)), Rule("r", ("a",), model_pattern="x")][1:],
        [Rule("disabled", ("a",), enabled=False), Rule("r", ("b",))],
        [Rule("x", ("a",), model_pattern="x"), Rule("y", ("a",), model_pattern="y")],
        [Rule("r", ("off", "a"))],
        [Rule("r", ("a",), path_pattern="^/v1/models", dialect="anthropic")],
        [Rule("r", ("a",), path_pattern="^/v1/messages", dialect="anthropic")],
        [Rule("r", ("a",), path_pattern="^/v1/(messages|responses)", dialect="openai")],
        [Rule("h1", ("a",), headers=(("x", "1"),)), Rule("h2", ("a",), headers=(("x", "2"),))],
    ],
)
def test_it_does_not_warn_of_what_may_take_something(rules):
    assert warnings_of(rules, PROVIDERS) == []


def test_a_rule_that_nobody_serves_hides_none():
    rules = [Rule("nobody", ("off",)), Rule("r", ("a",))]
    assert [rule.name for rule, _ in warnings_of(rules, PROVIDERS)] == ["nobody"]
