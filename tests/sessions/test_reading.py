"""Reading the record back takes a handful of queries, however long a conversation is."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sessions import reading
from sessions.models import Exchange, Session
from tests.support.exchanges import compact, events


def body(count: int) -> bytes:
    messages = [
        {"role": ("user", "assistant")[place % 2], "content": f"message {place} " + "x" * (place % 7)}
        for place in range(count)
    ]
    return compact({"model": "m", "system": "s", "messages": messages})


def test_a_body_of_a_thousand_messages_is_read_with_a_handful_of_queries(record):
    row = record(body(1001))
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert reading.request_body(row) == body(1001)
    assert len(queries) < 8


def test_what_is_new_in_a_thousand_exchanges_is_read_with_a_handful_of_queries(store):
    sizes = range(1, 2001, 2)
    for start in range(0, len(sizes), 100):
        store.apply([e for size in sizes[start : start + 100] for e in events(body(size), session="s")])
    rows = list(Exchange.objects.order_by("pk"))
    with CaptureQueriesContext(connection) as queries:
        new = reading.new_messages(rows)
    assert len(queries) < 15
    assert [len(new[row.pk]) for row in rows] == [1] + [2] * 999


@pytest.mark.parametrize("order", [1, -1])
def test_two_requests_with_one_leaf_have_each_its_own_new_messages(record, order):
    rows = [record(body(5)), record(body(5))]
    new = reading.new_messages(rows[::order])
    assert [len(new[row.pk]) for row in rows] == [5, 0]


def test_a_nul_is_no_trouble_anywhere(record):
    """PostgreSQL takes none in a text."""
    nul = "a\0b"
    given = compact({"model": nul, "messages": [{"role": "user", "content": nul}], "metadata": {"user_id": nul}})
    answer = compact({
        "id": nul, "type": "message", "role": "assistant", "model": nul, "stop_reason": nul,
        "content": [
            {"type": "text", "text": nul}, {"type": "tool_use", "id": nul, "name": nul, "input": {nul: nul}},
        ],
        "usage": {"input_tokens": 1, "output_tokens": 1},
    })  # fmt: skip
    row = record(given, answer, answer_headers=[("content-type", "application/json")])
    assert reading.request_body(row) == given
    assert reading.response_body(row) == answer
    assert row.model_used == row.session.title == row.tool_calls.get().name == "a\ufffdb"
    failed = compact({"type": "error", "error": {"type": nul, "message": nul}})
    row = record(given, failed, answer_headers=[("content-type", "application/json")])
    assert "a\ufffdb" in row.error


def test_what_is_recorded_later_leaves_a_star_where_it_is(record):
    for pinned in (True, False):
        record(b'{"model":"m","messages":[{"role":"user","content":"one"}]}')
        Session.objects.get().pin(pinned)
        record(b'{"model":"m","messages":[{"role":"user","content":"two"}]}')
        assert Session.objects.get().pinned is pinned
    assert Session.objects.get().requests == 4
