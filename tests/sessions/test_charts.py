"""Charts, and which requests broke the prompt cache."""

import pytest

from sessions.browser.charts import Use, bars, broken_caches, context_chart, nice_top


def use(number: int, read: int, created: int = 0, fresh: int = 10, thread: int = 0) -> Use:
    return Use(number, thread, read, created, fresh, 5)


def test_a_request_that_pays_again_for_what_was_cached_broke_the_cache():
    uses = [use(1, 0, 10_000), use(2, 10_000, 500), use(3, 0, 10_800), use(4, 10_800, 100)]
    assert broken_caches(uses) == {3: 10_500}


def test_threads_have_caches_of_their_own():
    assert broken_caches([use(1, 0, 10_000), use(2, 0, 4_000, thread=1), use(3, 10_000, 100)]) == {}


def test_a_short_context_or_a_compacted_one_breaks_nothing():
    assert broken_caches([use(1, 0, 500), use(2, 0, 600)]) == {}
    assert broken_caches([use(1, 0, 100_000), use(2, 0, 8_000)]) == {}


def test_the_chart_marks_the_break():
    chart = context_chart([use(1, 0, 10_000), use(2, 10_000, 500), use(3, 0, 10_800)])
    assert (chart.top, chart.first, chart.last) == (20_000, 1, 3)
    assert [(mark.number, mark.lost) for mark in chart.breaks] == [(3, 10_500)]
    assert context_chart([use(1, 0, 10)]) is None
    assert context_chart([]) is None


def test_bars_fit_their_box():
    top, found = bars([("a", 0.0), ("b", 3.0), ("c", 4.9)], width=300, height=100)
    assert top == 5
    assert [bar.height for bar in found] == [0, 60, 98]
    assert all(bar.x >= 0 and bar.x + bar.width <= 300 for bar in found)
    assert bars([])[1] == ()


@pytest.mark.parametrize(("value", "top"), [(0, 1), (0.03, 0.05), (1, 1), (3, 5), (7, 10), (10_810, 20_000)])
def test_axes_end_at_round_figures(value, top):
    assert nice_top(value) == pytest.approx(top)
