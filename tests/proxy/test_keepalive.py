"""Comments in the pauses of a stream: only where they are asked for, between events, and in no record."""

import gzip
import json

import anthropic
import httpx
import pytest

from proxy.keepalive import COMMENT
from tests.support.server import RunningServer

CONFIG = """
http_server: {sse_keepalive_enabled: true, sse_keepalive_secs: 0.05}
providers: {anthropic: {}, openai: {}}
"""
STREAM = b"content-type: text/event-stream\r\n"
EVENT = b'event: ping\ndata: {"type": "ping"}\n\n'
ASK = {"model": "claude-sonnet-5", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def patient(start, tmp_path) -> RunningServer:
    """A server whose streams are never silent for longer than 50 ms."""
    path = tmp_path / "c.yaml"
    path.write_text(CONFIG)
    return start("--config", str(path))


def event(value: dict) -> bytes:
    return b"data: %b\n\n" % json.dumps(value).encode()


def pausing(gate, first: bytes, second: bytes, headers: bytes = STREAM):
    """A provider that sends its head and `first`, and `second` when `gate` is opened."""

    async def script(exchange) -> None:
        await exchange.read_body()
        await exchange.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n%b\r\n" % headers)
        if first:
            await exchange.chunk(first)
        await gate.wait()
        await exchange.chunk(second)
        await exchange.end_stream()

    return script


def read(url: str, gate, seen: bytes, path: str = "/v1/messages", body: dict = ASK) -> bytes:
    """Give all bytes of a stream; the gate is opened when `seen` has come after a first event."""
    got = b""
    with httpx.stream("POST", url + path, json=body, headers={"session_id": "quiet"}, trust_env=False) as answer:
        for chunk in answer.iter_raw():
            got += chunk
            if got.endswith(seen):
                gate.open()
    return got


def test_a_pause_between_events_has_comments_and_the_record_none(patient, upstream):
    gate = upstream.event()
    upstream.script(pausing(gate, EVENT, EVENT + b"data: end\r\n\r\n"))
    got = read(patient.url, gate, COMMENT * 3)
    assert got.startswith(EVENT + COMMENT * 3)
    assert got.replace(COMMENT, b"") == EVENT + EVENT + b"data: end\r\n\r\n"
    patient.wait_recorded(1)
    (exchange,) = patient.json("/sessions/quiet/exchanges")
    assert patient.get(f"/sessions/quiet/exchanges/{exchange['request_id']}/raw?part=response")[2] == got.replace(
        COMMENT, b""
    )


def test_before_the_first_event_there_may_be_one(patient, upstream):
    gate = upstream.event()
    upstream.script(pausing(gate, b"", EVENT))
    assert read(patient.url, gate, COMMENT).endswith(COMMENT + EVENT)


@pytest.mark.parametrize(
    ("headers", "first"),
    [
        (STREAM, b"data: hal"),
        (STREAM, b"data: half\n"),
        (STREAM + b"content-encoding: gzip\r\n", gzip.compress(EVENT)),
        (b"content-type: application/json\r\n", b"{}\n\n"),
    ],
    ids=["within a line", "within an event", "coded", "no stream"],
)
def test_where_a_comment_would_break_the_answer_there_is_none(patient, upstream, headers, first):
    gate, pause = upstream.event(), upstream.event()
    upstream.script(pausing(gate, first, b"\n\n", headers))
    with httpx.stream("POST", patient.url + "/v1/messages", json=ASK, trust_env=False) as answer:
        chunks = answer.iter_raw()
        got = next(chunks)
        # Another request has its comments in the meantime.
        upstream.script(pausing(pause, EVENT, EVENT))
        assert COMMENT in read(patient.url, pause, COMMENT * 4)
        gate.open()
        got += b"".join(chunks)
    assert got == first + b"\n\n"


def test_without_it_no_byte_is_added(server, upstream):
    gate = upstream.event()
    upstream.script(pausing(gate, EVENT, EVENT))
    assert read(server.url, gate, EVENT) == EVENT * 2


def test_a_translated_stream_has_them_too_and_the_sdk_skips_them(patient, upstream):
    gate = upstream.event()
    start, delta = (
        {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-5", "choices": [{"index": 0, "delta": d}]}
        for d in ({"role": "assistant", "content": "half"}, {"content": " and half"})
    )  # fmt: skip
    end = {**delta, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    upstream.script(pausing(gate, event(start), event(delta) + event(end) + b"data: [DONE]\n\n"))
    translating = {**ASK, "messages": [{"role": "user", "content": "[LUNAROUTE:openai] hi"}]}
    got = read(patient.url, gate, COMMENT * 2, body=translating)
    assert COMMENT * 2 in got
    assert got.endswith(b"}\n\n")


def test_a_client_that_leaves_in_a_pause_ends_it(patient, upstream):
    async def script(exchange) -> None:
        await exchange.read_body()
        await exchange.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n%b\r\n" % STREAM)
        await exchange.chunk(EVENT)
        await exchange.until_gone()

    upstream.script(script)
    sdk = anthropic.Anthropic(base_url=patient.url, api_key="k", max_retries=0)
    with sdk.messages.create(**ASK, extra_headers={"session_id": "left"}) as stream:
        next(stream.response.iter_raw())
    assert upstream.lost.wait(10)
    patient.wait_recorded(1)
    (exchange,) = patient.json("/sessions/left/exchanges")
    assert exchange["error"].startswith("client_disconnected")
    assert "Traceback" not in patient.output()
