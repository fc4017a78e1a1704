"""What happens when something goes wrong: each row of docs/proxy.md's table."""

import signal
import socket
import time
from contextlib import suppress
from uuid import uuid4

import psutil
import pytest

from tests.support.raw import RawClient, assert_error
from tests.support.server import eventually, free_port

MESSAGES, CHAT = b"/v1/messages", b"/v1/chat/completions"
SHAPES = [(MESSAGES, "anthropic"), (CHAT, "openai")]
REQUEST = b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"


# -- the client goes away ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("leave", ["close", "reset"])
def test_a_client_that_leaves_before_the_answer_cancels_the_request(server, upstream, leave):
    async def script(exchange):
        await exchange.read_body()
        await exchange.reader.read()  # until the proxy cuts the connection
        exchange.upstream.lost.set()
        exchange.keep = False

    upstream.script(script)
    client = RawClient(server.port)
    client.send(REQUEST)
    eventually(lambda: upstream.requests, "the request at the provider")
    getattr(client, leave)()
    assert upstream.lost.wait(1), "the provider still works for nobody"


def test_a_client_that_leaves_in_the_middle_cancels_and_is_recorded_so(server, upstream):
    async def script(exchange):
        await exchange.read_body()
        await exchange.start_stream()
        await exchange.chunk(
            b'event: message_start\ndata: {"type":"message_start","message":{"id":"left","model":"m"}}\n\n'
        )
        await exchange.reader.read()
        exchange.upstream.lost.set()
        exchange.keep = False

    upstream.script(script)
    client = RawClient(server.port)
    client.send(REQUEST)
    client.head()
    client.chunk()
    client.close()
    assert upstream.lost.wait(1)
    query = "select success, error from exchanges where response_id = 'left' and success is not null"
    ((success, error),) = eventually(lambda: server.rows(query), "the record")
    assert not success
    assert error.startswith("client_disconnected")


def test_a_client_that_leaves_once_the_answer_is_complete_has_had_success(server, upstream):
    """As Codex does: it hangs up on the last event, before the body's end."""

    async def script(exchange):
        await exchange.read_body()
        await exchange.start_stream()
        await exchange.chunk(
            b'event: message_start\ndata: {"type":"message_start","message":{"id":"served","model":"m"}}\n\n'
            b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
        )
        await exchange.reader.read()
        exchange.upstream.lost.set()
        exchange.keep = False

    upstream.script(script)
    client = RawClient(server.port)
    client.send(REQUEST)
    client.head()
    client.chunk()
    client.close()
    assert upstream.lost.wait(1)
    query = "select success, error from exchanges where response_id = 'served' and success is not null"
    assert eventually(lambda: server.rows(query), "the record") == [(1, "")]


