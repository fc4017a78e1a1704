"""What file and database give together."""

import pytest
from django.db import connection

from routing import keys, live, shared, sources
from routing.board import Board, Rest
from routing.definitions import FROM_ADMIN, Provider, Rule
from routing.models import Provider as ProviderRow
from routing.models import Rest as RestRow
from routing.models import Rule as RuleRow
from routing.router import Router
from routing.rules import RuleSet
from tests.support.server import eventually

pytestmark = pytest.mark.usefixtures("both_databases", "home")
FILE = {"anthropic": Provider("anthropic", "anthropic", "https://api.anthropic.com")}
RULE = Rule("from-file", ("anthropic",), model_pattern="^claude-")


def provider(name: str = "backup", **values) -> ProviderRow:
    return ProviderRow.objects.create(**{"name": name, "provider_type": "openai", "base_url": "http://h/v1", **values})


def rule(name: str = "r", **values) -> RuleRow:
    return RuleRow.objects.create(**{"name": name, "providers": ["backup"], "model_pattern": "^gpt", **values})


def test_what_the_database_has_stands_beside_the_files():
    provider()
    rule(priority=5)
    found = sources.load(FILE, [RULE])
    assert list(found.providers) == ["anthropic", "backup"]
    assert [r.name for r in found.rules] == ["from-file", "r"]
    assert (found.providers["backup"].source, found.rules[1].source) == (FROM_ADMIN, FROM_ADMIN)
    assert [r.name for r in RuleSet(found.rules).rules] == ["r", "from-file"]
    assert (found.warnings, found.is_complete) == ((), True)


def test_a_rule_of_the_admin_may_name_a_provider_of_the_file():
    rule(providers=["anthropic"])
    assert sources.load(FILE, []).rules[0].providers == ("anthropic",)


def test_names_of_the_file_win():
    provider("anthropic")
    rule("from-file", providers=["anthropic"])
    found = sources.load(FILE, [RULE])
    assert found.providers == FILE
    assert found.rules == (RULE,)
    assert ["left out: the configuration file has one" in warning for warning in found.warnings] == [True, True]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"base_url": "ftp://h"}, "base_url"),
        ({"base_url": "http://localhost:8081"}, "own address"),
        ({"provider_type": "latin"}, "provider_type"),
        ({"request_headers": [["X", "a\r\nb"]]}, "request_headers"),
        ({"request_headers": "text"}, "expected a list"),
        ({"body_defaults": [1]}, "body_defaults"),
        ({"prepend_messages": [1]}, "prepend_messages"),
        ({"model_map": [["a"]]}, "left out"),
        ({"timeout_secs": -1}, "timeout_secs"),
        ({"switch_notification": "${user}"}, "switch_notification"),
    ],
)
def test_a_provider_that_cannot_be_used_is_left_out_and_said(values, words):
    provider(**values)
    provider("good")
    found = sources.load({}, [])
    assert list(found.providers) == ["good"]
    assert "'backup'" in found.warnings[0]
    assert words in found.warnings[0]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"model_pattern": "("}, "model_pattern"),
        ({"providers": ["nobody"]}, "'nobody'"),
        ({"providers": "text"}, "expected a list"),
        ({"providers": []}, "providers"),
        ({"weights": ["a"], "strategy": "weighted_round_robin"}, "whole numbers"),
        ({"strategy": "random"}, "strategy"),
        ({"headers": [["x", "["]]}, "headers"),
    ],
)
def test_a_rule_that_cannot_be_used_is_left_out_and_said(values, words):
    provider()
    rule(**values)
    rule("good")
    found = sources.load({}, [])
    assert [r.name for r in found.rules] == ["good"]
    assert words in found.warnings[0]


def test_a_provider_whose_key_cannot_be_read_is_not_asked(home):
    row = provider()
    row.set_key("sk-secret")
    row.save()
    rule()
    (home / keys.FILE).unlink()
    found = sources.load(FILE, [])
    assert not found.providers["backup"].enabled
    assert found.providers["backup"].api_key == ""
    assert "is missing" in found.warnings[0]
    assert "none of its providers is enabled" in found.rule_warnings["r"]


def test_a_database_that_cannot_be_read_changes_nothing(caplog):
    provider()
    before = sources.load(FILE, [RULE])
    with connection.execute_wrapper(_broken):
        after, first = sources.load(FILE, [RULE], before), sources.load(FILE, [RULE])
    assert (after.providers, after.rules, after.is_complete) == (before.providers, before.rules, False)
    assert (first.providers, first.rules, first.is_complete) == (FILE, (RULE,), False)
    assert "the disk is gone" in after.warnings[0]
    with connection.execute_wrapper(_broken):
        again = sources.load(FILE, [RULE], after)
    assert len(again.warnings) == 1


def test_a_reset_reaches_a_process_when_it_loads(home):
    board = Board()
    RestRow.objects.create(provider="anthropic", until=9e9, why="w", limits=1)

    def load() -> None:
        found = sources.load(FILE, [])
        live.serve(board, Router(RuleSet(found.rules), found.providers, board), found)

    sources.reset("anthropic")  # long before this process began
    load()
    board.restore_rests({"anthropic": Rest(board.wall() + 60, "w")})
    load()
    assert not board.available("anthropic")
    sources.reset("anthropic")
    assert not board.available("anthropic")
    load()
    assert board.available("anthropic")
    assert not RestRow.objects.exists()


def test_a_rest_outlives_a_restart():
    board, name = Board(), "anthropic"
    board.ask(name).answered(429, [(b"retry-after", b"120")])
    shared.keep(name, board.rests()[name])
    next_one = Board()
    shared.restore(next_one)
    state = next_one.state(name)
    assert state.out == "resting"
    assert abs(state.rest_until - board.state(name).rest_until) < 5
    assert "429" in state.rest_why
    shared.keep(name, None)
    assert not RestRow.objects.exists()


def test_a_rest_that_is_over_is_not_taken_up():
    RestRow.objects.create(provider="anthropic", until=1000.0, why="w", limits=1)
    board = Board()
    shared.restore(board)
    assert board.available("anthropic")


def test_rests_that_cannot_be_read_stop_nothing(caplog):
    with connection.execute_wrapper(_broken):
        shared.restore(Board())
    assert "the disk is gone" in caplog.text


def _broken(execute, sql, parameters, many, context):
    from django.db import OperationalError

    raise OperationalError("the disk is gone")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_keeper_writes_what_the_board_tells(monkeypatch):
    written = {}
    monkeypatch.setattr(shared, "keep", written.__setitem__)
    board = Board()
    keeper = shared.Keeper(board)
    board.on_rest_changed = keeper.rest_changed
    board.ask("a").answered(429, [(b"retry-after", b"60")])
    eventually(lambda: "a" in written, "a rest")
    board.reset("a")
    keeper.stop()
    assert written == {"a": None}
