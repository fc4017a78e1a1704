"""The request log and the statistics at the end, of a real server."""

import json
import os
import pty
import re
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.sessions.test_request_log import GUIDE, GUIDES_TEXT
from tests.support.raw import RawClient
from tests.support.server import ROOT, RunningServer, environment, eventually, free_port, start_server
from tests.support.vendors import sse

TOOL = 'use the tool Read with {"file": "a"}'
ANTHROPIC_BODY = {
    "model": "claude-sonnet-4-5",
    "messages": [{"role": "user", "content": TOOL}],
    "tools": [{"name": "Read"}],
}
CHAT_BODY = {
    "model": "gpt-5", "messages": [{"role": "user", "content": TOOL}], "stream_options": {"include_usage": True},
    "tools": [{"type": "function", "function": {"name": "Read"}}],
}  # fmt: skip
RESPONSES_BODY = {"model": "gpt-5", "input": TOOL, "tools": [{"type": "function", "name": "Read"}]}
DIALECTS = [
    ("/v1/messages", ANTHROPIC_BODY, "Anthropic", "ToolUse", "input=150, output=42, cache_read=1000, cache_write=30, total=1222"),
    ("/v1/chat/completions", CHAT_BODY, "OpenAI", "ToolCalls", "input=150, output=42, thinking=15, cache_read=1000, total=1207"),
    ("/v1/responses", RESPONSES_BODY, "OpenAI", "Completed", "input=150, output=42, thinking=15, cache_read=1000, total=1207"),
]  # fmt: skip


def ask(
    server: RunningServer, path: str = "/v1/messages", body: dict = ANTHROPIC_BODY, headers: bytes = b"", **more
) -> int:
    with RawClient(server.port) as client:
        return client.request(target=path.encode(), body=json.dumps(body | more).encode(), headers=headers).status


def boxes_of(output: str) -> list[str]:
    """The boxes of an output, each as its lines; what stands between them is left out."""
    return re.findall(r"^┌─*\n(.*?)^└─*$", output, re.MULTILINE | re.DOTALL)


def logged(server: "RunningServer | Log", count: int) -> list[str]:
    eventually(lambda: len(boxes_of(server.output())) >= count, f"{count} boxes")
    return boxes_of(server.output())


def events_of(*texts: str) -> list[bytes]:
    """An answer of Anthropic's, event by event, that says `texts` and calls a tool."""
    usage = {"input_tokens": 150, "output_tokens": 1}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": usage}
    call = {"type": "tool_use", "id": "t", "name": "Read", "input": {}}
    end = {"delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 420}}
    values = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}} for text in texts),
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": call},
        {"type": "content_block_stop", "index": 1},
        {"type": "message_delta", **end},
        {"type": "message_stop"},
    ]
    return [sse(value["type"], value) for value in values]


async def guides(exchange) -> None:
    """Answer as the guide's sample does."""
    await exchange.read_body()
    await exchange.start_stream()
    for event in events_of(*GUIDES_TEXT):
        await exchange.chunk(event)
    await exchange.end_stream()


@dataclass
class Log:
    """A server that logs requests, and where in its output a test began."""

    server: RunningServer
    begin: int

    def output(self) -> str:
        return self.server.output()[self.begin :]


@pytest.fixture(scope="module")
def logging_server(provider, tmp_path_factory):
    server = start_server(tmp_path_factory.mktemp("log"), provider.url, LUNAROUTE_LOG_REQUESTS="true")
    yield server
    assert server.stop() == 0


@pytest.fixture
def log(logging_server, upstream) -> Log:
    return Log(logging_server, len(logging_server.output()))


def test_the_guides_conversation_is_logged_to_the_letter(log, upstream):
    upstream.script(guides)
    messages = [{"role": role, "content": "x"} for role in ("user", "assistant", "user")]
    ask(log.server, messages=messages, stream=True)
    logged(log, 2)
    assert GUIDE in log.output()
    assert GUIDE.rstrip() in (ROOT / "docs" / "logging.md").read_text()


@pytest.mark.parametrize(("path", "body", "name", "reason", "usage"), DIALECTS, ids=[d[0] for d in DIALECTS])
def test_each_dialect_is_logged_as_stream_and_as_json(log, path, body, name, reason, usage):
    ask(log.server, path, body, stream=True)
    ask(log.server, path, body)
    asked, streamed, again, answered = logged(log, 4)
    assert asked.splitlines()[0] == f"│ REQUEST to {name} (streaming)"
    assert again.splitlines()[0] == f"│ REQUEST to {name}"
    assert streamed.splitlines()[0] == f"│ STREAMING from {name}"
    assert answered.splitlines()[0] == f"│ RESPONSE from {name}"
    for box, what in ((streamed, "Stream"), (answered, "Response")):
        said = "".join(re.findall("^│ 📝 (.*)$", box, re.MULTILINE))
        assert said == "I will use a tool."
        assert box.splitlines()[-3:] == ["│ 🔧 Tool call: Read", f"│ 📊 Usage: {usage}", f"│ 🏁 {what} ended: {reason}"]