def test_a_client_that_leaves_while_sending_cancels(server, upstream):
    upstream.script(None)
    client = RawClient(server.port)
    client.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{")
    eventually(lambda: upstream.requests, "the head at the provider")
    client.close()
    assert upstream.lost.wait(1)


# -- the provider fails -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "dialect"), SHAPES)
def test_a_provider_that_refuses_is_a_502(start, path, dialect):
    server = start(
        upstream_url=f"http://127.0.0.1:{free_port()}",
        LUNAROUTE_ANTHROPIC_MAX_RETRIES="1",
        LUNAROUTE_OPENAI_MAX_RETRIES="1",
    )
    with RawClient(server.port) as client:
        assert_error(client.request(target=path), dialect, 502, dialect, "connection refused")
    server.wait_recorded(1)
    assert server.rows("select success, error, status from exchanges")[0][0::2] == (0, 502)


def test_a_provider_whose_name_does_not_resolve_is_a_502(start):
    server = start(upstream_url="http://nobody.invalid", LUNAROUTE_ANTHROPIC_MAX_RETRIES="0")
    with RawClient(server.port) as client:
        assert_error(client.request(), "anthropic", 502, "nobody.invalid", "does not resolve")


@pytest.mark.parametrize(("path", "dialect"), SHAPES)
def test_a_provider_that_resets_is_a_502(raw, upstream, path, dialect):
    async def script(exchange):
        await exchange.read_body()
        exchange.reset()

    upstream.script(script)
    assert_error(raw.request(target=path), dialect, 502, dialect)


def test_a_provider_that_closes_without_an_answer_is_a_502(raw, upstream):
    async def script(exchange):
        await exchange.read_body()
        exchange.keep = False

    upstream.script(script)
    assert_error(raw.request(), "anthropic", 502, "closed the connection before it answered")


def test_a_provider_that_speaks_no_http_is_a_502(raw, upstream):
    async def script(exchange):
        await exchange.read_body()
        await exchange.send(b"SSH-2.0-OpenSSH_9.2\r\n")

    upstream.script(script)
    assert_error(raw.request(), "anthropic", 502, "not HTTP")


def test_a_provider_that_does_not_answer_is_a_504(start, upstream):
    async def script(exchange):
        await exchange.read_body()
        await exchange.reader.read()
        exchange.keep = False

    server = start(LUNAROUTE_ANTHROPIC_TIMEOUT_SECS="0.3", LUNAROUTE_OPENAI_TIMEOUT_SECS="0.3")
    upstream.script(script)
    with RawClient(server.port) as client:
        assert_error(client.request(), "anthropic", 504, "anthropic", "0.3 s")
    with RawClient(server.port) as client:
        assert_error(client.request(target=CHAT), "openai", 504, "openai")


def test_a_provider_that_accepts_no_connection_is_a_504(start):
    with socket.socket() as sleeper:
        sleeper.bind(("127.0.0.1", 0))
        sleeper.listen(0)
        port = sleeper.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]  # fill its backlog
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
        server = start(upstream_url=f"http://127.0.0.1:{port}", LUNAROUTE_ANTHROPIC_CONNECT_TIMEOUT_SECS="0.3")
        with RawClient(server.port) as client:
            assert_error(client.request(), "anthropic", 504, "did not accept a connection within 0.3 s")
        for sock in waiting:
            sock.close()


@pytest.mark.parametrize("framing", ["chunked", "length"])
@pytest.mark.parametrize("how", ["close", "reset"])
def test_an_answer_that_breaks_off_never_looks_complete(server, upstream, framing, how):
    async def script(exchange):
        await exchange.read_body()
        if framing == "chunked":
            await exchange.start_stream(("x-id", "1"))
            await exchange.chunk(b"data: half\n\n")
        else:
            await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        await gate.wait()
        exchange.keep = False
        if how == "reset":
            exchange.reset()

    gate = upstream.event()
    upstream.script(script)
    with RawClient(server.port) as client:
        client.send(REQUEST)
        answer = client.head()
        gate.open()
        rest = client.rest()
    assert answer.status == 200
    assert b"half" in rest
    assert not rest.endswith(b"0\r\n\r\n")
    assert len(rest) < 100


@pytest.mark.parametrize("garbage", [b"zz\r\nxx\r\n", b"-5\r\nhello\r\n", b"5\r\nhello, more\r\n"])
def test_an_answer_with_broken_chunks_never_looks_complete(raw, upstream, garbage):
    async def script(exchange):
        await exchange.read_body()
        await exchange.start_stream()
        await exchange.chunk(b"data: half\n\n")
        await exchange.send(garbage + b"0\r\n\r\n")
        await exchange.until_gone()

    upstream.script(script)
    raw.send(REQUEST)
    rest = raw.rest()
    assert b"data: half" in rest
    assert not rest.endswith(b"0\r\n\r\n")
    assert upstream.lost.wait(1)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}",
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad header : 1\r\n\r\n",
    ],
)
def test_an_answer_whose_end_cannot_be_known_is_a_502(raw, upstream, head):
    async def script(exchange):
        await exchange.read_body()
        await exchange.send(head)
        await exchange.until_gone()

    upstream.script(script)
    assert_error(raw.request(), "anthropic", 502, "not HTTP")
    assert upstream.lost.wait(1)


