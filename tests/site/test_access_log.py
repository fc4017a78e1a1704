"""The access log of a real server."""

import json
import re
from datetime import UTC, datetime

from sessions.access_log import as_json, as_text
from sessions.models import Exchange, Session
from tests.site.test_request_log import ask, guides
from tests.support.server import eventually

LINE = re.compile(
    r'^\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z 127\.0\.0\.1 "POST /v1/messages" 200 anthropic '
    r"m [\d.]+ms 570tok - ([0-9a-f-]{36})$",
    re.MULTILINE,
)


def config(tmp_path, text: str) -> str:
    path = tmp_path / "access.yaml"
    path.write_text(f"logging: {{access_log: true, {text}}}\n")
    return str(path)


def test_a_line_for_each_request(start, upstream, tmp_path):
    server = start("--config", config(tmp_path, "log_requests: false"))
    upstream.script(guides)
    assert ask(server, stream=True) == 200
    (request_id,) = eventually(lambda: LINE.findall(server.output()), "a line")
    assert server.rows("select count(*) from exchanges where request_id = ?", request_id) == [(1,)]
    assert "│" not in server.output()


def test_in_json_it_has_all_figures_and_nothing_that_was_said(start, upstream, tmp_path):
    server = start("--config", config(tmp_path, "format: json"), LUNAROUTE_ENABLE_SESSION_RECORDING="false")
    upstream.script(guides)
    assert ask(server, stream=True, headers=b"x-project-id: moon\r\nsession_id: s1\r\n") == 200

    def lines() -> list[dict]:
        return [json.loads(line) for line in server.output().splitlines() if line.startswith("{")]

    (entry,) = eventually(lambda: [line for line in lines() if "session_id" in line], "a line")
    assert (entry["session_id"], entry["project"], entry["status"], entry["success"]) == ("s1", "moon", 200, True)
    assert (entry["input_tokens"], entry["output_tokens"], entry["error"]) == (150, 420, "")
    assert entry["time"].endswith("Z")
    assert entry["duration_ms"] >= entry["proxy_overhead_ms"] > 0
    assert "help you" not in server.output()


def test_it_stands_between_the_boxes(start, upstream, tmp_path):
    server = start("--config", config(tmp_path, "log_requests: true"))
    upstream.script(guides)
    assert ask(server, stream=True) == 200
    eventually(lambda: LINE.search(server.output()), "a line")
    assert server.stop() == 0
    box = server.output().index("STREAMING from")
    assert server.output().index("Stream ended") > box
    assert LINE.search(server.output()[: server.output().index("│")]) is None


def test_nothing_in_it_is_obeyed_by_a_terminal():
    row = Exchange(
        session=Session(session_id="s"), method="POST", path="/\x1b[2J", status=200, provider="p", request_id="r",
        error="x\n\x1b]0;owned\x07", completed_at=datetime.now(UTC), cost_usd=0.25,
    )  # fmt: skip
    assert not re.search(r"[\x00-\x1f]", as_text(row))
    assert not re.search(r"[\x00-\x1f]", as_json(row))
    assert " $0.2500 r " in as_text(row)
