"""The record of the real server: database, JSONL, and the lines of the guide that people type at them."""

import gzip
import json
import re
import sqlite3
import subprocess
import zlib
from contextlib import ExitStack
from datetime import datetime

import anthropic
import jq
import psutil
import pytest

from tests.support.databases import new_database, sqlite_only
from tests.support.raw import RawClient
from tests.support.server import eventually, start_server

SESSION = "550e8400-e29b-41d4-a716-446655440000"
TOOL = {"name": "Read", "description": "d", "input_schema": {"type": "object", "properties": {}}}
USER_ID = f"user_abc123_account_def456_session_{SESSION}"


def converse(server, turns: int = 3) -> list[dict]:
    """A conversation with a tool call in each turn, as a coding assistant has it."""
    client = anthropic.Anthropic(
        base_url=server.url, api_key="sk-ant-secret", default_headers={"x-project-id": "myapp"}
    )
    messages: list[dict] = []
    for turn in range(turns):
        messages.append({"role": "user", "content": f'turn {turn}: use the tool Read with {{"file_path": "/f{turn}"}}'})
        for _ in range(2):
            with client.messages.stream(
                model="claude-sonnet-4-5", max_tokens=100, system="Be brief.", tools=[TOOL], messages=messages,
                metadata={"user_id": USER_ID},
            ) as stream:  # fmt: skip
                answer = stream.get_final_message()
            messages.append({"role": "assistant", "content": [b.model_dump(exclude_none=True) for b in answer.content]})
            calls = [b for b in answer.content if b.type == "tool_use"]
            if not calls:
                break
            messages.append(
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": calls[0].id, "content": "line\n" * 50}],
                }
            )
    return messages


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def recorded(request, tmp_path_factory, provider):
    """A server with a conversation on record, for tests that only read it; `bodies` are what the provider got."""
    with ExitStack() as stack:
        environ = {}
        if request.param == "postgres":
            environ["DATABASE_URL"] = stack.enter_context(new_database(request.getfixturevalue("postgres_url")))
        provider.reset()
        server = start_server(tmp_path_factory.mktemp("recorded"), provider.url, **environ)
        converse(server)
        server.wait_recorded(6)
        server.bodies = [asked.body for asked in provider.requests]
        yield server
        assert server.stop() == 0, server.output()


def test_a_conversation_is_one_session_with_its_sums(recorded):
    query = (
        "select session_id, client, provider, model_used, input_tokens, output_tokens, total_tokens, requests, success, project, title"
        " from sessions"
    )
    ((*facts, title),) = recorded.rows(query)
    assert facts == [SESSION, "other", "anthropic", "claude-sonnet-4-5", 900, 252, 7332, 6, 1, "myapp"]
    assert title.startswith("turn 0:")


def test_the_guides_sql_works_as_it_stands(recorded):
    recorded.rows(
        "SELECT * FROM sessions WHERE model_used = 'claude-sonnet-4' AND input_tokens > 1000 ORDER BY started_at DESC;"
    )
    assert (
        len(recorded.rows("SELECT * FROM sessions WHERE model_used = 'claude-sonnet-4-5' AND input_tokens > 100")) == 1
    )


def test_the_guides_jq_lines_work_as_they_stand(recorded):
    lines = recorded.lines()
    total = jq.compile("[.[] | select(.final_stats) | .final_stats.tokens.total] | add").input_value(lines).first()
    assert total == 7332
    dearest = (
        "group_by(.session_id) | map({session: .[0].session_id, tokens: ([.[] | .final_stats.tokens.total // 0] | add)}) |"
        " sort_by(.tokens) | reverse | first"
    )
    assert jq.compile(dearest).input_value(lines).first() == {"session": SESSION, "tokens": 7332}


def test_the_guides_directory_is_named_by_the_shells_date(recorded):
    today = subprocess.run(["date", "+%Y-%m-%d"], capture_output=True, text=True, check=True).stdout.strip()
    assert (recorded.home / "sessions" / today / f"session_{SESSION}.jsonl").exists()


def test_lines_have_the_promised_fields(recorded):
    by_type: dict[str, dict] = {}
    for line in recorded.lines(SESSION):
        assert list(line)[:4] == ["type", "session_id", "request_id", "timestamp"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["timestamp"])
        by_type.setdefault(line["type"], line)
    promised = {
        "started": "model_requested provider listener is_streaming client_ip user_agent api_version request_headers session_tags",
        "stream_started": "time_to_first_token_ms",
        "request_recorded": "request_text request_json message_count has_system_prompt has_tools tool_count request_size_bytes",
        "response_recorded": "response_text response_json model_used provider_latency_ms total_proxy_overhead_ms tokens tool_calls"
        " response_size_bytes content_blocks has_refusal is_streaming chunk_count streaming_duration_ms",
        "tool_call_recorded": "tool_name tool_call_id execution_time_ms input_size_bytes output_size_bytes success tool_arguments",
        "completed": "success error finish_reason final_stats",
    }
    assert set(by_type) == set(promised)
    for kind, fields in promised.items():
        assert set(fields.split()) <= set(by_type[kind]), kind
    stats = by_type["completed"]["final_stats"]
    assert set(stats["tokens"]) >= {"input", "output", "thinking", "reasoning", "cache_read", "cache_creation", "total"}
    assert stats["estimated_cost"] == pytest.approx(0.001515)
    assert by_type["tool_call_recorded"]["tool_arguments"] == {"file_path": "/f0"}


