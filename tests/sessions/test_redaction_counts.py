"""Counts of what was redacted, by session, exchange and span; and what is said of raw bodies."""

import json
from pathlib import Path

import pytest
from django.test import Client

from pii.policy import Policy
from pii.redactor import Redactor
from sessions import stats
from sessions.models import Exchange, Session
from sessions.redaction import Redaction
from sessions.store import Store
from tests.support.exchanges import compact, events

EMAIL, SSN = "john.doe@corp-mail.org", "123-45-6789"


@pytest.fixture
def redacting(both_databases: str, tmp_path: Path) -> Store:
    return Store("test", tmp_path, True, True, Redaction(Redactor(Policy())))


def say(store: Store, session: str, *said: str, **options: object) -> None:
    messages = [{"role": "user", "content": text} for text in said]
    store.apply(events(compact({"model": "m", "messages": messages}), session=session, **options))


def raw(session: str, number: int) -> tuple[str | None, bytes]:
    """What is said of an exchange's raw request, and the request."""
    row = Exchange.objects.filter(session__session_id=session).order_by("pk")[number]
    answer = Client().get(f"/sessions/{session}/exchanges/{row.request_id}/raw")
    assert answer.status_code == 200
    return answer.headers.get("x-lunaroute-redacted"), answer.content


def test_a_session_has_the_sums_of_its_exchanges(redacting):
    say(redacting, "one", f"{EMAIL} and {SSN}")
    say(redacting, "one", "x", f"a@corp-mail.org, b@corp-mail.org of {SSN}")
    say(redacting, "two", "nothing")
    client = Client()
    listed = {row["session_id"]: row["redactions"] for row in client.get("/sessions").json()}
    assert listed == {"one": {"EMAIL": 3, "SSN": 2}, "two": {}}
    assert client.get("/sessions/one").json()["redactions"] == listed["one"]
    exchanges = client.get("/sessions/one/exchanges").json()
    assert [row["redactions"] for row in exchanges] == [{"EMAIL": 1, "SSN": 1}, {"EMAIL": 2, "SSN": 1}]
    exported = json.loads(b"".join(client.get("/sessions/one/export?format=json").streaming_content))
    assert exported["session"]["redactions"] == listed["one"]
    assert [row["redactions"] for row in exported["exchanges"]] == [row["redactions"] for row in exchanges]
    assert stats.redactions_of([]) == {}


def test_a_span_has_the_sums_by_type(redacting):
    say(redacting, "one", f"{EMAIL} and {SSN}")
    say(redacting, "two", f"x {EMAIL}", headers=[("x-project-id", "shop")])
    say(redacting, "three", "nothing")
    figures = stats.RedactionFigures
    assert stats.redactions(stats.Span.days(1)) == [figures("EMAIL", 2, 2), figures("SSN", 1, 1)]
    assert stats.redactions(stats.Span.days(1, project="shop")) == [figures("EMAIL", 1, 1)]
    found = Client().get("/api/stats/redactions?days=1&project=shop").json()
    assert found == [{"type": "EMAIL", "values": 1, "requests": 1}]
    Exchange.objects.update(started_at="2020-01-01T00:00:00Z")
    assert stats.redactions(stats.Span.days(1)) == []


def test_a_raw_body_says_that_it_is_redacted(redacting):
    say(redacting, "one", f"{SSN} of {EMAIL}")
    say(redacting, "one", f"{SSN} of {EMAIL}", "and so on")
    say(redacting, "two", "[EMAIL] is what a mark looks like")
    first, second = raw("one", 0), raw("one", 1)
    assert first[0] == "EMAIL=1, SSN=1"
    assert Exchange.objects.filter(session__session_id="one").order_by("pk")[1].redactions == {}
    assert second[0] == "EMAIL=1, SSN=1"  # replaced before, and still not what was sent
    assert b"[SSN] of [EMAIL]" in second[1]
    assert raw("two", 0)[0] is None


def test_counts_cost_one_query_for_any_number_of_exchanges(redacting, django_assert_num_queries):
    for number in range(5):
        say(redacting, "one", f"user{number}@corp-mail.org")
    sessions = list(Session.objects.all())
    with django_assert_num_queries(1):
        assert stats.redactions_of(sessions) == {sessions[0].pk: {"EMAIL": 5}}
