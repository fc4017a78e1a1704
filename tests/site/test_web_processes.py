"""`serve --web N`: several web processes on one port, which look like one from outside."""

import concurrent.futures
import json
import os
import re
import signal
import time
from contextlib import ExitStack

import httpx
import pytest

from tests.site.test_worker import run
from tests.support.live import LivePage
from tests.support.server import eventually

ANSWER = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "stop_reason": "end_turn",
    "content": [{"type": "text", "text": "done"}], "usage": {"input_tokens": 7, "output_tokens": 3},
}  # fmt: skip


def ask(server, text: str, session: str = "one") -> None:
    """Send a request on a connection of its own."""
    body = {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": text}]}
    headers = {"x-session-id": session, "anthropic-version": "2023-06-01", "x-api-key": "k"}
    answer = httpx.post(f"{server.url}/v1/messages", json=body, headers=headers, trust_env=False)
    assert (answer.status_code, answer.json()) == (200, ANSWER)


async def answer(exchange) -> None:
    """The provider's part."""
    await exchange.json(ANSWER)


def process(server, name: str) -> int:
    """Give a process's id."""
    return json.loads((server.home / "processes.json").read_text())[name]["pid"]


def metrics(server, name: str) -> dict[str, float]:
    """Give a counter by web process."""
    text = httpx.get(f"{server.url}/metrics", trust_env=False).text
    found: dict[str, float] = {}
    for labels, value in re.findall(rf"^{name}{{([^}}]*)}} (\S+)$", text, re.MULTILINE):
        web = re.search(r'web="(\d+)"', labels)[1]
        found[web] = found.get(web, 0) + float(value)
    return found


@pytest.fixture
def two(start, upstream):
    upstream.script(answer)
    return start("serve", "--web", "2")


def test_all_serve_and_each_request_is_recorded_and_counted_once(two):
    for number in range(40):
        ask(two, f"question {number}")
    two.wait_recorded(40)
    counted = eventually(
        lambda: (found := metrics(two, "lunaroute_requests_total")) and sum(found.values()) == 40 and found,
        "40 counted requests",
    )
    assert set(counted) == {"1", "2"}
    assert min(counted.values()) > 0
    assert two.rows("SELECT count(*), sum(input_tokens) FROM exchanges") == [(40, 280)]


def test_one_that_is_killed_is_started_again_and_the_other_goes_on(two):
    old = process(two, "web-1")
    os.kill(old, signal.SIGKILL)
    eventually(lambda: process(two, "web-1") not in (0, old), "a new web process")
    eventually(lambda: two.get("/healthz")[0] == 200, "an answer")
    for number in range(20):
        ask(two, f"question {number}")
    two.wait_recorded(20)
    counted = eventually(
        lambda: (found := metrics(two, "lunaroute_requests_total")) and sum(found.values()) == 20 and found,
        "20 counted requests",
    )
    assert set(counted) == {"1", "2"}


def test_a_recorder_that_is_killed_costs_nothing(two):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask, two, f"question {number}", f"s{number % 5}") for number in range(60)]
        time.sleep(0.05)
        os.kill(process(two, "recorder"), signal.SIGKILL)
        for one in asked:
            one.result()
    two.wait_recorded(60)
    assert two.rows("SELECT count(DISTINCT request_id) FROM exchanges") == [(60,)]
    assert two.stop() == 0, two.output()


def test_status_shows_each(two):
    done = run(two.home.parent, "status", "--json")
    told = json.loads(done.stdout)
    assert {"web-1", "web-2", "recorder"} <= set(told["processes"])
    assert told["recorder"]["queue_bytes"] == 0


def test_a_page_at_any_of_them_follows_what_any_records(two):
    ask(two, "the first question")
    two.wait_recorded(1)
    with ExitStack() as stack:
        pages = [LivePage(two, "one") for _ in range(8)]
        for page in pages:
            stack.callback(page.close)
            page.open()
        for number in range(4):
            ask(two, f"question {number}")
        for page in pages:
            page.follow(lambda page=page: "question 3" in "".join(page.html()))


def test_what_one_finds_out_about_a_provider_the_others_know(start, upstream, tmp_path):
    async def failing(exchange) -> None:
        await exchange.read_body()
        is_backup = exchange.request.target.startswith(b"/backup")
        await exchange.json(ANSWER if is_backup else {"error": "down"}, 200 if is_backup else 500)

    upstream.script(failing)
    config = tmp_path / "c.yaml"
    config.write_text(f"""
providers:
  first: {{provider_type: anthropic, base_url: "{upstream.url}/first"}}
  backup: {{provider_type: anthropic, base_url: "{upstream.url}/backup"}}
routing: {{rules: [{{name: all, model_pattern: ".*", primary: first, fallbacks: [backup]}}]}}
""")
    server = start("--config", str(config), "serve", "--web", "2")

    def tried() -> int:
        return sum(request.target.startswith(b"/first") for request in upstream.requests)

    for _ in range(5):  # of two processes, one has met three failures then
        ask(server, "hello")
    assert 3 <= tried() <= 5
    eventually(lambda: server.rows("SELECT provider FROM routing_trips") == [("first",)], "a note of it")
    before = tried()
    for _ in range(20):
        ask(server, "hello")
    assert tried() == before
