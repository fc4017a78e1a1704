"""Statistics, on both databases, over exchanges with known figures."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions import prices, stats
from sessions.models import Exchange, ModelPrice, Session, ToolCall
from sessions.stats.sums import percentiles
from sessions.templatetags.record import usd

BERLIN = ZoneInfo("Europe/Berlin")
# The night in which Berlin's clocks go back: the day has 25 hours.
START = datetime(2025, 10, 25, 0, tzinfo=BERLIN)


def session(name: str, **fields) -> Session:
    return Session.objects.create(session_id=name, started_at=START, **fields)


def exchange(row: Session, at: datetime, **fields) -> Exchange:
    count = Exchange.objects.count()
    defaults = {
        "recorder": "t", "request_id": f"r{count}", "listener": "anthropic", "provider": "anthropic", "method": "POST",
        "path": "/v1/messages", "model_used": "claude", "client": "codex", "success": True, "status": 200,
        "duration_ms": 100.0, "provider_latency_ms": 98.0, "overhead_before_ms": 1.5, "overhead_after_ms": 0.5,
        "input_tokens": 10, "total_tokens": 10, "cost_usd": 0.5,
    }  # fmt: skip
    return Exchange.objects.create(session=row, started_at=at, **{**defaults, **fields})


def span(days: float = 3, **filters) -> stats.Span:
    return stats.Span(START, START + timedelta(days=days), BERLIN, **filters)


def hour(count: float) -> datetime:
    return START.astimezone(UTC) + timedelta(hours=count)


def test_the_overview_sums_a_span_and_the_one_before_it(both_databases):
    one, two = session("a"), session("b")
    for number in range(100):
        exchange(one, hour(number / 10), duration_ms=float(number + 1), time_to_first_token_ms=float(number))
    exchange(
        two, hour(1), success=False, status=500, cost_usd=None, duration_ms=None, thinking_tokens=5, total_tokens=15
    )
    exchange(two, hour(1), kind="models", cost_usd=9.0)
    exchange(two, hour(-1), cost_usd=3.0)
    found = stats.overview(span())
    assert (found.sums.sessions, found.sums.requests, found.sums.errors) == (2, 101, 1)
    assert found.sums.cost_usd == pytest.approx(50)
    assert found.sums.unpriced == 1
    assert found.sums.tokens == stats.Tokens(input=1010, thinking=5, total=1015)
    assert found.sums.proxy_overhead_ms == pytest.approx(202)
    assert found.latency_ms == stats.Percentiles(50, 95, 99)
    assert found.time_to_first_token_ms == stats.Percentiles(49, 94, 98)
    assert (found.before.requests, found.before.cost_usd) == (1, 3.0)


def test_what_caches_saved_is_told_though_it_be_less_than_nothing(both_databases):
    reads, writes, mixed = session("reads"), session("writes"), session("mixed")
    claude = {"model_used": "claude-sonnet-4-5", "input_tokens": 10}  # $3 in, $0.30 read, $3.75 and $6 written
    exchange(reads, hour(1), cache_read_tokens=100_000, **claude)
    exchange(writes, hour(1), cache_creation_5m_tokens=100_000, **claude)
    exchange(writes, hour(1), cache_creation_1h_tokens=10_000, **claude)
    exchange(mixed, hour(1), cache_read_tokens=10, model_used="nobody-knows")
    assert stats.cache_saving_of(reads) == pytest.approx(0.27)
    assert stats.cache_saving_of(writes) == pytest.approx(-0.075 - 0.03)
    assert stats.cache_saving_of(mixed) is None
    assert stats.cache_saving_of(session("none")) == 0
    assert stats.overview(span()).cache_saving_usd == pytest.approx(0.27 - 0.105)
    assert usd(-0.12) == "−$0.12"


def test_a_long_prompt_has_the_prices_of_long_prompts(both_databases):
    row = session("long")
    long = {"model_used": "claude-sonnet-4-5", "input_tokens": 1}  # $6 in, $0.60 read beyond 200,000
    exchange(row, hour(1), cache_read_tokens=200_000, **long)
    exchange(row, hour(1), cache_read_tokens=199_999, **long)
    assert stats.cache_saving_of(row) == pytest.approx(200_000 * 5.4e-6 + 199_999 * 2.7e-6)


def test_own_prices_tell_what_caches_saved_too(both_databases):
    ModelPrice.objects.create(pattern="mine", input=2, output=2, cache_read=1, cache_write_5m=5)
    row = session("own")
    exchange(row, hour(1), model_used="mine", cache_read_tokens=1_000_000, cache_creation_5m_tokens=1_000_000)
    prices.refresh(at_once=True)
    try:
        assert stats.cache_saving_of(row) == pytest.approx(1 - 3)
    finally:
        prices._own, prices._read_at = (), float("-inf")


def test_an_empty_span_has_no_cost_and_no_latency(both_databases):
    found = stats.overview(span())
    assert found.sums == found.before == stats.Sums()
    assert found.latency_ms == stats.Percentiles()
    found = stats.figures(span())
    assert found.overview == stats.overview(span())
    assert found.models == found.projects == found.clients == ()
    assert stats.by_model(span()) == stats.tools(span()) == []


def test_days_begin_by_the_clocks_of_the_time_zone(both_databases):
    row = session("a")
    exchange(row, hour(0), cost_usd=1.0)
    exchange(row, hour(24 - 0.001), cost_usd=2.0)
    exchange(row, hour(24), cost_usd=4.0, model_used="gpt")
    exchange(row, hour(24 + 24.5), cost_usd=8.0, success=False)  # the 25th hour of the 26th
    exchange(row, hour(24 + 25), cost_usd=None)
    found = stats.spending(span(4))
    assert [bucket.start.isoformat() for bucket in found] == [
        "2025-10-25T00:00:00+02:00", "2025-10-26T00:00:00+02:00", "2025-10-27T00:00:00+01:00", "2025-10-28T00:00:00+01:00",
    ]  # fmt: skip
    assert [(b.requests, b.errors, b.tokens, b.cost_usd) for b in found] == [
        (2, 0, 20, 3.0), (2, 1, 20, 12.0), (1, 0, 10, None), (0, 0, 0, None),
    ]  # fmt: skip
    assert [share.model for share in found[1].models] == ["claude", "gpt"]


def test_a_short_span_is_shown_by_the_hour_repeated_ones_too(both_databases):
    row = session("a")
    exchange(row, hour(26), cost_usd=1.0)  # 02:00, for the first time
    exchange(row, hour(27), cost_usd=2.0)  # 02:00 once more
    found = stats.spending(stats.Span(hour(25.5), hour(27.75), BERLIN))
    assert [(b.start.hour, b.start.utcoffset(), b.cost_usd) for b in found] == [
        (1, timedelta(hours=2), None), (2, timedelta(hours=2), 1.0), (2, timedelta(hours=1), 2.0),
    ]  # fmt: skip


def test_only_what_lies_in_the_span_counts_though_its_first_hour_begins_before(both_databases):
    row = session("a")
    exchange(row, hour(0.2), cost_usd=1.0)
    exchange(row, hour(0.7), cost_usd=2.0)
    exchange(row, hour(3.4), cost_usd=4.0)
    part = stats.Span(hour(0.5), hour(3.3), BERLIN)
    assert sum(b.cost_usd or 0 for b in stats.spending(part)) == 2.0
    assert sum(cell.cost_usd or 0 for cell in stats.hours(part)) == 2.0


def test_hours_of_the_week(both_databases):
    row = session("a")
    exchange(row, hour(9.5))  # Saturday
    exchange(row, hour(9.6))
    exchange(row, hour(24 + 10.5))  # Sunday, 9:30 by winter's clocks
    found = {(cell.weekday, cell.hour): cell.requests for cell in stats.hours(span()) if cell.requests}
    assert len(stats.hours(span())) == 168
    assert found == {(5, 9): 2, (6, 9): 1}


def test_groups_are_sorted_by_cost_and_filters_hold(both_databases):
    one, two = session("a", project="shop"), session("b")
    exchange(one, hour(1), model_used="claude-sonnet-4-5", cost_usd=1.0, client="codex")
    exchange(two, hour(1), model_used="claude-opus-4-5", cost_usd=2.0, client="claude-code")
    exchange(two, hour(1), model_used="gpt-5", cost_usd=None, client="claude-code")
    assert [m.model for m in stats.by_model(span())] == ["claude-opus-4-5", "claude-sonnet-4-5", "gpt-5"]
    found = stats.figures(span())
    assert [(p.project, p.sums.requests) for p in found.projects] == [("", 2), ("shop", 1)]
    assert [c.client for c in found.clients] == ["claude-code", "codex"]
    assert [m.model for m in stats.by_model(span(model="claude"))] == ["claude-opus-4-5", "claude-sonnet-4-5"]
    assert [m.model for m in stats.by_model(span(project="shop"))] == ["claude-sonnet-4-5"]
    assert stats.overview(span(client="claude-code", model="gpt")).sums.requests == 1
    assert stats.spending(span(project="shop"))[0].requests == 1
    assert [p.project for p in stats.figures(span(project="shop")).projects] == ["shop"]
    assert stats.figures(span(project="shop", client="x")).projects == ()


def test_all_figures_at_once_are_the_ones_that_are_asked_for_alone(both_databases):
    one, two = session("a", project="shop"), session("b")
    for at in range(5):
        times = {"duration_ms": 100.0 * at, "time_to_first_token_ms": 7.0 * at, "success": at > 0}
        exchange(one, hour(at), model_used="claude-sonnet-4-5", cost_usd=1.0, client="codex", **times)
        exchange(two, hour(at), model_used=f"model-{at % 2}", client="codex", cost_usd=None, total_tokens=9, **times)
    exchange(one, hour(-20), cost_usd=5.0)
    found = stats.figures(span())
    assert found.overview == stats.overview(span())
    assert found.overview.sums.sessions == found.clients[0].sums.sessions == 2
    assert list(found.models) == stats.by_model(span())
    assert found.models[0].latency_ms.p50 == 200.0


def test_tools_with_their_times_and_failures(both_databases):
    row = session("a", project="shop")
    asked = exchange(row, hour(1))
    for number in range(20):
        ToolCall.objects.create(
            session=row, exchange=asked, position=number, call_id=f"c{number}", name="Bash" if number else "Read",
            arguments=b"", started_at=hour(1), execution_ms=float(number) if number < 19 else None, output_bytes=10,
            is_error=number == 3,
        )  # fmt: skip
    bash, read = stats.tools(span())
    assert (bash.name, bash.calls, bash.failures, bash.avg_ms, bash.p50_ms, bash.p95_ms) == ("Bash", 19, 1, 9.5, 9, 18)
    assert (read.calls, read.result_bytes, read.p50_ms) == (1, 10, 0)
    assert len(stats.tools(span(project="shop", client="codex"))) == 2
    assert stats.tools(span(project="other")) == []


def test_a_providers_health_is_not_its_clients_fault(both_databases):
    row = session("a")
    exchange(row, hour(1))
    exchange(row, hour(1), success=False, status=400, error="http_400")
    exchange(row, hour(1), success=False, status=200, error="client_disconnected: gone")
    exchange(row, hour(1), success=False, status=529, error="http_529")
    exchange(row, hour(1), success=None)
    assert stats.provider_health(span())["anthropic"].success_rate == 0.75


def test_a_span_of_days_begins_at_midnight_and_holds_this_moment(both_databases):
    now = datetime(2025, 10, 28, 12, tzinfo=UTC)
    found = stats.Span.days(2, now)
    local = found.since.astimezone(found.zone)
    assert (local.hour, local.minute) == (0, 0)
    assert found.since < now - timedelta(days=1) < now < found.until
    assert found.before.until == found.since


def test_a_span_of_too_many_hours_is_refused():
    with pytest.raises(ValueError, match="hours"):
        stats.hours(span(5000))


@given(st.lists(st.floats(0, 1e9), min_size=1))
def test_percentiles_are_values_that_were_measured(values):
    found = percentiles(values)
    assert {found.p50, found.p95, found.p99} <= set(values)
    assert sum(v <= found.p95 for v in values) >= 0.95 * len(values)
    assert found.p50 <= found.p95 <= found.p99
