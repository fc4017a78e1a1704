"""The Responses API over a WebSocket, as Codex speaks it."""

import json

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.support.frames import TEXT, accept, frame, read_frame
from tests.support.server import eventually

SESSION = "0199a213-81c0-7800-8aa1-bbab2a035a53"


def ask(socket, text: str, **fields) -> list[dict]:
    """Send a request and take its events."""
    entry = {"role": "user", "content": [{"type": "input_text", "text": text}]}
    socket.send(json.dumps({"type": "response.create", "model": "gpt-5", "input": [entry], "stream": True, **fields}))
    events = []
    while not events or events[-1]["type"] != "response.completed":
        events.append(json.loads(socket.recv(timeout=10)))
    return events


@pytest.mark.parametrize("path", ["/v1/responses", "/responses"])
def test_messages_pass_both_ways(server, upstream, path):
    with connect(
        f"ws://127.0.0.1:{server.port}{path}", additional_headers={"session_id": SESSION}, proxy=None
    ) as socket:
        assert ask(socket, "hello")[-1]["response"]["output"][-1]["content"][0]["text"] == "You said: hello"
        assert upstream.requests[-1].header("session_id") == SESSION
        assert len(ask(socket, "x" * 200_000)) > 5


def test_each_request_is_an_exchange_of_its_session(start, upstream):
    server = start()
    with connect(
        f"ws://127.0.0.1:{server.port}/v1/responses", additional_headers={"session_id": SESSION}, proxy=None
    ) as socket:
        first = ask(socket, 'use the tool shell with {"cmd": "ls"}', tools=[{"type": "function", "name": "shell"}])
        response = first[-1]["response"]
        call = response["output"][-1]
        result = {"type": "function_call_output", "call_id": call["call_id"], "output": "README.md"}
        socket.send(
            json.dumps(
                {"type": "response.create", "model": "gpt-5", "input": [result], "previous_response_id": response["id"]}
            )
        )
        while json.loads(socket.recv(timeout=10))["type"] != "response.completed":
            pass
        server.wait_recorded(2)  # while the connection is still open
    rows = server.rows("select transport, kind, dialect, success, total_tokens, parent_id from exchanges order by id")
    assert rows == [("ws", "model", "openai-responses", 1, 1207, None), ("ws", "model", "openai-responses", 1, 1207, 1)]
    assert server.rows("select session_id, requests from sessions") == [(SESSION, 2)]
    ((name, took),) = server.rows("select name, execution_ms from tool_calls where result_exchange_id is not null")
    assert name == "shell"
    assert took > 0


def test_a_refused_upgrade_passes_and_is_recorded(start, upstream):
    async def script(exchange):
        await exchange.json({"error": {"message": "no", "type": "invalid_request_error"}}, 401)

    server = start()
    upstream.script(script)
    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws://127.0.0.1:{server.port}/v1/responses", proxy=None)
    assert refused.value.response.status_code == 401
    server.wait_recorded(1)
    assert server.rows("select status, success from exchanges") == [(401, 0)]


def test_a_connection_that_breaks_leaves_a_broken_exchange(start, upstream):
    async def script(exchange):
        await accept(exchange)
        await read_frame(exchange.reader)
        event = {"type": "response.created", "response": {"id": "resp_broken", "model": "gpt-5"}}
        await exchange.send(frame(TEXT, json.dumps(event).encode()))

    server = start()
    upstream.script(script)
    with connect(f"ws://127.0.0.1:{server.port}/v1/responses", proxy=None) as socket:
        socket.send(json.dumps({"type": "response.create", "model": "gpt-5", "input": "hi"}))
        socket.recv(timeout=10)
    query = "select response_id, success, error from exchanges where success is not null"
    ((response_id, success, error),) = eventually(lambda: server.rows(query), "the record")
    assert (response_id, success) == ("resp_broken", 0)
    assert error
