"""Sessions as files."""

import csv
import json
import re
from io import StringIO

import pytest
import zstandard
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from sessions.export.csv_export import _cell
from sessions.export.readable import _fenced
from sessions.models import Session
from sessions.rebuild import bodies
from sessions.store import Store
from tests.sessions.test_deletion import record
from tests.sessions.test_recording import SESSION, converse
from tests.support.raw import RawClient

EVIL = '</pre><script>alert(1)</script><img src="https://evil.example/x.png" onerror=alert(1)> ````` [a](javascript:alert(1))'


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, provider):
    from tests.support.server import start_server

    provider.reset()
    server = start_server(tmp_path_factory.mktemp("export"), provider.url)
    converse(server)
    with RawClient(server.port) as client:
        client.request(body=b'{"model": "m", "messages": [', headers=b"session_id: broken\r\n")
    server.wait_recorded(7)
    yield server
    assert server.stop() == 0, server.output()


def export(server, name: str, session: str = SESSION) -> tuple[dict, str]:
    status, headers, body = server.get(f"/sessions/{session}/export?format={name}")
    assert status == 200, body
    return {key.lower(): value for key, value in headers.items()}, body.decode()


def test_jsonl_is_the_file(recorded):
    headers, text = export(recorded, "jsonl")
    (path,) = recorded.home.glob(f"sessions/*/session_{SESSION}.jsonl")
    assert text == path.read_text()
    assert headers["content-disposition"] == f'attachment; filename="lunaroute_{SESSION}.jsonl"'


def test_jsonl_is_read_from_a_compressed_file_too(recorded):
    (path,) = recorded.home.glob("sessions/*/session_broken.jsonl")
    text = path.read_bytes()
    packed = path.with_name(f"{path.name}.zst")
    packed.write_bytes(zstandard.compress(text[:100]) + zstandard.compress(text[100:]))
    path.unlink()
    assert export(recorded, "jsonl", "broken")[1].encode() == text
    packed.unlink()
    path.write_bytes(text)


@pytest.mark.parametrize("session", [SESSION, "broken"])
def test_without_the_file_lines_that_say_the_same_are_made_again(recorded, session):
    (path,) = recorded.home.glob(f"sessions/*/session_{session}.jsonl")
    away = path.rename(path.with_suffix(".away"))
    try:
        made = export(recorded, "jsonl", session)[1].splitlines()
    finally:
        away.rename(path)
    kept = path.read_text().splitlines()
    assert list(bodies(line.encode() for line in made)) == list(bodies(line.encode() for line in kept))
    for one, other in zip(map(json.loads, made), map(json.loads, kept), strict=True):
        for name in ("request_json", "request_headers"):
            one.pop(name, None), other.pop(name, None)
        assert one.pop("request_text", "").startswith(other.pop("request_text", "").rstrip("…"))
        assert one == other


def test_json_is_one_object(recorded):
    value = json.loads(export(recorded, "json")[1])
    assert value["session"] == recorded.json(f"/sessions/{SESSION}")
    assert value["exchanges"] == recorded.json(f"/sessions/{SESSION}/exchanges")
    assert value["tools"] == recorded.json(f"/sessions/{SESSION}/tools")


def test_csv_has_a_line_for_each_exchange(recorded):
    rows = list(csv.DictReader(StringIO(export(recorded, "csv")[1])))
    assert [row["session_id"] for row in rows] == [SESSION] * 6
    assert sum(int(row["total_tokens"]) for row in rows) == 7332
    assert rows[0]["model_used"] == "claude-sonnet-4-5"


def test_markdown_tells_the_conversation(recorded):
    text = export(recorded, "markdown")[1]
    assert text.startswith("# turn 0:")
    assert "### user" in text
    assert "**Read** (" in text
    assert '"/f0"' in text or "file_path: /f0" in text


def test_an_unknown_format_is_a_422_that_names_it(recorded):
    status, _, body = recorded.get(f"/sessions/{SESSION}/export?format=pdf")
    assert (status, json.loads(body)["detail"][0]["loc"][-1]) == (422, "format")


def test_export_can_be_switched_off(start, tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text("ui:\n  export_enabled: false\n")
    status, _, body = start("--config", str(config)).get("/sessions/x/export")
    assert status == 404
    assert b"ui.export_enabled" in body


@pytest.fixture
def evil(db, tmp_path) -> Client:
    store = Store("here", tmp_path, write_jsonl=True, keep_user_agent=True)
    record(store, "evil", [EVIL])
    Session.objects.update(title=EVIL, model_used="=cmd|' /C calc'!A0")
    return Client()


def test_html_runs_nothing_and_loads_nothing(evil):
    answer = evil.get("/sessions/evil/export?format=html")
    text = b"".join(answer.streaming_content).decode()
    assert "sandbox" in answer["Content-Security-Policy"]
    assert text.count("&lt;script&gt;") >= 2
    assert text.rstrip().endswith("</html>")
    tags = set(re.findall(r"<([a-z0-9]+)", text))
    assert not tags & {"script", "link", "iframe", "object", "embed", "base", "form", "a", "img"}
    assert not re.search(r"<[^>]*\son\w+=", text)
    assert not re.search(r"@import|url\(", text)


def test_markdown_keeps_code_blocks_closed(evil):
    text = b"".join(evil.get("/sessions/evil/export?format=markdown").streaming_content).decode()
    assert text.startswith("# </pre>")
    assert "a: 1" in text


@given(st.text(alphabet="`a\n", max_size=50))
def test_no_text_closes_its_code_block(text):
    fence, *_, end = _fenced(text).strip("\n").split("\n")
    assert fence == end
    assert fence not in text


@given(st.text(max_size=20))
def test_no_cell_is_a_formula(text):
    cell = _cell(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert cell in (text, f"'{text}")
