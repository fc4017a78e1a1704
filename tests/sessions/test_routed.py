"""What routing did, in the record: rows, lines, what they are made again from, and what is told of it."""

import json
import shutil
from dataclasses import replace as changed
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from msgspec.structs import replace

from proxy.capture import Attempt, Routing
from sessions import prices, rows, stats
from sessions.browser.routes import route_of
from sessions.deletion import delete_session
from sessions.export.jsonl_export import from_rows
from sessions.importing import Importer
from sessions.models import Exchange, ModelPrice, Session
from sessions.news import changes_of
from sessions.repricing import reprice
from tests.support import planted
from tests.support.exchanges import ANSWER, compact, events, frames
from tests.support.routed import FAILED_OVER, RATE_LIMITED, routings

BODY = compact({"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "hello"}]})
GPT = ANSWER.replace(b"claude-sonnet-4-5", b"gpt-5")
_sessions = count()


def lines_of(root, name: str = "s") -> list[dict]:
    (path,) = root.glob(f"*/session_{name}.jsonl")
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def routed(**fields: object) -> Exchange:
    """A row on which nothing but the fields of its routing acted."""
    return Exchange(routing=rows.kept_routing(replace(Routing(provider="backup"), **fields)), success=True, status=200)


def test_the_provider_is_the_one_that_answered(store, record, tmp_path):
    row = record(BODY, GPT, routing=FAILED_OVER)
    assert row.provider == row.session.provider == "backup"
    assert rows.routing_of(row) == FAILED_OVER
    assert (row.listener, row.dialect) == ("anthropic", "anthropic")
    started, *_, completed = lines_of(tmp_path)
    assert started["provider"] == "anthropic"
    assert completed["routing"] == row.routing
    assert completed["routing"]["attempts"][1] == {"provider": "backup", "status": 200, "duration_ms": 45.0}


def test_without_routing_nothing_is_said_of_it(record, tmp_path):
    row = record(BODY)
    assert (row.provider, row.routing, rows.routing_of(row), route_of(row)) == ("anthropic", {}, None, None)
    assert "routing" not in lines_of(tmp_path)[-1]


def test_while_it_runs_the_provider_is_the_one_that_was_chosen(store):
    opened, *_ = events(BODY, session="s", routing=FAILED_OVER)
    (change,) = changes_of(store.apply([opened]))
    assert change.provider == Exchange.objects.get().provider == "anthropic"


def test_what_is_told_of_its_end_names_who_answered(store):
    (change,) = changes_of(store.apply(events(BODY, session="s", routing=FAILED_OVER)))
    assert (change.what, change.provider) == ("ended", "backup")


@pytest.fixture
def own_prices(both_databases):
    """A price for each type of provider, USD per million tokens."""
    for kind, price in (("anthropic", 1), ("openai", 1000)):
        ModelPrice.objects.create(pattern="gpt-5", provider_type=kind, input=price, output=price)
    prices.refresh(at_once=True)
    yield
    prices._own, prices._read_at = (), float("-inf")


def test_the_price_is_that_of_who_answered(own_prices, record):
    assert record(BODY, GPT, routing=FAILED_OVER).cost_usd == pytest.approx(7 / 1000)
    assert record(BODY, GPT).cost_usd == pytest.approx(7 / 1_000_000)


def test_priced_anew_it_still_is(own_prices, record):
    row = record(BODY, GPT, routing=FAILED_OVER)
    Exchange.objects.update(cost_usd=None)
    reprice()
    row.refresh_from_db()
    assert row.cost_usd == pytest.approx(7 / 1000)


def test_an_answer_that_repeats_the_clients_model_is_counted_for_the_model_that_was_asked(record):
    assert record(BODY, ANSWER, routing=FAILED_OVER).model_used == "gpt-5"
    assert (
        record(BODY, ANSWER.replace(b"claude-sonnet-4-5", b"gpt-5-2026"), routing=FAILED_OVER).model_used
        == "gpt-5-2026"
    )
    assert record(BODY, ANSWER).model_used == "claude-sonnet-4-5"


def test_a_nul_in_a_fields_name_stops_nothing(record):
    row = record(BODY, routing=replace(FAILED_OVER, notes=["a\0b left out"]))
    assert row.routing["notes"] == ["a\ufffdb left out"]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(routings)
def test_an_import_restores_what_routing_did(store, tmp_path, routing):
    name = f"routed-{next(_sessions)}"
    store.apply(events(BODY, GPT, session=name, routing=routing))
    before = Exchange.objects.get(session__session_id=name)
    (path,) = tmp_path.glob(f"*/session_{name}.jsonl")
    copy = shutil.copy(path, tmp_path / "away.jsonl")
    made = [json.loads(line) for line in b"".join(from_rows(before.session)).splitlines()]
    assert made[-1]["routing"] == lines_of(tmp_path, name)[-1]["routing"]
    assert delete_session(name)
    problems: list[str] = []
    Importer("test", tmp_path / "imported", {}, problems.append).take(copy)
    after = Exchange.objects.get(session__session_id=name)
    assert not problems
    for field in ("routing", "provider", "cost_usd", "model_used"):
        assert getattr(after, field) == getattr(before, field), field
    assert after.session.provider == before.session.provider


def test_lines_made_again_name_the_provider_that_was_chosen_first(record):
    row = record(BODY, routing=FAILED_OVER)
    started = json.loads(next(iter(b"".join(from_rows(row.session)).splitlines())))
    assert (started["type"], started["provider"]) == ("started", "anthropic")


def test_a_line_whose_routing_makes_no_sense_is_named(store, tmp_path):
    store.apply(events(BODY, session="s", routing=FAILED_OVER))
    (path,) = tmp_path.glob("*/session_s.jsonl")
    broken = tmp_path / "away.jsonl"
    broken.write_text(path.read_text().replace('"attempts":[{', '"attempts":[7,{'))
    delete_session("s")
    problems: list[str] = []
    Importer("test", tmp_path / "imported", {}, problems.append).take(broken)
    assert "attempts" in problems[0]


def test_the_api_tells_what_routing_did(record):
    row, plain = record(BODY, routing=FAILED_OVER), record(BODY)
    first, second = Client().get("/sessions/s/exchanges").json()
    told = first["routing"]
    assert (told["rule"], told["provider"], told["dialect"]) == ("claude-with-fallback", "backup", "openai-responses")
    assert told["attempts"] == [
        {"provider": "anthropic", "status": 429, "duration_ms": 120.0, "reason": "rate_limited", "may_be_charged": False},
        {"provider": "backup", "status": 200, "duration_ms": 45.0, "reason": None, "may_be_charged": False},
    ]  # fmt: skip
    assert told["notes"] == FAILED_OVER.notes
    assert (second["request_id"], second["routing"]) == (plain.request_id, None)
    assert Client().get(f"/sessions/s/exchanges/{row.request_id}").json()["routing"] == told


@pytest.mark.parametrize(
    ("export", "expected"),
    [
        ("json", '"rule":"claude-with-fallback"'),
        ("jsonl", '"rule":"claude-with-fallback"'),
        ("markdown", "*backup answered (rule claude-with-fallback) after anthropic: 429 rate_limited in 120 ms"),
        ("html", "backup answered (rule claude-with-fallback) after anthropic: 429 rate_limited in 120 ms"),
        ("csv", ",backup,"),
    ],
)
def test_each_export_tells_it(record, export, expected):
    record(BODY, routing=FAILED_OVER)
    text = b"".join(Client().get(f"/sessions/s/export?format={export}").streaming_content).decode()
    assert expected in text
    assert export == "csv" or "top_k left out" in text


def test_statistics_count_for_who_answered(record):
    record(BODY, routing=FAILED_OVER)
    record(BODY)
    now = datetime.now(UTC)
    span = stats.Span(now - timedelta(days=1), now + timedelta(days=1))
    assert {name: health.requests for name, health in stats.provider_health(span).items()} == {
        "backup": 1,
        "anthropic": 1,
    }
    assert stats.overview(changed(span, provider="backup")).sums.requests == 1


def test_a_session_is_found_by_any_of_its_providers(record):
    record(BODY, routing=FAILED_OVER)
    assert Session.objects.get().provider == "backup"
    record(BODY)
    assert Session.objects.get().provider == "anthropic"
    for provider, number in (("backup", 1), ("anthropic", 1), ("third", 0)):
        assert len(Client().get(f"/sessions?provider={provider}").json()) == number


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"rule": "r"}, "backup answered (rule r)"),
        ({"why": "marker"}, "backup answered (marker)"),
        ({"rule": "r", "why": "rule r, its turn"}, "backup answered (rule r, its turn)"),
        ({"rule": "mine", "why": "by weight"}, "backup answered (rule mine, by weight)"),
        ({"model": "gpt-5"}, "asked gpt-5"),
        ({"rule": "r", "dialect": "openai-chat", "model": "m"},
         "backup answered (rule r); translated to OpenAI Chat Completions, asked m"),
        ({"notes": ["x left out"]}, "changed on the way"),
        ({"attempts": [RATE_LIMITED, Attempt("backup", 529)]}, "backup answered 529 after anthropic: 429 rate_limited in 120 ms"),
        ({"attempts": [RATE_LIMITED, Attempt("backup")]}, "backup gave no answer after anthropic: 429 rate_limited in 120 ms"),
        ({"attempts": [Attempt("a", None, 2300.0, "upstream_timeout", True), RATE_LIMITED, Attempt("backup", 200)]},
         "backup answered after a: upstream_timeout in 2.3 s, may have been charged; anthropic: 429 rate_limited in 120 ms"),
    ],
)  # fmt: skip
def test_routing_is_told_in_a_line(fields, words):
    assert route_of(routed(**fields)).words == words


