"""What the page of routing and the API say, asked for by Django's own client, with a board that has seen something."""

import time

import pytest
from django.test import Client
from django.utils import timezone

from lunaroute_site.config_routing import Routing
from lunaroute_site.config_routing import Rule as FileRule
from routing import live, sources
from routing.board import Board
from routing.models import Provider, Rule
from routing.router import Router
from routing.rules import RuleSet

pytestmark = [pytest.mark.usefixtures("both_databases", "home")]


@pytest.fixture
def board(settings) -> Board:
    """The board of a process that serves: two providers of the file, one of the admin, three rules."""
    rules = Routing(
        rules=(FileRule(name="of-the-file", primary="anthropic", fallbacks=("openai",), model_pattern="^claude-"),)
    )
    settings.LUNAROUTE = settings.LUNAROUTE.model_copy(update={"routing": rules})
    row = Provider(
        name="local",
        provider_type="openai",
        base_url="http://u:pa55word@h/v1",
        model_map=[["a*", "b"]],
        openai_api="chat",
    )
    row.set_key("sk-hidden")
    row.save()
    Rule.objects.create(
        name="weighted", providers=["local", "openai"], weights=[3, 1], strategy="weighted_round_robin", priority=9,
        headers=[["x-project-id", "^big"]],
    )  # fmt: skip
    Rule.objects.create(name="late", providers=["local"], model_pattern="^claude-")
    found, board = sources.load(*sources.from_configuration()), Board()
    live.serve(board, Router(RuleSet(found.rules), found.providers, board), found)
    return board


def page(**asked: str) -> str:
    answer = Client().get("/ui/routing", asked, headers={"host": "localhost"})
    assert answer.status_code == 200
    assert "pa55word" not in answer.content.decode()
    assert "sk-hidden" not in answer.content.decode()
    return answer.content.decode()


def listed(address: str) -> dict[str, dict]:
    answer = Client().get(address, headers={"host": "localhost"})
    assert answer.status_code == 200
    assert b"pa55word" not in answer.content
    assert b"sk-hidden" not in answer.content
    return {row["name"]: row for row in answer.json()}


def test_the_page_shows_rests_breakers_health_and_quotas(board):
    headers = [
        (b"retry-after", b"600"),
        (b"anthropic-ratelimit-requests-limit", b"50"),
        (b"anthropic-ratelimit-requests-remaining", b"0"),
        (b"anthropic-ratelimit-unified-5h-utilization", b"0.63"),
        (b"anthropic-ratelimit-tokens-reset", b"9999-12-31T23:59:59Z"),
    ]
    board.ask("anthropic").answered(429, headers)
    for _ in range(3):
        board.ask("local").failed("upstream_connect")
    for _ in range(20):
        board.note("openai", False)
    with timezone.override("Pacific/Kiritimati"):  # where the calendar ends before it does in UTC
        text = page()
    for words in ("it answered 429 (rate limited)", "0 of 50 left", "37 % left", "breaker open", "unhealthy"):
        assert words in text


def test_the_api_says_how_each_provider_fares(board):
    board.ask("anthropic").answered(429, [(b"retry-after", b"600"), (b"x-ratelimit-remaining-requests", b"3")])
    found = listed("/api/providers")
    assert [(p["name"], p["source"]) for p in found.values()] == [
        ("anthropic", "file"), ("openai", "file"), ("local", "admin")
    ]  # fmt: skip
    now = found["anthropic"]["now"]
    assert (now["out"], now["breaker"], now["limited"]) == ("resting", "closed", 1)
    assert "429" in now["rest_why"]
    assert now["rest_until"] > time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    assert now["quotas"] == [{"name": "requests", "limit": None, "remaining": 3.0, "reset_at": None}]
    local = found["local"]
    assert (local["has_api_key"], local["openai_api"], local["model_map"]) == (True, "chat", {"a*": "b"})
    assert local["base_url"] == "http://h/v1"


def test_the_api_has_all_rules_in_their_order(board):
    found = listed("/api/rules")
    assert [(r["name"], r["source"], r["primary"]) for r in found.values()] == [
        ("weighted", "admin", None), ("of-the-file", "file", "anthropic"), ("late", "admin", "local")
    ]  # fmt: skip
    assert found["weighted"]["weights"] == {"local": 3, "openai": 1}
    assert found["weighted"]["headers"] == {"x-project-id": "^big"}
    assert "comes before it" in found["late"]["warning"]


def test_a_change_is_shown_before_a_request_has_made_this_process_load_it(board):
    Rule.objects.create(name="new", providers=["local"], priority=-5)
    board.ask("local").answered(429, [(b"retry-after", b"600")])
    assert 'data-rule="new"' in page()
    assert "it answered 429" in page()
    assert "new" in listed("/api/rules")


def test_a_warning_about_a_rule_stands_at_the_rule(board):
    assert page().count("comes before it") == 1


def test_the_preview_shows_who_would_be_asked_now(board):
    board.ask("anthropic").answered(429, [(b"retry-after", b"600")])
    text = page(model="claude-x", path="v1/messages")
    assert "rule &#x27;of-the-file&#x27;: model matches ^claude-" in text
    assert (
        text.index("<b>anthropic</b>")
        < text.index("rests, ends")
        < text.index("<b>openai</b>")
        < text.index("asked first")
    )


def test_the_preview_takes_no_turn(board):
    pages = {page(model="m", headers="X-Project-ID: bigger").partition('id="preview"')[2] for _ in range(4)}
    assert len(pages) == 1
    assert "<b>local</b>" in pages.pop()


def test_when_all_are_out_the_one_that_is_back_first_is_asked(board):
    board.ask("anthropic").answered(429, [(b"retry-after", b"600")])
    board.ask("openai").answered(429, [(b"retry-after", b"60")])
    text = page(model="claude-x")
    assert text.index("<b>openai</b>") < text.index("asked first now")


def test_the_preview_says_what_a_path_leads_to_where_no_rule_fits(board):
    assert "No rule takes it" in page(model="m", path="/v1/messages")
    assert "<b>openai</b>" in page(model="m", path="/v1/responses")
    assert "dialect is openai" not in page(path="/v1/messages", dialect="anthropic")


@pytest.mark.parametrize(
    "asked",
    [
        {"path": "\x00"},
        {"model": "ü" * 9000},
        {"headers": ":\n::\nx"},
        {"dialect": "latin", "client": "?"},
        {"marker": "\x00"},
    ],
)
def test_no_question_breaks_the_page(board, asked):
    page(**asked)


def test_a_reset_from_the_page_counts_here_at_once(board):
    board.ask("anthropic").answered(429, [(b"retry-after", b"600")])
    answer = Client().post("/ui/routing/reset", {"provider": "anthropic"}, headers={"host": "localhost"})
    assert (answer.status_code, answer.headers["location"]) == (302, "/ui/routing")
    assert board.available("anthropic")


def test_what_a_process_that_serves_nothing_shows(settings):
    assert "This process serves no requests" in page(model="claude-x")


def test_the_page_is_off_where_the_browser_is(settings):
    ui = settings.LUNAROUTE.ui.model_copy(update={"enabled": False})
    settings.LUNAROUTE = settings.LUNAROUTE.model_copy(update={"ui": ui})
    assert Client().get("/ui/routing", headers={"host": "localhost"}).status_code == 404
    assert Client().post("/ui/routing/reset", headers={"host": "localhost"}).status_code == 404
