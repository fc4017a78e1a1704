"""The Responses API over a WebSocket, as Codex speaks it."""

import json
import time

import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

from tests.support.frames import CLOSE, COMPRESSED, PING, PONG, TEXT, accept, deflate, frame, read_frame
from tests.support.raw import RawClient, assert_error
from tests.support.server import eventually, free_port

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


# -- bytes ------------------------------------------------------------------------------------------------------

HANDSHAKE = (
    b"GET /v1/responses HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)


def masked(first: int, payload: bytes) -> bytes:
    """Make a client's frame of up to 125 bytes."""
    mask = b"\x01\x02\x03\x04"
    repeated = mask * (len(payload) // 4 + 1)
    body = bytes(a ^ b for a, b in zip(payload, repeated, strict=False))
    return bytes((128 | first, 128 | len(payload))) + mask + body


def test_the_handshake_passes_with_its_headers(raw, upstream):
    extension = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    raw.send(HANDSHAKE + extension + b"Authorization: Bearer k\r\n\r\n")
    answer = raw.head()
    assert answer.status == 101
    assert answer.header(b"upgrade") == b"websocket"
    assert answer.header(b"connection") == b"Upgrade"
    assert answer.header(b"sec-websocket-accept") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    request = upstream.requests[-1]
    assert request.header("sec-websocket-extensions") == "permessage-deflate; client_max_window_bits"
    assert request.header("authorization") == "Bearer k"
    assert (request.headers_named("upgrade"), request.headers_named("connection")) == ([b"websocket"], [b"Upgrade"])


def test_frames_pass_byte_for_byte_compressed_ones_too(raw, upstream):
    sent = [
        masked(TEXT | COMPRESSED, deflate(b'{"type":"ping"}')),
        masked(2, bytes(range(120))),
        masked(PING, b"are you there"),
        masked(0x33, b"reserved bits and an unknown opcode"),
    ]
    answer = b"".join((
        frame(TEXT | COMPRESSED, deflate(b'{"type":"response.created"}' * 50)),
        frame(2, bytes(range(256)) * 300),
        frame(PONG, b"yes"),
        b"\x01\x02he" + b"\x80\x03llo",  # a message in two fragments
    ))  # fmt: skip

    async def script(exchange):
        await accept(exchange, ("sec-websocket-extensions", "permessage-deflate"))
        exchange.request.body = await exchange.reader.readexactly(len(b"".join(sent)))
        await exchange.send(answer)
        await exchange.until_gone()

    upstream.script(script)
    raw.send(HANDSHAKE + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
    assert raw.head().header(b"sec-websocket-extensions") == b"permessage-deflate"
    for part in sent:
        raw.send(part)
    assert raw.exactly(len(answer)) == answer
    assert upstream.requests[-1].body == b"".join(sent)


def test_frames_sent_with_the_handshake_are_not_lost(raw, upstream):
    """Both sides send at once: the client behind its handshake, the provider behind its answer."""
    early = masked(TEXT, b'{"early":1}')

    async def script(exchange):
        exchange.upstream.script(None)
        await accept(exchange)
        await exchange.send(frame(TEXT, b"{}"))
        exchange.request.body = await exchange.reader.readexactly(len(early))
        await exchange.send(frame(TEXT, b'{"got":1}'))

    upstream.script(script)
    raw.send(HANDSHAKE + b"\r\n" + early)
    assert raw.head().status == 101
    assert raw.rest() == frame(TEXT, b"{}") + frame(TEXT, b'{"got":1}')
    assert upstream.requests[-1].body == early


@pytest.mark.parametrize("code", [1000, 1001, 1011, 4000])
def test_close_codes_pass_both_ways(server, upstream, code):
    async def script(exchange):
        await accept(exchange)
        opcode, payload = await read_frame(exchange.reader)
        assert (opcode, payload) == (CLOSE, code.to_bytes(2) + b"because")
        await exchange.send(frame(CLOSE, payload))

    upstream.script(script)
    with connect(f"ws://127.0.0.1:{server.port}/v1/responses", proxy=None) as socket:
        socket.close(code, "because")
        assert socket.protocol.close_rcvd.code == code
    assert not upstream.errors


def test_a_provider_that_closes_says_why_to_the_client(server, upstream):
    async def script(exchange):
        await accept(exchange)
        await exchange.send(frame(CLOSE, (1008).to_bytes(2) + b"policy"))
        await read_frame(exchange.reader)

    upstream.script(script)
    with (
        connect(f"ws://127.0.0.1:{server.port}/v1/responses", proxy=None) as socket,
        pytest.raises(ConnectionClosedError) as closed,
    ):
        socket.recv(timeout=5)
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "policy")


def test_a_client_that_leaves_ends_the_providers_connection(server, upstream):
    async def script(exchange):
        await accept(exchange)
        await exchange.until_gone()

    upstream.script(script)
    client = RawClient(server.port)
    client.send(HANDSHAKE + b"\r\n")
    assert client.head().status == 101
    client.close()
    assert upstream.lost.wait(1)


@pytest.mark.parametrize("status", [400, 401, 404, 426, 429, 503])
def test_a_refusal_of_the_upgrade_passes_as_it_is(server, upstream, status):
    async def script(exchange):
        await exchange.answer(
            status, b'{"error":{"message":"no"}}', ("upgrade", "h2c"), ("retry-after", "7"), reason="No"
        )

    upstream.script(script)
    with RawClient(server.port) as client:
        client.send(HANDSHAKE + b"\r\n")
        answer = client.answer()
    assert answer.head.startswith(b"HTTP/1.1 %d No\r\n" % status)
    assert answer.body == b'{"error":{"message":"no"}}'
    assert answer.header(b"retry-after") == b"7"
    assert answer.header(b"x-lunaroute-error") is None


def test_a_provider_that_is_not_there_is_a_502(start):
    server = start(upstream_url=f"http://127.0.0.1:{free_port()}", LUNAROUTE_OPENAI_MAX_RETRIES="0")
    with RawClient(server.port) as client:
        client.send(HANDSHAKE + b"\r\n")
        assert_error(client.answer(), "openai", 502, "connection refused")


def test_a_slow_client_holds_the_provider_up(start, unread, upstream):
    block, sent = frame(2, b"x" * 65_000), []

    async def script(exchange):
        await accept(exchange)
        for _ in range(1600):
            await exchange.send(block)
            sent.append(len(block))

    server = start("--config", unread)
    upstream.script(script)
    web = server.children()["web"]
    before = web.memory_info().rss
    with RawClient(server.port) as client:
        client.send(HANDSHAKE + b"\r\n")
        client.head()
        still = -1
        while still != sum(sent):  # until nothing moves any more
            still = sum(sent)
            time.sleep(0.3)
        assert still < 32 << 20, "the provider was read far ahead"  # what kernel buffers hold
        assert web.memory_info().rss - before < 4 << 20
        assert client.rest() == block * 1600