ODD = b"HTTP/1.1 %b Odd\r\ncontent-length: 2\r\n\r\n{}"


NO_ANSWERS = {
    "status 000": (ODD % b"000", "the status 000"),
    "status 099": (ODD % b"099", "the status 099"),
    "status 600": (ODD % b"600", "the status 600"),
    "status 999": (ODD % b"999", "the status 999"),
    "status 1000": (ODD % b"1000", "not HTTP"),
    "a status with a sign": (ODD % b"-200", "not HTTP"),
    "a long header": (
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * (1 << 20) + b"\r\ncontent-length: 2\r\n\r\n{}",
        "256 KiB of head",
    ),
    "many headers": (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200_000 + b"\r\n", "256 KiB of head"),
    "a long reason": (b"HTTP/1.1 200 " + b"OK" * (1 << 19) + b"\r\ncontent-length: 2\r\n\r\n{}", "256 KiB of head"),
    "a long status": (b"HTTP/1.1 " + b"9" * (1 << 20), "not HTTP"),
    "interim answers without end": (b"HTTP/1.1 100 Continue\r\n\r\n" * 12_000, "256 KiB of head"),
    "a negative length": (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}", "not HTTP"),
    "a list of lengths": (b"HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\n{}", "not HTTP"),
    "a length beyond all bounds": (b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\n", "not HTTP"),
    "a switch that nobody asked for": (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n", "101"),
}


@pytest.mark.parametrize(("head", "words"), NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_an_answer_that_is_none_is_a_502_and_a_failure_of_the_provider(server, upstream, head, words):
    async def script(exchange):
        await exchange.read_body()
        with suppress(ConnectionError):
            await exchange.send(head)
        await exchange.until_gone()

    upstream.script(script)
    mark = uuid4().hex.encode()
    with RawClient(server.port) as client:
        client.send(b"GET /v1/models?%b HTTP/1.1\r\nhost: x\r\n\r\n" % mark)
        answer = client.answer()
        while answer.status == 100:
            answer = client.answer()
        assert_error(answer, "openai", 502, words)
    query = "select status, success, error from exchanges where query = ? and success is not null"
    ((status, success, error),) = eventually(lambda: server.rows(query, mark.decode()), "the record")
    assert (status, success, error.split(":")[0]) == (502, 0, "upstream_reset")
    assert "Traceback" not in server.output()


@pytest.mark.parametrize(
    "tail",
    [b"0\r\nx: " + b"y" * (1 << 20), b"1;" + b"x=y;" * (1 << 18), b"0\r\n" + b"x: y\r\n" * 100_000, b"1;\x00\r\n"],
    ids=["a long trailer", "a long extension", "many trailers", "a zero byte in an extension"],
)
def test_framing_without_end_never_looks_complete(server, upstream, tail):
    async def script(exchange):
        await exchange.read_body()
        with suppress(ConnectionError):
            await exchange.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n" + tail)
        await exchange.until_gone()

    upstream.script(script)
    with RawClient(server.port) as client:
        answer = client.request()
        assert (answer.body, answer.complete) == (b"hello", False)
    assert upstream.lost.wait(5), "the provider's connection is cut"


def test_an_answer_that_breaks_off_resets_a_client_that_only_the_end_could_tell(server, upstream):
    """A client of HTTP/1.0 would take the connection's plain end for the answer's."""

    async def script(exchange):
        await exchange.read_body()
        await exchange.start_stream()
        await exchange.chunk(b"data: half\n\n")
        await gate.wait()
        exchange.keep = False

    gate = upstream.event()
    upstream.script(script)
    with RawClient(server.port) as client:
        client.send(b"POST /v1/messages HTTP/1.0\r\ncontent-length: 2\r\n\r\n{}")
        client.head()
        gate.open()
        with pytest.raises(ConnectionResetError):
            while client.sock.recv(1000):
                pass


def test_a_stream_that_stalls_ends_as_broken_and_is_recorded_so(start, upstream):
    server = start(LUNAROUTE_ANTHROPIC_TIMEOUT_SECS="0.3")
    upstream.script("stall")
    with RawClient(server.port) as client:
        answer = client.request()
    assert answer.body == b"data: first\n\n"
    assert not answer.complete
    assert upstream.lost.wait(1)
    server.wait_recorded(1)
    ((success, error),) = server.rows("select success, error from exchanges")
    assert not success
    assert error.startswith("upstream_timeout")


def test_a_broken_answer_is_recorded_as_broken(start, upstream):
    async def script(exchange):
        await exchange.read_body()
        await exchange.start_stream()
        exchange.keep = False

    server = start()
    upstream.script(script)
    with RawClient(server.port) as client:
        assert not client.request().complete
    server.wait_recorded(1)
    assert server.rows("select success, error from exchanges")[0][1].startswith("upstream_broken")


# -- bad requests -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00\x00\x00\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nno colon here\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nbad name : 1\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: nine\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        b"POST /v1/messages x HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /v1/\xc3\xa9 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nhost: x\r\n" + b"x: " + b"y" * 300_000 + b"\r\n\r\n",
    ],
)
def test_what_is_not_http_is_a_400_and_the_connection_closes(raw, data):
    raw.send(data)
    answer = raw.answer()
    assert_error(answer, "anthropic", 400)
    assert raw.rest() == b""


def test_bad_chunking_cuts_the_provider_and_is_recorded_so(server, upstream):
    async def script(exchange):
        await exchange.until_gone()

    upstream.script(script)
    with RawClient(server.port) as client:
        client.send(
            b"POST /v1/messages/bad-chunks HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"
        )
        eventually(lambda: upstream.requests, "the head at the provider")
        client.send(b"xyz\r\n")
        assert_error(client.answer(), "anthropic", 400, "chunk")
        assert client.rest() == b""
    assert upstream.lost.wait(1)
    query = "select success, error from exchanges where path = '/v1/messages/bad-chunks' and success is not null"
    ((success, error),) = eventually(lambda: server.rows(query), "the record")
    assert (success, error.split(":")[0]) == (0, "bad_request")


@pytest.mark.parametrize("ahead", [1, 3])
def test_what_is_not_http_behind_good_requests_takes_no_answer_from_them(raw, upstream, ahead):
    gate = upstream.event()

    async def script(exchange):
        await exchange.read_body()
        await gate.wait()
        await exchange.json({"good": True})

    upstream.script(script)
    raw.send(REQUEST * ahead)
    eventually(lambda: upstream.requests, "the first request at the provider")
    raw.send(b"\x16\x03\x01 no HTTP\r\n\r\n")
    gate.open()
    for _ in range(ahead):
        assert raw.answer().json == {"good": True}
    assert raw.rest() == b""
    assert len(upstream.requests) == ahead


def test_a_dialect_that_is_switched_off_is_a_404(start):
    server = start(LUNAROUTE_DIALECT="anthropic")
    with RawClient(server.port) as client:
        assert_error(client.request(target=CHAT), "openai", 404, "anthropic dialect only")


def test_an_unknown_path_follows_bypass(start, upstream):
    server = start(LUNAROUTE_BYPASS_PROVIDER="openai")
    with RawClient(server.port) as client:
        client.request(target=b"/somewhere/else")
    assert upstream.requests[-1].target == b"/v1/somewhere/else"


def test_an_unknown_path_without_bypass_is_a_404(start):
    server = start(LUNAROUTE_BYPASS_ENABLED="false")
    with RawClient(server.port) as client:
        assert_error(client.request(target=b"/somewhere/else"), "anthropic", 404, "bypass is off")


def test_an_answer_before_the_body_is_read_is_passed_on(server, upstream):
    async def script(exchange):
        await exchange.answer(413, b'{"error":"too much"}', ("connection", "close"))
        exchange.keep = False

    upstream.script(script)
    with RawClient(server.port) as client:
        client.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 4000000\r\n\r\n" + b"x" * 100_000)
        answer = client.answer()
    assert answer.status == 413
    assert answer.header(b"x-lunaroute-error") is None


# -- slow clients, many clients ---------------------------------------------------------------------------------


def test_the_provider_is_read_no_faster_than_the_client_takes_it(start, unread, upstream):
    server = start("--config", unread)
    web = server.children()["web"]
    total, sent = 100 << 20, []

    async def script(exchange):
        await exchange.read_body()
        await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % total)
        block = b"x" * (1 << 16)
        for _ in range(total // len(block)):
            await exchange.send(block)
            sent.append(len(block))

    upstream.script(script)
    with RawClient(server.port) as client:
        before = web.memory_info().rss
        client.send(REQUEST)
        client.head()
        still = -1
        while still != sum(sent):  # until nothing moves any more
            still = sum(sent)
            time.sleep(0.3)
        grown = web.memory_info().rss - before
        assert still < 32 << 20, "the provider was read far ahead"  # what kernel buffers hold
        assert grown < 4 << 20, f"{grown >> 10} KiB held for one slow client"
        assert len(client.exactly(total)) == total


def test_sixty_four_streams_at_once_do_not_wait_for_each_other(server, upstream):
    gate = upstream.event()

    async def script(exchange):
        await exchange.read_body()
        await exchange.start_stream()
        await exchange.chunk(b"data: first\n\n")
        await gate.wait()
        await exchange.end_stream()

    upstream.script(script)
    clients = [RawClient(server.port) for _ in range(64)]
    for client in clients:
        client.send(REQUEST)
    for client in clients:  # each has its first event while all others are still under way
        assert client.head().status == 200
        assert client.chunk() == b"data: first\n\n"
    gate.open()
    for client in clients:
        assert client.chunk() == b""
        client.close()


# -- the end ----------------------------------------------------------------------------------------------------


def test_sigterm_lets_streams_finish_and_takes_no_new_ones(start, upstream):
    gate = upstream.event()

    async def script(exchange):
        await exchange.read_body()
        await exchange.start_stream()
        await exchange.chunk(b'data: {"type":"message_start","message":{"id":"late","model":"m"}}\n\n')
        await gate.wait()
        await exchange.chunk(b'data: {"type":"message_stop"}\n\n')
        await exchange.end_stream()

    server = start()
    upstream.script(script)
    with RawClient(server.port) as client, RawClient(server.port) as idle:
        client.send(REQUEST)
        client.head()
        client.chunk()
        server.process.send_signal(signal.SIGTERM)
        assert idle.rest() == b""  # idle connections are closed

        def refused() -> bool:
            try:
                RawClient(server.port).close()
            except ConnectionRefusedError:
                return True
            return False

        eventually(refused, "no new connections")
        gate.open()
        assert b"message_stop" in client.chunk()
        assert client.chunk() == b""
    assert server.process.wait(15) == 0
    assert server.rows("select response_id, success from exchanges") == [("late", 1)]


def test_a_second_signal_ends_streams_at_once(start, upstream):
    async def script(exchange):
        await exchange.read_body()
        await exchange.start_stream()
        await exchange.reader.read()
        exchange.keep = False

    server = start()
    upstream.script(script)
    with RawClient(server.port) as client:
        client.send(REQUEST)
        client.head()
        server.process.send_signal(signal.SIGINT)
        eventually(lambda: _refuses(server.port), "the drain")
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(10) == 0
    ((success, error),) = server.rows("select success, error from exchanges")
    assert (success, error.split(":")[0]) == (0, "shutdown")


def _refuses(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) != 0


def test_no_process_outlives_the_supervisor(start):
    server = start(worker=True)
    family = psutil.Process(server.process.pid).children(recursive=True)
    assert len(family) == 3
    server.process.kill()
    server.process.wait()
    psutil.wait_procs(family, 15)
    assert not [child for child in family if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