def test_no_credential_is_kept(recorded):
    assert "sk-ant-secret" not in "".join(p.read_text() for p in recorded.home.glob("sessions/*/*"))
    if recorded.database_url:
        tables = [name for (name,) in recorded.rows("select tablename from pg_tables where schemaname = 'public'")]
        data = "".join(row for name in tables for (row,) in recorded.rows(f"select t::text from {name} t"))
        assert "sessions" in tables
        assert SESSION in data
        assert "sk-ant-secret" not in data
    else:
        data = b"".join(p.read_bytes() for p in recorded.home.glob("db.sqlite3*"))
        assert SESSION.encode() in data
        assert b"sk-ant-secret" not in data


def test_only_the_owner_may_read(recorded):
    for path in recorded.home.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_tool_calls_have_their_result_and_time(recorded):
    tools = recorded.json(f"/sessions/{SESSION}/tools")
    assert [tool["arguments"] for tool in tools] == [
        '{"file_path":"/f0"}',
        '{"file_path":"/f1"}',
        '{"file_path":"/f2"}',
    ]
    assert all(tool["result"] == "line\n" * 50 and tool["execution_time_ms"] > 0 for tool in tools)


def test_request_bodies_come_back_byte_for_byte(recorded):
    rows = recorded.rows("select request_id from exchanges order by id")
    for (request_id,), received in zip(rows, recorded.bodies, strict=True):
        status, _, body = recorded.get(f"/sessions/{SESSION}/exchanges/{request_id}/raw")
        assert (status, body) == (200, received)


def test_each_exchange_continues_the_one_before(recorded):
    rows = recorded.rows("select id, parent_id, messages_from, message_count from exchanges order by id")
    assert [row[1] for row in rows] == [None, *[row[0] for row in rows[:-1]]]
    assert [row[2] for row in rows[1:]] == [row[3] for row in rows[:-1]]


def test_a_long_session_grows_by_what_is_new(start):
    server = start()
    converse(server, turns=50)
    server.wait_recorded(100)
    new = [len(json.dumps(line)) for line in server.lines(SESSION) if line["type"] == "request_recorded"]
    assert max(new[1:]) < 2 * min(new[1:]) + 1000, "a late request takes more space than an early one"


# -- bad input --------------------------------------------------------------------------------------------------


def record_one(server, upstream, body: bytes, path: bytes = b"/v1/messages") -> tuple:
    before = server.rows("select count(*) from exchanges where success is not null")[0][0]
    with RawClient(server.port) as client:
        client.request(target=path, body=body)
    server.wait_recorded(before + 1)
    return server.rows(
        "select request_id, session_id, capture, error, success from exchanges order by id desc limit 1"
    )[0]


@pytest.mark.parametrize("body", [b'{"model": "m", "messages": [', b"\xff\xfe\x00 no JSON", b'"text"', b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_recorded_as_it_came(server, upstream, body):
    request_id, session, capture, *_ = record_one(server, upstream, body)
    name = server.rows("select session_id from sessions where id = ?", session)[0][0]
    assert capture == "full"
    assert server.get(f"/sessions/{name}/exchanges/{request_id}/raw")[2] == body
    assert [line["type"] for line in server.lines(name)] == [
        "started",
        "request_recorded",
        "response_recorded",
        "completed",
    ]


def test_a_path_of_no_dialect_is_recorded(server, upstream):
    *_, success = record_one(server, upstream, b'{"x": 1}', b"/v1/unheard/of")
    assert success == 0  # the provider said 404


def test_a_stream_cut_in_a_character_is_recorded_as_far_as_it_came(start, upstream):
    async def script(exchange):
        await exchange.read_body()
        await exchange.start_stream()
        await exchange.chunk(b'data: {"type":"message_start","message":{"id":"cut","model":"m"}}\n\n')
        await exchange.chunk(
            b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"half"}}\n\ndata: \xf0\x9f'
        )
        exchange.keep = False

    server = start()
    upstream.script(script)
    with RawClient(server.port) as client:
        client.request()
    server.wait_recorded(1)
    (answered,) = [line for line in server.lines() if line["type"] == "response_recorded"]
    assert answered["response_text"] == "half"
    assert server.rows("select success from exchanges") == [(0,)]


