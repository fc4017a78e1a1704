"""Budgets on a real server: what is counted, refused and told, with both vendors' SDKs."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import anthropic
import httpx
import openai
import pytest

from lunaroute_site.config import load
from tests.site.test_docs import blocks
from tests.support.raw import RawClient
from tests.support.server import eventually

HELLO = [{"role": "user", "content": "hello"}]
CLAUDE = {"model": "claude-sonnet-4-5", "max_tokens": 10, "messages": HELLO}


@pytest.fixture
def hook() -> Iterator[list]:
    """A server that takes notices; gives what came: (path, headers, JSON)."""
    came: list = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            came.append((self.path, dict(self.headers), json.loads(body)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    came.append(server.server_address[1])
    yield came
    server.shutdown()
    server.server_close()


@pytest.fixture
def limited(start, tmp_path: Path):
    """Start a server with budgets in YAML."""

    def begin(budgets: str, **options):
        path = tmp_path / "c.yaml"
        path.write_text(f"budgets:\n{budgets}\n{options.pop('more', '')}\n")
        return start("--config", str(path), **options)

    return begin


def ask(server, **headers: str) -> httpx.Response:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    with httpx.Client(trust_env=False) as client:
        return client.post(f"{server.url}/v1/messages", json=CLAUDE, headers={"x-api-key": "k", **headers})


def spend(server, **headers: str) -> None:
    """Ask until it is refused: what an answer costs counts when it is on record."""
    eventually(lambda: ask(server, **headers).status_code == 429, "a refusal")


def test_beyond_a_limit_both_sdks_are_refused_and_do_not_ask_again(limited, upstream):
    server = limited("  - {name: small, limit_usd: 0.0001, refuse: true}")
    assert ask(server).status_code == 200
    spend(server)
    upstream.requests.clear()
    with pytest.raises(anthropic.RateLimitError) as raised:
        anthropic.Anthropic(base_url=server.url, api_key="k").messages.create(**CLAUDE)
    assert raised.value.body["type"] == "error"
    assert raised.value.body["error"]["type"] == "rate_limit_error"
    message = raised.value.body["error"]["message"]
    assert "budget 'small' (everything) is used up: $0.0" in message
    assert "resets at" in message
    assert int(raised.value.response.headers["retry-after"]) > 0
    assert raised.value.response.headers["x-lunaroute-error"] == "1"
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="k")
    with pytest.raises(openai.RateLimitError) as told:
        client.chat.completions.create(model="gpt-5", messages=HELLO)
    assert told.value.type == "insufficient_quota"
    with pytest.raises(openai.RateLimitError):
        client.responses.create(model="gpt-5", input="hello")
    assert not upstream.requests
    assert [model.id for model in client.models.list()] == ["gpt-5"]
    counted = anthropic.Anthropic(base_url=server.url, api_key="k").messages.count_tokens(
        model="claude-sonnet-4-5", messages=HELLO
    )
    assert counted.input_tokens == 42
    query = "select status, success, cost_usd, request_bytes from exchanges where error like 'budget: %'"
    # One ended the spending, and each call of an SDK asked once.
    rows = eventually(lambda: len(server.rows(query)) >= 4 and server.rows(query), "the refusals' record")
    assert len(rows) == 4
    assert {(row[0], bool(row[1]), row[2]) for row in rows} == {(429, False, None)}
    assert all(row[3] > 30 for row in rows)


def test_a_websocket_is_refused_likewise(limited):
    server = limited("  - {name: small, limit_usd: 0.0001, refuse: true}")
    ask(server)
    spend(server)
    with RawClient(server.port) as client:
        client.send(
            b"GET /v1/responses HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        answer = client.answer()
    assert answer.status == 429
    assert b"insufficient_quota" in answer.body


def test_only_the_project_or_client_of_the_budget_is_refused(limited):
    server = limited(
        "  - {name: p, scope: project, value: shop, limit_usd: 0.0001, refuse: true}\n"
        "  - {name: c, scope: client, value: codex, limit_usd: 0.0001, refuse: true}\n"
        "  - {name: told, limit_usd: 0.0001}"
    )
    ask(server)
    spend(server, x_project_id="shop", session_id="one")
    assert ask(server, x_project_id="other").status_code == 200
    spend(server, user_agent="codex_cli_rs/1", session_id="two")
    assert ask(server).status_code == 200


def test_a_restart_still_refuses_and_tells_nobody_twice(limited, hook, tmp_path):
    budgets = (
        f'  - {{name: small, limit_usd: 0.0001, refuse: true, webhook_url: "http://127.0.0.1:{hook[0]}/secret-path"}}'
    )
    server = limited(budgets)
    spend(server)
    told = eventually(lambda: len(hook) == 3 and hook[1:], "both notices")
    assert sorted(value["threshold"] for _, _, value in told) == [80, 100]
    path, headers, value = told[0]
    assert path == "/secret-path"
    assert value["budget"] == "small"
    assert value["limit_usd"] == 0.0001
    assert value["spent_usd"] > 0.0001
    assert not {name.lower() for name in headers} & {"authorization", "x-api-key", "cookie"}
    assert server.stop() == 0
    again = limited(budgets)
    assert ask(again).status_code == 429
    assert len(hook) == 3
    assert again.output().count("is used up: $") == 1  # of the two servers' common log
    assert "secret-path" not in again.output()
    assert "secret-path" not in again.get("/ui/settings")[2].decode()


def test_with_recording_off_costs_still_count_and_outlive_a_restart(limited):
    more = "session_recording: {enabled: false}"
    server = limited("  - {name: small, limit_usd: 0.0001, refuse: true}", more=more)
    assert ask(server).status_code == 200
    spend(server)
    assert server.stop() == 0
    again = limited("  - {name: small, limit_usd: 0.0001, refuse: true}", more=more)
    assert ask(again).status_code == 429


def test_a_stream_that_runs_is_not_cut(limited, upstream):
    gate = upstream.event()

    async def slow(exchange) -> None:
        await exchange.read_body()
        await exchange.start_stream()
        await exchange.chunk(b"event: ping\ndata: {}\n\n")
        await gate.wait()
        await exchange.chunk(b"event: ping\ndata: {}\n\n")
        await exchange.end_stream()

    server = limited("  - {name: small, limit_usd: 0.0001, refuse: true}")
    upstream.script(slow)
    with (
        httpx.Client(trust_env=False) as client,
        client.stream("POST", f"{server.url}/v1/messages", json={**CLAUDE, "stream": True}) as answer,
    ):
        pieces = answer.iter_bytes()
        next(pieces)
        upstream.script(None)
        spend(server)
        gate.open()
        assert b"".join(pieces).endswith(b"data: {}\n\n")


def test_the_pages_example_is_a_configuration(tmp_path):
    (example,) = blocks("docs/budgets.md", "yaml")
    path = tmp_path / "c.yaml"
    path.write_text(example)
    assert [budget.name for budget in load({"LUNAROUTE_CONFIG": str(path)}).budgets] == ["team", "moon, each day"]