def test_an_answer_that_may_be_lunaroutes_own_is_nobodys():
    row = routed(rule="r")
    row.success, row.status = False, 502
    assert route_of(row).words == "backup was chosen (rule r)"


def test_an_exchange_nobody_answered_has_its_attempts(store):
    nobody = replace(
        FAILED_OVER, attempts=[RATE_LIMITED, Attempt("backup", None, 10.0, "", False)], dialect="", model=""
    )
    own = frames(BODY, b"{}", session="s", routing=nobody, error="upstream_connect", error_message="refused")
    planted.record(store, [planted.with_status(own, 502)])
    row = Exchange.objects.get()
    assert (row.provider, row.success) == ("backup", False)
    assert route_of(row).words.startswith("backup gave no answer (rule claude-with-fallback) after anthropic: 429")


def test_the_pages_show_it(record):
    row = record(BODY, GPT, routing=FAILED_OVER)
    page = Client().get("/ui/sessions/s").content.decode()
    assert "backup answered (rule claude-with-fallback) after anthropic: 429 rate_limited in 120 ms" in page
    assert "translated to OpenAI Responses, asked gpt-5; 2&nbsp;notes" in page
    assert "<li>top_k left out</li>" in page
    page = Client().get(f"/ui/sessions/s/exchanges/{row.request_id}").content.decode()
    assert '<td>429</td><td class="time">120 ms</td><td class="why">rate_limited</td>' in page
