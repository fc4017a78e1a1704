"""The database, rebuilt from the JSONL files of a real server."""

import json
import shutil
import sqlite3
from pathlib import Path

import openai
import pytest
import zstandard

from tests.sessions.test_recording import SESSION, converse
from tests.site.test_commands import run
from tests.support.raw import RawClient

# What lines do not have, or what is another row's number.
LEFT_OUT = {
    "id", "session_id", "parent_id", "exchange_id", "result_exchange_id", "response", "answer", "response_headers", "request_headers", "overhead_before_ms",
    "overhead_after_ms", "attempts", "query", "recorder",
}  # fmt: skip


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, provider):
    """A home with sessions of all three dialects, its server stopped."""
    from tests.support.server import start_server

    provider.reset()
    server = start_server(tmp_path_factory.mktemp("import"), provider.url)
    converse(server)
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="sk-x", default_headers={"x-session-id": "chat"})
    for stream in (False, True):
        answer = client.chat.completions.create(
            model="gpt-5", messages=[{"role": "user", "content": "häh?"}], stream=stream
        )
        if stream:
            list(answer)
    client.responses.create(model="gpt-5", input="one", instructions="Be brief.")
    with RawClient(server.port) as raw:
        marked = b'{"model": "m",\n "messages": [{"role":"user","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}]}]}'
        raw.request(body=marked, headers=b"session_id: raw\r\n")
        raw.request(body=b'{"model": "m", "messages": [', headers=b"session_id: broken\r\n")
        raw.request(target=b"/v1/unheard/of", body=b'{"x": 1}', headers=b"session_id: raw\r\n")
    server.wait_recorded(12)
    assert server.stop() == 0
    return server


def table(home: Path, name: str, order: str) -> list[dict]:
    connection = sqlite3.connect(home / "db.sqlite3")
    connection.row_factory = sqlite3.Row
    rows = [dict(row) for row in connection.execute(f"select * from {name} order by {order}")]
    connection.close()
    left_out = LEFT_OUT - {"session_id"} if name == "sessions" else LEFT_OUT
    return [{key: _value(value) for key, value in row.items() if key not in left_out} for row in rows]


def _value(value: object) -> object:
    return json.loads(value) if isinstance(value, str) and value[:1] in "[{" and value else value


@pytest.fixture
def rebuilt(recorded, tmp_path):
    """A home with the same files, and no database."""
    shutil.copytree(recorded.home / "sessions", tmp_path / ".lunaroute" / "sessions")
    return tmp_path


def close(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    for key, value in one.items():
        assert other[key] == (pytest.approx(value) if isinstance(value, float) else value), key


def test_everything_comes_back(recorded, rebuilt):
    done = run(rebuilt, "import", str(rebuilt / ".lunaroute" / "sessions"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "12 exchanges imported, 0 were there already, 0 skipped; 0 request bodies" in done.stdout
    home = rebuilt / ".lunaroute"
    for name, order in (
        ("sessions", "session_id"),
        ("exchanges", "request_id"),
        ("tool_calls", "call_id"),
        ("nodes", "key"),
    ):
        before, after = table(recorded.home, name, order), table(home, name, order)
        assert len(before) == len(after), name
        for one, other in zip(before, after, strict=True):
            close(one, other)


def test_bodies_come_back_byte_for_byte(recorded, rebuilt, start, database_url):
    done = run(rebuilt, "import", str(rebuilt / ".lunaroute" / "sessions"), DATABASE_URL=database_url)
    assert (done.returncode, done.stderr) == (0, "")
    server = start(home=rebuilt)
    again = start(home=recorded.home.parent, DATABASE_URL="")
    for one, other in zip(again.json("/sessions"), server.json("/sessions"), strict=True):
        close(one, other)
    for session in again.json("/sessions"):
        name = session["session_id"]
        for exchange in again.json(f"/sessions/{name}/exchanges"):
            path = f"/sessions/{name}/exchanges/{exchange['request_id']}/raw"
            assert server.get(path)[2] == again.get(path)[2]
    shown = server.json(f"/sessions/{SESSION}/exchanges")
    assert [e["answer"] for e in shown] == [e["answer"] for e in again.json(f"/sessions/{SESSION}/exchanges")]
    assert server.get(f"/sessions/{SESSION}/exchanges/{shown[0]['request_id']}/raw?part=response")[0] == 404
    assert server.get(f"/sessions/{SESSION}/export")[2] == again.get(f"/sessions/{SESSION}/export")[2]


def test_importing_twice_changes_nothing(rebuilt):
    files = str(rebuilt / ".lunaroute" / "sessions")
    run(rebuilt, "import", files)
    before = table(rebuilt / ".lunaroute", "sessions", "session_id")
    done = run(rebuilt, "import", files)
    assert (done.returncode, "0 exchanges imported, 12 were there already" in done.stdout) == (0, True)
    assert table(rebuilt / ".lunaroute", "sessions", "session_id") == before


def test_torn_and_foreign_lines_are_named_and_skipped(rebuilt):
    (path,) = (rebuilt / ".lunaroute").glob(f"sessions/*/session_{SESSION}.jsonl")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("no line\n" + "".join(lines) + '{"type": "shopping"}\n' + lines[0][:50])
    packed = path.with_suffix(".jsonl.zst")
    packed.write_bytes(zstandard.compress(path.read_bytes()[:3000]) + zstandard.compress(path.read_bytes()[3000:]))
    path.unlink()
    (rebuilt / "x.jsonl.zst").write_bytes(b"not zstd")
    done = run(rebuilt, "import", str(packed), str(rebuilt / "x.jsonl.zst"))
    assert done.returncode == 1
    named = done.stderr.splitlines()
    assert [line.split(": ")[1] for line in named] == [
        f"{packed}, line 1", f"{packed}, line {len(lines) + 2}", f"{packed}, line {len(lines) + 3}", str(rebuilt / "x.jsonl.zst"),
    ]  # fmt: skip
    assert "6 exchanges imported" in done.stdout


def test_a_body_that_does_not_fit_its_hash_is_marked(rebuilt):
    (path,) = (rebuilt / ".lunaroute").glob(f"sessions/*/session_{SESSION}.jsonl")
    path.write_text(path.read_text().replace("turn 0: use", "turn X: use"))
    done = run(rebuilt, "import", str(path))
    assert done.returncode == 0
    captures = {row["capture"] for row in table(rebuilt / ".lunaroute", "exchanges", "id")}
    assert "imported" in captures
    assert "0 request bodies" not in done.stdout


def test_what_is_not_there_is_one_line_and_exit_1(tmp_path):
    for arguments in ([], [str(tmp_path / "none")]):
        done = run(tmp_path, "import", *arguments)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