def test_a_compressed_answer_is_recorded_as_text(start, upstream):
    body = {
        "id": "z",
        "type": "message",
        "model": "m",
        "content": [{"type": "text", "text": "squeezed"}],
        "stop_reason": "end_turn",
    }

    async def script(exchange):
        await exchange.read_body()
        await exchange.answer(
            200,
            gzip.compress(json.dumps(body).encode()),
            ("content-encoding", "gzip"),
            ("content-type", "application/json"),
        )

    server = start()
    upstream.script(script)
    with RawClient(server.port) as client:
        client.request()
    server.wait_recorded(1)
    assert [line["response_text"] for line in server.lines() if line["type"] == "response_recorded"] == ["squeezed"]


@sqlite_only
def test_a_gzip_bomb_is_recorded_as_metadata_and_memory_stays_flat(start, upstream):
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(1024)) + packer.flush()

    async def script(exchange):
        await exchange.read_body()
        await exchange.answer(200, bomb, ("content-encoding", "gzip"), ("content-type", "application/json"))

    server = start()
    upstream.script(script)
    recorder = server.children()["recorder"]
    before = recorder.memory_info().rss
    with RawClient(server.port) as client:
        assert client.request().body == bomb
    server.wait_recorded(1)
    assert server.rows("select capture, success, response_bytes from exchanges") == [("truncated", 1, len(bomb))]
    assert recorder.memory_info().rss - before < 120 << 20


@sqlite_only
def test_a_body_beyond_what_is_kept_is_recorded_as_metadata(start, upstream):
    async def script(exchange):
        await exchange.read_body()
        await exchange.json({})

    server = start()
    upstream.script(script)
    with RawClient(server.port) as client:
        assert client.request(body=b"x" * (40 << 20)).status == 200
    server.wait_recorded(1)
    assert server.rows("select capture, request_bytes from exchanges") == [("truncated", 40 << 20)]


def test_a_session_id_that_is_a_path_is_not_one(server, upstream):
    with RawClient(server.port) as client:
        client.request(headers=b"session_id: ../../../tmp/evil\r\n", body=b'{"model":"evil"}')
    rows = eventually(
        lambda: server.rows(
            "select s.session_id from sessions s join exchanges e on e.session_id = s.id where e.model_requested = 'evil'"
        ),
        "the record",
    )
    assert re.fullmatch(r"[0-9a-f-]{36}", rows[0][0])


# -- off --------------------------------------------------------------------------------------------------------


def test_with_recording_off_nothing_is_written(start, upstream):
    server = start(LUNAROUTE_ENABLE_SESSION_RECORDING="false")
    with RawClient(server.port) as client:
        assert client.request(body=b'{"model":"m","messages":[{"role":"user","content":"zebrafinch"}]}').status == 200
    eventually(
        lambda: b'lunaroute_requests_total{listener="anthropic",model="m"' in server.get("/metrics")[2], "a count"
    )
    assert server.stop() == 0
    assert not (server.home / "sessions").exists()
    assert server.rows("select count(*) from exchanges") == [(0,)]
    assert not [path for path in server.home.rglob("*") if path.is_file() and b"zebrafinch" in path.read_bytes()]


def test_where_nothing_is_read_there_is_no_recorder(start, unread):
    server = start("--config", unread)
    with RawClient(server.port) as client:
        assert client.request(body=b'{"model":"m"}').status == 200
    assert len(psutil.Process(server.process.pid).children()) == 1
    assert server.stop() == 0
    assert server.rows("select count(*) from exchanges") == [(0,)]


@sqlite_only
def test_user_agents_are_left_out_where_asked(start, tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text("session_recording:\n  capture_user_agent: false\n")
    server = start("--config", str(config))
    with RawClient(server.port) as client:
        client.request(headers=b"user-agent: tell-tale/1\r\n")
    server.wait_recorded(1)
    assert "tell-tale" not in json.dumps(server.lines())


def test_the_start_of_a_session_names_its_day(recorded):
    started = next(line for line in recorded.lines() if line["type"] == "started")["timestamp"]
    assert datetime.fromisoformat(started.replace("Z", "+00:00")).tzinfo is not None


@sqlite_only
def test_in_quiet_the_databases_log_is_folded_in(start):
    server = start()
    converse(server)
    server.wait_recorded(6)
    log = server.home / "db.sqlite3-wal"
    eventually(lambda: not log.exists() or log.stat().st_size == 0, "an empty log")
    converse(server)
    assert server.stop() == 0
    assert not log.exists() or log.stat().st_size == 0


@sqlite_only
def test_in_quiet_the_index_is_merged_and_what_is_free_given_back(start):
    server = start()
    converse(server)
    server.wait_recorded(6)
    database = sqlite3.connect(server.home / "db.sqlite3", isolation_level=None)
    assert database.execute("pragma auto_vacuum").fetchone() == (2,)
    database.executescript("create table filler(x); insert into filler values (zeroblob(3000000)); drop table filler;")
    assert database.execute("pragma freelist_count").fetchone()[0] > 500
    converse(server)
    eventually(lambda: database.execute("pragma freelist_count").fetchone() == (0,), "no free pages")
    before = database.total_changes
    database.execute("insert into search_index(search_index, rank) values ('merge', 1000)")
    assert database.total_changes - before < 2  # nothing was left to merge
