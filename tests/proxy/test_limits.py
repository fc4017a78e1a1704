"""How large a request may be, and what happens beyond."""

import asyncio
import socket
from contextlib import suppress

import psutil
import pytest

from lunaroute_site.supervisor import MAX_DESCRIPTORS
from tests.support.raw import RawClient, assert_error
from tests.support.server import eventually

MESSAGES, CHAT = b"/v1/messages", b"/v1/chat/completions"
SHAPES = [(MESSAGES, "anthropic"), (CHAT, "openai")]


@pytest.fixture(scope="module")
def small(provider, tmp_path_factory):
    """A server whose limit is 1,000 bytes."""
    from tests.support.server import start_server

    home = tmp_path_factory.mktemp("small")
    config = home / "small.yaml"
    config.write_text("http_server:\n  max_request_body_bytes: 1000\n")
    server = start_server(home, provider.url, "--config", str(config))
    yield server
    server.stop()


# -- bodies -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "dialect"), SHAPES)
def test_a_length_over_the_limit_is_a_413_before_the_body_is_read(small, upstream, path, dialect):
    with RawClient(small.port) as client:
        client.send(b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: 1001\r\n\r\n" % path)
        answer = client.answer()
        assert_error(answer, dialect, 413, "1000 bytes", "max_request_body_bytes")
        assert answer.header(b"connection") == b"close"
        assert client.rest() == b""
    assert not upstream.requests


@pytest.mark.parametrize(("path", "dialect"), SHAPES)
def test_chunks_over_the_limit_are_a_413_as_soon_as_they_are(small, upstream, path, dialect):
    with RawClient(small.port) as client:
        client.send(b"POST %b HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" % path)
        client.send(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
        client.send(b"1\r\nx\r\n")
        assert_error(client.answer(), dialect, 413, "1000 bytes")
    if upstream.requests:
        assert upstream.lost.wait(5), "the provider still waits for the rest"


def test_a_body_at_the_limit_passes(small, upstream):
    upstream.script("echo")
    with RawClient(small.port) as client:
        assert client.request(body=b"x" * 1000).body == b"x" * 1000
        client.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        client.send(b"3e8\r\n" + b"y" * 1000 + b"\r\n0\r\n\r\n")
        assert client.answer().body == b"y" * 1000


def test_a_client_that_asks_first_sends_nothing(small, upstream):
    with RawClient(small.port) as client:
        client.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 9999\r\n\r\n")
        assert client.answer().status == 413
    assert not upstream.requests


def test_a_413_is_on_record_with_its_status(small, upstream):
    with RawClient(small.port) as client:
        client.request(target=b"/v1/messages?on=record", body=b"x" * 1001)
    query = "select status, success, error from exchanges where success is not null and status = 413"
    rows = eventually(lambda: small.rows(query), "the record")
    assert rows[0][:2] == (413, 0)
    assert rows[0][2].startswith("request_too_large")


def test_the_excess_is_not_held_in_memory(small, upstream):
    web = small.children()["web"]
    before = web.memory_info().rss
    block = b"x" * (1 << 20)
    with RawClient(small.port) as client:
        client.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        try:
            for _ in range(60):
                client.send(b"100000\r\n%b\r\n" % block)
        except OSError:
            pass  # cut off: that is right, too
        grown = web.memory_info().rss - before
    assert grown < 8 << 20, f"{grown >> 10} KiB"


def test_an_upload_is_read_no_faster_than_the_provider_takes_it(start, unread, upstream):
    gate = upstream.event()

    async def script(exchange):
        await gate.wait()
        await exchange.read_body()
        await exchange.json({"read": len(exchange.request.body)})

    server = start("--config", unread)
    upstream.script(script)
    web = server.children()["web"]
    before, size, sent = web.memory_info().rss, 60 << 20, 0
    block = memoryview(bytes(1 << 20))
    with RawClient(server.port) as client:
        client.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size)
        client.sock.settimeout(0.5)
        try:
            while sent < size:
                sent += client.sock.send(block[: size - sent])
        except TimeoutError:
            pass
        grown = web.memory_info().rss - before
        assert sent < 32 << 20, "the client was read far ahead"  # what kernel buffers hold
        assert grown < 4 << 20, f"{grown >> 10} KiB held"
        gate.open()
        client.sock.settimeout(15)
        while sent < size:
            sent += client.sock.send(block[: size - sent])
        assert client.answer().json == {"read": size}


# -- heads ------------------------------------------------------------------------------------------------------


def test_a_thousand_headers_pass(raw, upstream):
    lines = [b"x-%d: %d" % (number, number * 7) for number in range(1000)]
    assert raw.request(headers=b"\r\n".join(lines) + b"\r\n").status == 200
    got = [b"%b: %b" % header for header in upstream.requests[-1].headers if header[0].startswith(b"x-")]
    assert got == lines


def test_a_thousand_headers_of_an_answer_pass(raw, upstream):
    async def script(exchange):
        await exchange.read_body()
        headers = ((f"x-{number}", str(number)) for number in range(1000))
        await exchange.answer(200, b"{}", ("content-type", "application/json"), *headers)

    upstream.script(script)
    answer = raw.request()
    assert [value for name, value in answer.headers if name.startswith(b"x-")] == [b"%d" % n for n in range(1000)]


@pytest.mark.parametrize("pieces", [1, 50])
def test_a_head_of_250_kib_passes(raw, upstream, pieces):
    lines = b"".join(b"x-%d: %b\r\n" % (number, b"y" * 2500) for number in range(100))
    head = b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n%b\r\n{}" % lines
    size = len(head) // pieces + 1
    raw.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for start in range(0, len(head), size):
        raw.send(head[start : start + size])
    assert raw.answer().status == 200
    assert len(upstream.requests[-1].headers) == 102


@pytest.mark.parametrize(
    "head",
    [
        b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx: %b\r\n\r\n" % (b"y" * 270_000),
        b"POST /v1/messages HTTP/1.1\r\nhost: x\r\n" + b"x: y\r\n" * 60_000 + b"\r\n",
        b"POST /v1/messages?q=%b HTTP/1.1\r\nhost: x\r\n\r\n" % (b"y" * 270_000),
    ],
)
def test_a_head_over_256_kib_is_a_400(raw, upstream, head):
    try:
        raw.send(head)
    except ConnectionError:
        pass  # refused before all of it was sent
    assert_error(raw.answer(), "anthropic", 400, "256 KiB")
    assert not upstream.requests


@pytest.mark.parametrize("tail", [b"0\r\nx: ", b"1;", b"0\r\n"], ids=["a trailer", "an extension", "trailers"])
def test_framing_over_256_kib_is_a_400(raw, upstream, tail):
    more = b"x: y\r\n" * 100_000 if tail == b"0\r\n" else b"y" * 600_000
    with suppress(ConnectionError):
        raw.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n" + tail)
        raw.send(more)
    assert_error(raw.answer(), "anthropic", 400, "256 KiB")
    assert not any(request.body for request in upstream.requests)


def test_a_long_path_passes(raw, upstream):
    target = b"/v1/messages?q=" + b"y" * 60_000
    assert raw.request(target=target).status == 200
    assert upstream.requests[-1].target == target


def test_many_requests_sent_ahead_are_all_answered(server, upstream):
    request = b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n"
    with RawClient(server.port) as client:
        client.send(b"".join(request + b'{"a":%03d}' % (number + 100) for number in range(200)))
        for _ in range(200):
            assert client.answer().status == 200


def test_a_slow_upload_is_not_the_providers_timeout(start, upstream):
    """The provider waits for the client: it is not late."""
    server = start(LUNAROUTE_ANTHROPIC_TIMEOUT_SECS="0.3", LUNAROUTE_ENABLE_SESSION_RECORDING="false")
    gate = upstream.event()

    async def script(exchange):
        assert await exchange.reader.readexactly(5) == b"hello"
        await asyncio.sleep(0.8)
        gate.open()
        assert await exchange.reader.readexactly(5) == b"world"
        await exchange.json({"late": True})

    upstream.script(script)
    with RawClient(server.port) as client:
        client.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhello")
        eventually(gate.is_open, "the pause to end")
        client.send(b"world")
        assert client.answer().json == {"late": True}


def test_a_server_allows_itself_the_descriptors_that_it_may_have(server):
    soft, hard = server.children()["web"].rlimit(psutil.RLIMIT_NOFILE)
    assert soft == min(hard, MAX_DESCRIPTORS)