def test_text_is_on_the_terminal_while_it_comes_and_parallel_streams_do_not_mix(log, upstream):
    gates = {name: upstream.event() for name in ("one", "two")}

    async def gated(exchange) -> None:
        await exchange.read_body()
        name = exchange.request.json["messages"][0]["content"]
        events = events_of(f"{name} begins with this", f"{name} ends with that")
        await exchange.start_stream()
        for event in events[:3]:
            await exchange.chunk(event)
        await gates[name].wait()
        for event in events[3:]:
            await exchange.chunk(event)
        await exchange.end_stream()

    upstream.script(gated)

    def begin(name: str) -> threading.Thread:
        body = {"model": name, "messages": [{"role": "user", "content": name}], "stream": True}
        thread = threading.Thread(target=ask, args=(log.server, "/v1/messages", body))
        thread.start()
        return thread

    threads = [begin("one")]
    eventually(lambda: "│ 📝 one begins with this\n" in log.output(), "the first text")
    assert "ends" not in log.output()
    threads.append(begin("two"))
    # The first says nothing for a while: the second is told, in a box of its own.
    eventually(lambda: "│ 📝 two begins with this\n" in log.output(), "the second text")
    for gate in gates.values():
        gate.open()
    for thread in threads:
        thread.join(15)
    eventually(lambda: log.output().count("🏁") == 2, "both ends")
    output = log.output()
    for name in ("one", "two"):
        assert output.count(f"│ 📝 {name} begins with this\n") == output.count(f"│ 📝 {name} ends with that\n") == 1
    assert not any("📝 one" in box and "📝 two" in box for box in boxes_of(output))
    assert output.count("┌") == output.count("└")


