"""The table of statistics, to the letter."""

from datetime import UTC, datetime

from sessions.models import Exchange, Session, ToolCall
from sessions.summary import TITLE, Figures, ToolUse, figures_of, summary, table, total

GUIDE = """\
📊 Session Statistics Summary
═══════════════════════════════════════════════════════════════

Session: 550e8400-e29b-41d4-a716-446655440000
  Requests:        5
  Input tokens:    2,450
  Output tokens:   5,830
  Thinking tokens: 1,200
  Total tokens:    9,480

  Tool usage:
    Read:  12 calls (avg 45ms)
    Write: 8 calls (avg 120ms)
    Bash:  3 calls (avg 850ms)

  Performance:
    Avg response time: 2.3s
    Proxy overhead:    12ms total (0.1%)
    Provider latency:  2.298s (99.9%)

💰 Estimated cost: $0.14 USD
"""
FIGURES = Figures(
    requests=5, input=2450, output=5830, thinking=1200, total=9480, duration_ms=11_500.0, provider_time_ms=11_488.0,
    tools=(ToolUse("Read", 12, 45.0, 12), ToolUse("Write", 8, 120.0, 8), ToolUse("Bash", 3, 850.0, 3)),
    proxy_overhead_ms=12.0, cost_usd=0.14,
)  # fmt: skip


def test_the_table_is_the_guides():
    assert f"{TITLE}\n\n" + table("Session: 550e8400-e29b-41d4-a716-446655440000", FIGURES) == GUIDE


def test_overhead_and_provider_are_shares_of_their_sum():
    text = table("x", Figures(requests=1, duration_ms=2300.0, provider_time_ms=2288.0, proxy_overhead_ms=12.0))
    assert (
        "    Avg response time: 2.3s\n    Proxy overhead:    12ms total (0.5%)\n    Provider latency:  2.288s (99.5%)\n"
        in text
    )


def test_caches_stand_in_the_table_where_they_were_used():
    text = table("Session: a", Figures(requests=1, input=1, cache_read=1000, cache_creation=20, total=1021))
    assert "  Thinking tokens: 0\n  Cache read:      1,000\n  Cache write:     20\n  Total tokens:    1,021\n" in text


def test_an_unknown_cost_is_not_nothing():
    assert "💰 Estimated cost: unknown" in table("x", Figures())
    assert "💰 Estimated cost: $0.0015 USD" in table("x", Figures(cost_usd=0.0015))
    assert "💰 Estimated cost: $0.00 USD" in table("x", Figures(cost_usd=0.0))


def test_a_total_adds_up_and_weighs_averages():
    both = total([FIGURES, Figures(requests=1, tools=(ToolUse("Read", 4, 125.0, 4), ToolUse("Task", 1, None, 0)))])
    assert (both.requests, both.cost_usd, both.tools[0]) == (6, 0.14, ToolUse("Read", 16, 65.0, 16))
    assert "    Task:  1 call\n" in table("x", both)


def test_figures_are_read_of_model_exchanges_only(both_databases):
    now = datetime.now(UTC)
    row = Session.objects.create(
        session_id="a", started_at=now, requests=1, input_tokens=7, total_tokens=7, duration_ms=150
    )
    for number, kind in enumerate(("model", "count_tokens")):
        asked = Exchange.objects.create(
            session=row, recorder="t", request_id=f"r{number}", kind=kind, listener="anthropic", provider="anthropic",
            method="POST", path="/", started_at=now, duration_ms=100.0 - 50 * number, provider_latency_ms=90.0, overhead_before_ms=1.0,
        )  # fmt: skip
    ToolCall.objects.create(session=row, exchange=asked, call_id="c", name="Read", arguments=b"", started_at=now)
    (found,) = figures_of([row])
    assert found == Figures(
        requests=1, input=7, total=7, duration_ms=100.0, provider_time_ms=90.0, proxy_overhead_ms=1.0,
        tools=(ToolUse("Read", 1, None, 0),),
    )  # fmt: skip
    assert "".join(summary([row])).count("Session: a") == 1
