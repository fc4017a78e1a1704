"""The REST API, over a database with known sessions."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client

from sessions.models import Exchange, Session, ToolCall

pytestmark = pytest.mark.usefixtures("database")
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
        ("?project=myapp", "s3"),
        ("?tag=red", "s4"),
        ("?has_tool=Read", "s1"),
        ("?request_id=r2", "s2"),
        ("?is_streaming=true", "s0 s2 s4"),
        ("?finish_reason=nothing", ""),
        ("?text_search=debugging", "s0 s1 s2 s3 s4"),
        ("?text_search=number+3", "s3"),
        ("?min_cost=0.25", "s3 s4"),
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


def test_the_list_asks_the_database_three_times(sessions, django_assert_num_queries):
    with django_assert_num_queries(3):
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
