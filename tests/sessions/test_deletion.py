"""Deleting sessions: all that only they used goes, all that others use stays."""

import json
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.capture import Begin, End, ResponseHead
from sessions import deletion, reading
from sessions.digest import Event, Live
from sessions.models import Blob, Exchange, JsonlFile, Node, Session
from sessions.store import Store
from tests.sessions.test_recording import SESSION, converse
from tests.support.databases import sqlite_only
from tests.support.raw import RawClient

numbers = count(1)
BIG = "x" * 300


def record(store: Store, session_id: str, messages: list[str], ended: bool = True) -> bytes:
    """Record one exchange; gives its body."""
    body = json.dumps({"model": "m", "system": BIG, "messages": [{"role": "user", "content": m} for m in messages]})
    number = next(numbers)
    begin = Begin(
        request_id=f"r{number}", method="POST", path="/v1/messages", query="", headers=[("session_id", session_id)],
        listener="anthropic", provider="anthropic", provider_type="anthropic", client_ip="", started_us=1_760_000_000_000_000 + number,
    )  # fmt: skip
    live = Live.of(begin)
    live._chunks = [body.encode()]
    events = live._open()
    if ended:
        live.respond(ResponseHead(200, [("content-type", "application/json")]), begin.started_us + 1)
        answer = {
            "id": f"m{number}", "type": "message", "role": "assistant", "model": "m", "stop_reason": "tool_use",
            "content": [{"type": "tool_use", "id": f"t{number}", "name": "Read", "input": {"a": len(messages)}}],
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }  # fmt: skip
        live.take(json.dumps(answer).encode(), begin.started_us + 2)
        events += live.finish(
            End(
                completed_us=begin.started_us + 3, duration_ms=1.0, overhead_before_ms=0.1, overhead_after_ms=0.1,
                provider_latency_ms=0.8, first_byte_ms=0.5, request_bytes=len(body), response_bytes=10, chunk_count=1, attempts=1,
            )
        )  # fmt: skip
    assert all(isinstance(event, Event) for event in events)
    store.apply(events)
    return body.encode()


@pytest.fixture
def store(both_databases, tmp_path) -> Store:
    return Store("here", tmp_path, write_jsonl=True, keep_user_agent=True)


conversations = st.lists(
    st.tuples(st.sampled_from("abcd"), st.lists(st.sampled_from(["one", "two", BIG]), min_size=1, max_size=5)),
    min_size=1, max_size=12,
)  # fmt: skip


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(conversations, st.permutations("abcd"))
def test_deleting_all_in_any_order_leaves_nothing_and_breaks_no_other(store, spoken, names):
    bodies = {}
    for session_id, messages in spoken:
        body = record(store, session_id, messages)
        bodies[Exchange.objects.latest("pk").request_id] = (session_id, body)
    order = [name for name in names if any(name == session_id for session_id, _ in spoken)]
    for at, session_id in enumerate(order):
        assert deletion.delete_session(session_id)
        for row in Exchange.objects.select_related("session"):
            assert (row.session.session_id, reading.request_body(row)) == bodies[row.request_id]
            assert reading.response_body(row)
        assert Session.objects.count() == len(order) - at - 1
    assert not Blob.objects.exists()
    assert not Node.objects.exists()
    assert not JsonlFile.objects.exists()


def test_files_go_once_the_rows_are_gone(store, tmp_path, django_capture_on_commit_callbacks):
    record(store, "a", ["one"])
    record(store, "b", ["one"])
    with django_capture_on_commit_callbacks(execute=True):
        deletion.delete_session("a")
        assert len(list(tmp_path.glob("*/*.jsonl"))) == 2
    assert [path.name for path in tmp_path.glob("*/*")] == ["session_b.jsonl"]
    with django_capture_on_commit_callbacks(execute=True):
        deletion.delete_session("b")
    assert list(tmp_path.iterdir()) == []


def test_a_session_with_a_running_exchange_stays(store):
    record(store, "a", ["one"])
    record(store, "a", ["one", "two"], ended=False)
    with pytest.raises(deletion.StillRunning):
        deletion.delete_session("a")
    assert Exchange.objects.count() == 2


def test_what_the_recorder_has_at_hand_of_a_deleted_session_is_read_again(
    store, tmp_path, django_capture_on_commit_callbacks
):
    record(store, "a", ["one", "two"])
    with django_capture_on_commit_callbacks(execute=True):
        deletion.delete_session("a")
    body = record(store, "a", ["one", "two", BIG])
    (row,) = Exchange.objects.select_related("session")
    assert (row.session.session_id, row.session.requests, row.messages_from) == ("a", 1, 0)
    assert reading.request_body(row) == body
    (path,) = tmp_path.glob("*/*.jsonl")
    assert JsonlFile.objects.get().size == path.stat().st_size
    assert json.loads(path.read_text().splitlines()[0])["type"] == "started"


def test_there_is_no_such_session(store):
    assert deletion.delete_session("nobody") is False


# -- the real server -----------------------------------------------------------------------------------------------


@pytest.fixture
def deleting(start, tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text("ui:\n  delete_enabled: true\n")
    return start("--config", str(config))


def request(server, method: bytes, target: str) -> tuple[int, bytes]:
    with RawClient(server.port) as client:
        answer = client.request(method, target.encode(), b"")
        return answer.status, answer.body


def test_a_session_deleted_while_its_client_goes_on_begins_anew(deleting):
    converse(deleting)
    deleting.wait_recorded(6)
    assert request(deleting, b"DELETE", f"/sessions/{SESSION}") == (204, b"")
    assert deleting.get(f"/sessions/{SESSION}")[0] == 404
    assert [deleting.rows(f"select count(*) from {table}") for table in ("exchanges", "blobs", "nodes")] == [[(0,)]] * 3
    assert list(deleting.home.glob("sessions/*/*")) == []
    converse(deleting)
    deleting.wait_recorded(6)
    assert deleting.json(f"/sessions/{SESSION}")["requests"] == 6
    assert len(deleting.json(f"/sessions/{SESSION}/tools")) == 3
    assert [line["type"] for line in deleting.lines(SESSION)].count("completed") == 6
    assert "paused" not in deleting.output()
    assert deleting.stop() == 0


@sqlite_only
def test_deleting_is_off_by_default(server):
    status, body = request(server, b"DELETE", "/sessions/x")
    assert status == 403
    assert b"ui.delete_enabled: true" in body
