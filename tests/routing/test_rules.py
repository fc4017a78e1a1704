import pytest

from routing.definitions import Provider, RequestFacts, Rule
from routing.rules import RuleSet


def facts(model="claude-sonnet", path="/v1/messages", headers=(), client="other", dialect="anthropic") -> RequestFacts:
    return RequestFacts(model, path, tuple(headers), client, dialect)


def matched(rule: Rule, request: RequestFacts) -> bool:
    """What `match` says; `explain` must say the same."""
    rules = RuleSet([rule])
    taken = rules.match(request) is rule
    (verdict,) = rules.explain(request)
    assert verdict.matched == verdict.taken == taken, verdict
    return taken


@pytest.mark.parametrize(
    ("conditions", "request_", "expected"),
    [
        ({}, facts(), True),
        ({}, facts(model=""), True),
        ({"model_pattern": "^claude-.*"}, facts(), True),
        ({"model_pattern": "^claude-.*"}, facts(model="my-claude-1"), False),
        ({"model_pattern": "claude"}, facts(model="my-claude-1"), True),
        ({"model_pattern": "^claude-"}, facts(model=""), False),
        ({"model_pattern": "(?i)^CLAUDE"}, facts(), True),
        ({"path_pattern": "^/v1/messages$"}, facts(), True),
        ({"path_pattern": "^/v1/messages$"}, facts(path="/v1/messages/count_tokens"), False),
        ({"client": "codex"}, facts(client="codex"), True),
        ({"client": "codex"}, facts(), False),
        ({"dialect": "openai"}, facts(), False),
        ({"dialect": "anthropic"}, facts(), True),
        ({"headers": (("X-Team", "^a$"),)}, facts(headers=[("x-team", "a")]), True),
        ({"headers": (("X-Team", "^a$"),)}, facts(headers=[("x-team", "b")]), False),
        ({"headers": (("X-Team", "^a$"),)}, facts(headers=[("x-team", "b"), ("x-team", "a")]), True),
        ({"headers": (("x-team", ""),)}, facts(headers=[("x-other", "a")]), False),
        ({"headers": (("a", "1"), ("b", "2"))}, facts(headers=[("a", "1")]), False),
        ({"headers": (("a", "1"), ("b", "2"))}, facts(headers=[("a", "1"), ("b", "2")]), True),
        ({"model_pattern": "claude", "client": "codex"}, facts(), False),
    ],
)
def test_it_takes_what_meets_all_its_conditions(conditions, request_, expected):
    assert matched(Rule("r", ("a",), **conditions), request_) == expected


def test_a_model_that_is_no_unicode_is_no_error():
    assert not matched(Rule("r", ("a",), model_pattern="."), facts(model="\ud800"))
    assert not matched(Rule("r", ("a",), headers=(("x", "."),)), facts(headers=[("x", "\udfff")]))


def test_the_highest_priority_goes_first_then_the_file_then_the_order_given():
    rules = [
        Rule("admin low", ("a",), source="admin"),
        Rule("file low 1", ("a",)),
        Rule("file low 2", ("a",)),
        Rule("admin high", ("a",), priority=5, source="admin"),
        Rule("file negative", ("a",), priority=-1),
    ]
    ordered = ["admin high", "file low 1", "file low 2", "admin low", "file negative"]
    assert [rule.name for rule in RuleSet(rules).rules] == ordered
    assert [rule.name for rule in RuleSet(rules).matching(facts())] == ordered


def test_a_disabled_rule_takes_nothing():
    rules = RuleSet([Rule("off", ("a",), priority=9, enabled=False, model_pattern="x"), Rule("on", ("a",))])
    assert rules.match(facts()).name == "on"
    assert not rules.needs_model


def test_without_a_match_there_is_none():
    assert RuleSet([Rule("r", ("a",), client="codex")]).match(facts()) is None
    assert RuleSet([]).match(facts()) is None


def test_the_same_request_again_gives_the_same():
    rules = RuleSet([Rule("c", ("a",), model_pattern="claude"), Rule("g", ("a",), model_pattern="gpt")])
    for _ in range(3):
        assert rules.match(facts()).name == "c"
        assert rules.match(facts(model="gpt-5")).name == "g"
        assert rules.match(facts(model="o3")) is None


def test_what_it_remembers_of_clients_is_bounded():
    rules = RuleSet([Rule("r", ("a",), model_pattern="m", headers=(("x", "v"),))])
    for number in range(3000):
        assert rules.match(facts(model=f"m{number}", headers=[("x", f"v{number}")]))
    rules.match(facts(model="m" * 100_000))
    assert len(rules._fitting) <= 1024
    assert all(len(model) < 1000 for model, _ in rules._fitting)
    assert len(rules._compiled[0].headers[0]._known) <= 256


@pytest.mark.parametrize(
    ("conditions", "needs"),
    [
        ({}, ""),
        ({"model_pattern": "x"}, "model"),
        ({"headers": (("x", "y"),)}, "headers"),
        ({"client": "codex"}, "client"),
        ({"path_pattern": "x", "dialect": "openai"}, ""),
    ],
)
def test_it_says_what_must_be_read(conditions, needs):
    rules = RuleSet([Rule("r", ("a",), **conditions)])
    assert [n for n in ("model", "headers", "client") if getattr(rules, f"needs_{n}")] == needs.split()


def test_it_explains_each_rule_in_words():
    rules = RuleSet(
        [
            Rule("model", ("a",), model_pattern="^claude-"),
            Rule("path", ("a",), path_pattern="^/v1/messages"),
            Rule("client", ("a",), client="claude-code"),
            Rule("dialect", ("a",), dialect="anthropic"),
            Rule("header", ("a",), headers=(("X-Team", "^a$"),)),
            Rule("off", ("a",), enabled=False),
            Rule("taken", ("a",), model_pattern="gpt", client="codex"),
            Rule("rest", ("a",)),
        ]
    )
    request = facts(model="gpt-5", path="/v1/responses", client="codex", dialect="openai", headers=[("x-team", "b")])
    assert [(v.rule.name, v.matched, v.taken, v.reason) for v in rules.explain(request)] == [
        ("model", False, False, "model gpt-5 does not match ^claude-"),
        ("path", False, False, "path /v1/responses does not match ^/v1/messages"),
        ("client", False, False, "client is codex, not claude-code"),
        ("dialect", False, False, "dialect is openai, not anthropic"),
        ("header", False, False, "header x-team does not match ^a$"),
        ("off", False, False, "it is disabled"),
        ("taken", True, True, "model matches gpt; client is codex"),
        ("rest", True, False, "it takes every request"),
    ]


def test_it_explains_that_a_header_or_a_model_is_not_there():
    rules = RuleSet([Rule("h", ("a",), headers=(("x", "y"),)), Rule("m", ("a",), model_pattern="x")])
    reasons = [verdict.reason for verdict in rules.explain(facts(model=""))]
    assert reasons == ["header x is not there", "the request names no model, which does not match x"]


def test_a_rule_that_nobody_can_serve_is_not_taken():
    rules = RuleSet([Rule("first", ("gone",), fallbacks=("off",)), Rule("second", ("a",))])
    first, second = rules.explain(facts(), serving={"a": Provider("a", "openai", "")})
    assert (first.matched, first.taken, second.taken) == (True, False, True)
    assert first.reason == "it takes every request; but none of its providers is enabled"


def test_a_bad_pattern_is_a_value_error_in_re2s_words():
    with pytest.raises(ValueError, match=r"RE2.*missing \]"):
        RuleSet([Rule("r", ("a",), model_pattern="[a")])
