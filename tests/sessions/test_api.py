"""The REST API, over a database with known sessions."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from pydantic import SecretStr

from lunaroute_site.config_routing import Routing, Rule
from sessions.models import Exchange, Session, ToolCall
from sessions.search import Backfill

pytestmark = pytest.mark.usefixtures("both_databases")
NOW = datetime.now(UTC)


@pytest.fixture
def sessions() -> list[Session]:
    rows = []
    for number in range(5):
        row = Session.objects.create(
            session_id=f"s{number}", title=f"Debugging number {number}", client=["claude-code", "codex"][number % 2],
            provider="anthropic", model_used="claude-sonnet-4-20250514", project="myapp" if number == 3 else "",
            tags=["red"] if number == 4 else [], started_at=NOW - timedelta(days=number * 3), completed_at=NOW, requests=number + 1,
            input_tokens=1000 * number, output_tokens=10, total_tokens=1000 * number + 10, cost_usd=None if number == 0 else number / 10,
            duration_ms=100 * number, success=number != 2, error="overloaded" if number == 2 else "",
        )  # fmt: skip
        exchange = Exchange.objects.create(
            session=row, request_id=f"r{number}", listener="anthropic", provider="anthropic", method="POST", path="/v1/messages",
            is_streaming=number % 2 == 0, finish_reason="end_turn", success=True, started_at=NOW, recorder="t",
        )  # fmt: skip
        if number == 1:
            ToolCall.objects.create(
                session=row, exchange=exchange, call_id="c", name="Read", arguments=b"", started_at=NOW, execution_ms=5
            )
        rows.append(row)
    Session.objects.create(session_id="quiet", started_at=NOW, completed_at=NOW)  # no model was asked
    while Backfill().step():
        pass
    return rows


def names(query: str = "") -> list[str]:
    answer = Client().get(f"/sessions{query}")
    assert answer.status_code == 200, answer.content
    return [session["session_id"] for session in answer.json()]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "s0 s1 s2 s3 s4"),
        ("?sort=started", "s4 s3 s2 s1 s0"),
        ("?sort=-tokens", "s4 s3 s2 s1 s0"),
        ("?success=false", "s2"),
        ("?min_total_tokens=2000", "s2 s3 s4"),
        ("?max_input_tokens=1000&min_input_tokens=1", "s1"),
        ("?model=claude-sonnet-4&days=7", "s0 s1 s2"),
        ("?client=codex", "s1 s3"),
        ("?provider=anthropic", "s0 s1 s2 s3 s4"),
        ("?provider=nobody", ""),
        ("?project=myapp", "s3"),
        ("?tag=red", "s4"),
        ("?has_tool=Read", "s1"),
        ("?request_id=r2", "s2"),
        ("?is_streaming=true", "s0 s2 s4"),
        ("?finish_reason=nothing", ""),
        ("?text_search=debugging", "s0 s1 s2 s3 s4"),
        ("?text_search=number+3", "s3"),
        ("?min_cost=0.25", "s3 s4"),
        ("?pinned=false", "s0 s1 s2 s3 s4"),
        ("?pinned=true", ""),
        ("?page=2&page_size=2", "s2 s3"),
        ("?page=99", ""),
    ],
)
def test_filters_and_order(sessions, query, expected):
    assert names(query) == expected.split()


@pytest.mark.parametrize(
    "query",
    [
        "foo=1",
        "page=0",
        "page_size=501",
        "page_size=x",
        "sort=size",
        "success=perhaps",
        "days=-1",
        "since=yesterday",
        "min_cost=NaN%00",
    ],
)
def test_a_bad_parameter_is_a_422_that_names_it(sessions, query):
    answer = Client().get(f"/sessions?{query}")
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][-1] == query.split("=")[0]


def test_pages_are_linked_and_counted(sessions):
    answer = Client().get("/sessions?page=2&page_size=2&model=claude")
    assert answer["X-Total-Count"] == "5"
    links = dict(reversed(link.split("; rel=")) for link in answer["Link"].split(", "))
    assert set(links) == {'"first"', '"prev"', '"next"', '"last"'}
    assert links['"next"'] == "<http://testserver/sessions?page_size=2&model=claude&page=3>"


def test_the_list_asks_the_database_four_times(sessions, django_assert_num_queries):
    with django_assert_num_queries(4):
        names()


def test_a_browser_gets_the_page_and_keeps_its_filters(sessions):
    answer = Client().get("/sessions?model=x", headers={"accept": "text/html,*/*"})
    assert (answer.status_code, answer["Location"], answer["Vary"]) == (302, "/ui/sessions?model=x", "Accept")


def test_an_unknown_cost_is_null_and_errors_are_said(sessions):
    answer = Client().get("/sessions").json()
    assert answer[0]["cost_usd"] is None
    assert answer[2]["error"] == "overloaded"
    assert answer[1]["tools"] == [{"name": "Read", "calls": 1, "avg_ms": 5.0, "errors": 0}]
    assert answer[3]["metadata"] == {"project": "myapp", "tags": []}


@pytest.mark.parametrize(
    "path",
    [
        "/sessions/s0?x=1",
        "/sessions/s0/tools?x=1",
        "/sessions/s0/exchanges/r0?x=1",
        "/sessions/s0/exchanges/r0/raw?part=request&x=1",
        "/sessions/s0/export?x=1",
        "/api/providers?x=1",
        "/api/rules?x=1",
        "/api/stats/overview?x=1",
        "/api/stats/hours?days=x",
        "/api/stats/hours?days=401",
        "/api/stats/costs?days=1&since=2026-01-01",
        "/api/stats/costs?since=0001-01-01T00:00:00%2B14:00",
        "/api/stats/costs?since=2026-01-02&until=2026-01-01",
        "/api/stats/tools?model=a%00",
        "/sessions?until=9999-12-31T23:59:59-14:00",
        "/sessions?client=%00",
    ],
)
def test_each_address_names_the_parameter_that_is_wrong(sessions, path):
    answer = Client().get(path)
    assert answer.status_code == 422, answer.content
    assert answer.json()["detail"][0]["loc"][-1] in path


@pytest.mark.parametrize(
    "path", ["/sessions/%00", "/sessions/s0/exchanges/%00", "/sessions/" + "a" * 3000, "/sessions/%ff%fe"]
)
def test_what_cannot_be_an_id_is_a_404(sessions, path):
    assert Client().get(path).status_code == 404


def test_one_exchange_whole(sessions):
    found = Client().get("/sessions/s1/exchanges/r1").json()
    assert (found["request_id"], found["finish_reason"], found["request_headers"]) == ("r1", "end_turn", [])
    assert [call["name"] for call in found["tool_calls"]] == ["Read"]
    assert Client().get("/sessions/s1/exchanges/r2").status_code == 404


def test_statistics_answer_for_a_span(sessions):
    Exchange.objects.update(model_used="claude", total_tokens=5, cost_usd=0.5)
    get = lambda name, query="": Client().get(f"/api/stats/{name}{query}").json()  # noqa: E731
    assert get("overview")["sums"]["requests"] == 5
    assert get("overview", "?model=gpt")["sums"]["cost_usd"] is None
    assert get("tokens")["by_model"][0]["name"] == "claude"
    assert get("tools")[0]["name"] == "Read"
    assert get("costs", "?days=3")["cost_usd"] == 2.5
    assert len(get("costs", "?days=3")["by_day"]) == 3
    assert get("models")[0]["sums"]["tokens"]["total"] == 25
    assert len(get("hours")) == 168
    assert (get("spending", "?days=1")["by"], get("spending")["by"]) == ("hour", "day")
    assert sum(b["requests"] for b in get("spending", "?days=1")["buckets"]) == 5


def test_providers_without_their_keys(sessions, settings):
    provider = settings.LUNAROUTE.providers["anthropic"]
    with_key = provider.model_copy(
        update={"api_key": SecretStr("sk-hidden"), "base_url": "https://u:pw@example.com/v1"}
    )
    settings.LUNAROUTE = settings.LUNAROUTE.model_copy(update={"providers": {"anthropic": with_key}})
    answer = Client().get("/api/providers")
    assert b"sk-hidden" not in answer.content
    (found,) = answer.json()
    assert (found["base_url"], found["has_api_key"], found["success_rate"]) == ("https://example.com/v1", True, 1.0)


def test_rules_in_the_order_in_which_they_are_asked(settings):
    rules = (
        Rule(name="late", primary="openai"),
        Rule(name="first", priority=5, primary="anthropic", model_pattern="^c"),
    )
    settings.LUNAROUTE = settings.LUNAROUTE.model_copy(update={"routing": Routing(rules=rules)})
    assert [(r["name"], r["model_pattern"]) for r in Client().get("/api/rules").json()] == [
        ("first", "^c"),
        ("late", None),
    ]


@pytest.mark.parametrize(
    "path", ["/sessions/none", "/sessions/none/exchanges", "/sessions/none/tools", "/sessions/none/exchanges/r/raw"]
)
def test_what_is_not_there_is_a_404_in_json(sessions, path):
    answer = Client().get(path)
    assert answer.status_code == 404
    assert "none" in answer.json()["detail"] or "r" in answer.json()["detail"]


def test_the_documentation_page_loads_nothing_from_elsewhere(sessions):
    page = Client().get("/api/docs").content.decode()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    assert Client().get("/api/openapi.json").json()["paths"]["/sessions"]


def test_the_admin_shows_and_changes_nothing(sessions, admin_client):
    for model in ("session", "exchange", "toolcall"):
        assert admin_client.get(f"/admin/record/{model}/").status_code == 200
        assert admin_client.get(f"/admin/record/{model}/add/").status_code == 403
    row = sessions[0]
    assert admin_client.get(f"/admin/record/session/{row.pk}/change/").status_code == 200
    assert admin_client.post(f"/admin/record/session/{row.pk}/change/", {"title": "x"}).status_code == 403
    assert admin_client.post(f"/admin/record/session/{row.pk}/delete/", {"post": "yes"}).status_code == 403


def test_a_star_is_given_and_taken_away(sessions):
    for _ in range(2):
        assert Client().put("/sessions/s3/pin").status_code == 204
        assert names("?pinned=true") == ["s3"]
        assert Client().get("/sessions/s3").json()["pinned"] is True
    for _ in range(2):
        assert Client().delete("/sessions/s3/pin").status_code == 204
        assert names("?pinned=true") == []
    assert Client().put("/sessions/nobody/pin").status_code == 404


def test_the_pages_star_needs_a_token_of_the_page(sessions):
    form = {"pinned": "true"}
    assert Client(enforce_csrf_checks=True).post("/ui/sessions/s3/pin", form).status_code == 403
    assert names("?pinned=true") == []
    assert Client().post("/ui/sessions/s3/pin", form).headers["Location"] == "/ui/sessions/s3"
    assert names("?pinned=true") == ["s3"]
    button = Client().post("/ui/sessions/s3/pin", {"pinned": "false"}, headers={"HX-Request": "true"}).content.decode()
    assert 'aria-pressed="false"' in button
    assert names("?pinned=true") == []
    assert Client().post("/ui/sessions/nobody/pin", form).status_code == 404


def test_a_time_of_a_zone_far_off_is_a_time(client, both_databases):
    """PostgreSQL knows no offset of 18 hours."""
    assert client.get("/sessions?since=1157-06-16T10:16:44%2B18:09").status_code == 200
