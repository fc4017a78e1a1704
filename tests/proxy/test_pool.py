"""Connections to a provider are used again, and one that has died costs no client an error."""

import asyncio

import pytest

from tests.support.raw import RawClient
from tests.support.server import eventually


def fill_pool(server, upstream, size: int) -> None:
    """Have `size` idle connections, by as many requests at once."""
    gate = upstream.event()

    async def script(exchange):
        await exchange.read_body()
        await gate.wait()
        await exchange.json({})

    upstream.script(script)
    clients = [RawClient(server.port) for _ in range(size)]
    for client in clients:
        client.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
    eventually(lambda: len(upstream.requests) == size, "all requests at the provider")
    gate.open()
    for client in clients:
        assert client.answer().status == 200
        client.close()
    upstream.requests.clear()


def test_a_connection_that_the_provider_closed_between_requests_is_no_error(raw, upstream):
    for _ in range(50):
        assert raw.request().status == 200
        upstream.close_idle()


def test_a_connection_that_dies_with_the_request_is_no_error(raw, upstream):
    """The provider closes as the request comes: it has not read it, so nothing is charged twice."""
    assert raw.request().status == 200
    seen = []

    async def script(exchange):
        seen.append(exchange.request.connection)
        if len(seen) % 2:
            exchange.reset()
        else:
            await exchange.read_body()
            await exchange.json({})

    upstream.script(script)
    for _ in range(50):
        assert raw.request(body=b'{"n": 1}').status == 200


@pytest.mark.parametrize("size", [1_000, 3_000_000])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_request_that_is_sent_again_is_sent_whole(server, upstream, size, framing):
    fill_pool(server, upstream, 1)
    body = bytes(range(256)) * (size // 256)

    async def script(exchange):
        if len(exchange.upstream.requests) == 1:
            exchange.reset()
        else:
            await exchange.read_body()
            await exchange.answer(200, exchange.request.body)

    upstream.script(script)
    with RawClient(server.port) as client:
        if framing == "length":
            assert client.request(body=body).body == body
        else:
            client.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
            for part in (body[: size // 2], body[size // 2 :]):
                client.send(b"%x\r\n%b\r\n" % (len(part), part))
            client.send(b"0\r\n\r\n")
            assert client.answer().body == body
    assert len(upstream.requests) == 2


def test_no_request_is_sent_more_than_twice(server, upstream):
    fill_pool(server, upstream, 8)
    upstream.script("reset")
    with RawClient(server.port) as client:
        assert client.request(target=b"/v1/messages/twice").status == 502
    assert len(upstream.requests) == 2
    query = "select attempts from exchanges where path = '/v1/messages/twice' and success is not null"
    assert eventually(lambda: server.rows(query), "the record") == [(2,)]


def test_a_request_on_a_new_connection_is_sent_once(start, upstream):
    server = start(LUNAROUTE_ENABLE_SESSION_RECORDING="false")
    upstream.script("reset")
    with RawClient(server.port) as client:
        assert client.request().status == 502
    assert len(upstream.requests) == 1


def test_a_request_that_the_provider_may_have_begun_to_work_on_is_sent_once(server, upstream):
    fill_pool(server, upstream, 2)

    async def script(exchange):
        await exchange.read_body()
        await asyncio.sleep(1.1)  # a dead connection says so at once
        exchange.reset()

    upstream.script(script)
    with RawClient(server.port) as client:
        assert client.request().status == 502
    assert len(upstream.requests) == 1


def test_a_request_is_not_sent_again_once_an_answer_has_begun(server, upstream):
    fill_pool(server, upstream, 2)

    async def script(exchange):
        await exchange.read_body()
        await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-")
        exchange.keep = False

    upstream.script(script)
    with RawClient(server.port) as client:
        assert client.request().status == 502
    assert len(upstream.requests) == 1


def test_idle_connections_are_closed_after_their_time(start, upstream):
    server = start(LUNAROUTE_ANTHROPIC_POOL_IDLE_TIMEOUT_SECS="0.3", LUNAROUTE_ENABLE_SESSION_RECORDING="false")
    upstream.close_idle()
    eventually(lambda: not upstream.open_connections, "the connections of other servers to close")
    fill_pool(server, upstream, 4)
    eventually(lambda: not upstream.open_connections, "the idle connections to close")
    upstream.script(None)
    with RawClient(server.port) as client:
        assert client.request().status == 200


def test_no_more_connections_idle_than_configured(start, upstream):
    server = start(LUNAROUTE_ANTHROPIC_POOL_MAX_IDLE="2", LUNAROUTE_ENABLE_SESSION_RECORDING="false")
    upstream.close_idle()
    eventually(lambda: not upstream.open_connections, "the connections of other servers to close")
    fill_pool(server, upstream, 6)
    eventually(lambda: upstream.open_connections == 2, "two idle connections")


def test_connections_serve_one_after_another(start, upstream):
    server = start(LUNAROUTE_ENABLE_SESSION_RECORDING="false")
    with RawClient(server.port) as client:
        for _ in range(20):
            assert client.request().status == 200
    assert len({request.connection for request in upstream.requests}) == 1


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}",
    ],
)
def test_a_connection_that_the_provider_will_close_is_not_used_again(raw, upstream, head):
    async def script(exchange):
        await exchange.read_body()
        await exchange.send(head)
        await exchange.until_gone()

    upstream.script(script)
    for _ in range(3):
        assert raw.request().status == 200
    assert len({request.connection for request in upstream.requests}) == 3


def test_a_connection_is_not_used_again_while_a_request_is_still_being_sent(server, upstream):
    async def script(exchange):
        await exchange.json({"early": True})
        await exchange.until_gone()

    upstream.script(script)
    with RawClient(server.port) as slow, RawClient(server.port) as other:
        slow.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf")
        assert slow.answer().json == {"early": True}
        upstream.script("echo")
        assert other.request(body=b"mine").body == b"mine"
    first, second = upstream.requests
    assert first.connection != second.connection