def test_what_is_redacted_in_the_record_is_redacted_in_the_log(start, tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text("session_recording: {pii: {enabled: true}}\nlogging: {level: debug, log_requests: true}\n")
    server = start("--config", str(config))
    messages = [{"role": "user", "content": "I am john.doe@corp-mail.org, hello"}]
    ask(
        server,
        messages=messages,
        stream=True,
        headers=b"x-who: john.doe@corp-mail.org\r\nauthorization: Bearer abc\r\n",
    )
    ask(server, messages=messages)
    boxes = logged(server, 4)
    assert "".join(re.findall("📝 (.*)\n", boxes[1])) == "You said: I am [EMAIL], hello"
    assert '"content": "I am [EMAIL], hello"' in boxes[0]
    assert "│   x-who: [EMAIL]\n" in boxes[0]
    assert server.stop() == 0
    assert "john.doe" not in server.output()
    assert "Bearer" not in server.output()


def test_debug_shows_headers_times_and_bodies(start):
    server = start(LUNAROUTE_LOG_REQUESTS="true", LUNAROUTE_LOG_LEVEL="debug")
    ask(server, headers=b"x-custom: yes\r\nx-some-token: secret-1\r\n")
    asked, answered = logged(server, 2)
    assert "│   x-custom: yes\n" in asked
    assert "secret-1" not in server.output()
    assert '│     "model": "claude-sonnet-4-5",\n' in asked
    assert "│   request-id: req_" in answered
    assert re.search(
        r"│ ⏱ Timing: total [\d.]+ms, overhead [\d.]+ms, provider [\d.]+ms, first byte [\d.]+ms\n", answered
    )


def test_a_failure_is_logged(log, upstream):
    async def overloaded(exchange) -> None:
        await exchange.read_body()
        error = {"type": "overloaded_error", "message": "Overloaded \x1b[2J"}
        await exchange.json({"type": "error", "error": error}, 529)

    upstream.script(overloaded)
    assert ask(log.server, stream=True) == 529
    assert logged(log, 2)[1].splitlines()[2:] == ["│ Status: 529", "│ ❌ overloaded_error: Overloaded ␛[2J"]


def test_what_is_not_recorded_is_logged_and_counted_all_the_same(start, upstream):
    upstream.script(guides)
    server = start(LUNAROUTE_LOG_REQUESTS="true", LUNAROUTE_ENABLE_SESSION_RECORDING="false")
    assert ask(server, stream=True) == 200
    eventually(lambda: "Stream ended" in server.output(), "the box's end")
    assert server.stop() == 0
    assert "📊 Usage: input=150, output=420, total=570" in server.output()
    assert "📊 Session Statistics Summary" in server.output()
    assert "  Input tokens:    150\n" in server.output()


def test_where_nothing_is_read_the_start_says_that_nothing_is_logged(start, unread):
    server = start("--config", unread, LUNAROUTE_LOG_REQUESTS="true")
    assert "no requests are logged, because session_recording.counting is false" in server.output()
    assert ask(server) == 200
    assert server.stop() == 0
    assert "Session Statistics" not in server.output()


def launch(home: Path, upstream_url: str, stdout: int, **more: str) -> RunningServer:
    """Start a server whose standard output is `stdout`."""
    port = free_port()
    settings = {
        "LUNAROUTE_PORT": str(port),
        "LUNAROUTE_ANTHROPIC_BASE_URL": upstream_url,
        "LUNAROUTE_LOG_REQUESTS": "true",
    }
    log = home / "errors.log"
    with open(log, "ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "serve", "--no-worker"], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=stdout,
            stderr=errors, env=environment(home, **settings, **more), start_new_session=True,
        )  # fmt: skip
    server = RunningServer(process, home / ".lunaroute", port, log)

    def answers() -> bool:
        try:
            return server.get("/healthz")[0] == 200
        except OSError:
            return False

    eventually(answers, "an answer of /healthz", 30)
    return server


def test_a_reader_that_does_not_read_stops_no_request_and_no_end(tmp_path, upstream):
    reader, writer = os.pipe()
    server = launch(tmp_path, upstream.url, writer, LUNAROUTE_LOG_LEVEL="debug")
    try:
        for number in range(40):
            padding = "x" * 200_000  # in all, more than a pipe and the queue hold
            assert ask(server, messages=[{"role": "user", "content": f"{number} {padding}"}]) == 200
        server.wait_recorded(40)
        assert server.stop() == 0
    finally:
        if server.process.poll() is None:
            server.kill_tree()
        os.close(reader)
        os.close(writer)
    assert server.output().count("the statistics took too long") == 1


@pytest.mark.parametrize("no_color", ["", "1"])
def test_a_terminal_gets_colours_and_a_pipe_gets_none(tmp_path, upstream, no_color):
    ours, theirs = pty.openpty()
    server = launch(tmp_path, upstream.url, theirs, TERM="xterm", NO_COLOR=no_color)
    shown = bytearray()

    def read() -> None:
        try:
            while b"Estimated cost" not in shown:
                shown.extend(os.read(ours, 1 << 16))
        except OSError:
            pass

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        ask(server)
        server.wait_recorded(1)
        assert server.stop() == 0
        thread.join(10)
    finally:
        if server.process.poll() is None:
            server.kill_tree()
        os.close(theirs)
        os.close(ours)
    assert (b"\x1b[1m REQUEST to Anthropic\x1b[0m" in shown) == (not no_color)
    assert (b"\x1b" in shown) == (not no_color)
    assert b"REQUEST to Anthropic" in shown


# -- statistics at the end -----------------------------------------------------------------------------------------


def test_the_end_prints_the_sessions_of_this_run(start):
    first = start()
    ask(first, headers=b"session_id: before\r\n")
    first.wait_recorded(1)
    first.stop()
    assert re.findall("^Session: .*", first.output(), re.MULTILINE) == ["Session: before"]
    second = start("--config", os.devnull, port=first.port)
    shown = len(second.output())
    for name in (b"one", b"two"):
        ask(second, headers=b"session_id: %b\r\n" % name)
    second.wait_recorded(3)
    assert second.stop() == 0
    output = second.output()[shown:]
    assert output.count("📊 Session Statistics Summary\n═") == 1
    assert re.findall("^(?:Session|Total).*", output, re.MULTILINE) == [
        "Session: one",
        "Session: two",
        "Total of 2 sessions",
    ]
    assert "Turns:" not in output
    assert boxes_of(output) == [], "no request is logged unless somebody asks for it"


def test_at_debug_each_turn_has_its_tokens(start):
    server = start(LUNAROUTE_LOG_LEVEL="debug")
    for _ in range(2):
        ask(server, headers=b"session_id: one\r\n")
    server.wait_recorded(2)
    assert server.stop() == 0
    tokens = "input=150, output=42, cache_read=1000, cache_write=30, total=1222 (claude-sonnet-4-5)"
    assert f"  Turns:\n    1: {tokens}\n    2: {tokens}\n\n" in server.output()


@pytest.mark.parametrize(("limit", "shown"), [(0, []), (1, ["Session: two"])])
def test_the_end_prints_as_many_sessions_as_are_asked_for(start, tmp_path, limit, shown):
    config = tmp_path / "c.yaml"
    config.write_text(f"session_stats_max_sessions: {limit}\n")
    server = start("--config", str(config))
    for name in (b"one", b"two"):
        ask(server, headers=b"session_id: %b\r\n" % name)
    server.wait_recorded(2)
    server.stop()
    assert re.findall("^Session: .*", server.output(), re.MULTILINE) == shown


def test_a_run_that_recorded_nothing_prints_nothing(start):
    server = start()
    server.stop()
    assert "Statistics" not in server.output()
