"""Own answers that break off after they began, and clients that leave before their end."""

import asyncio
import os
import socket
import threading

import pytest
import zstandard

from sessions.api_common import _async
from tests.support.raw import RawClient
from tests.support.server import eventually

EXPORT = b"GET /sessions/torn/export HTTP/%b\r\nhost: localhost\r\n\r\n"


@pytest.fixture
def torn(start):
    """A server with a session whose compressed file cannot be read to its end."""
    server = start()
    with RawClient(server.port) as client:
        body = b'{"model": "m", "messages": [{"role": "user", "content": "%b"}]}' % os.urandom(200_000).hex().encode()
        client.request(body=body, headers=b"session_id: torn\r\n")
    server.wait_recorded(1)
    (path,) = server.home.glob("sessions/*/session_torn.jsonl")
    text = path.read_bytes()
    path.with_name(f"{path.name}.zst").write_bytes(zstandard.compress(text[:150_000]) + b"no frame" * 1000)
    path.unlink()
    return server


def test_an_export_that_fails_midway_ends_at_once_and_is_not_complete(torn):
    for times in (1, 2):  # one failure does not keep the next from being noticed
        with RawClient(torn.port) as client:
            client.send(EXPORT % b"1.1")
            answer = client.answer(b"GET")
        assert answer.status == 200
        assert 0 < len(b"".join(answer.chunks)) <= 150_000
        assert not answer.complete
        eventually(lambda times=times: torn.output().count("ZstdError") >= times, "a word about it")
        assert torn.output().count("Traceback") == times, torn.output()
    assert torn.get("/healthz")[0] == 200
    assert torn.stop() == 0


def test_where_the_end_of_the_connection_is_the_end_of_the_answer_it_is_reset(torn):
    with RawClient(torn.port) as client:
        client.send(EXPORT % b"1.0")
        with pytest.raises(ConnectionResetError):
            while client.sock.recv(1 << 20):
                pass


def test_a_client_that_leaves_an_export_leaves_nothing_behind(start):
    server = start()
    with RawClient(server.port) as client:
        body = b'{"model": "m", "messages": [{"role": "user", "content": "%b"}]}' % (b"x" * 20_000_000)
        client.request(body=body, headers=b"session_id: torn\r\n")
    server.wait_recorded(1)
    web = server.children()["web"]
    before = len(web.net_connections("tcp"))
    for _ in range(20):
        with RawClient(server.port) as client:
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.send(EXPORT % b"1.1")
            client.head()
            client.reset()
    eventually(lambda: not [f for f in web.open_files() if "session_torn" in f.path], "the file to be closed")
    eventually(lambda: len(web.net_connections("tcp")) == before, "all connections to be gone")
    assert server.stop() == 0
    assert "Traceback" not in server.output()
    assert "took too long" not in server.output()


def test_pieces_that_nobody_takes_are_closed_in_the_thread_that_made_them():
    threads = []

    def pieces():
        try:
            threads.append(threading.get_ident())
            yield b"one"
            yield b"two"
        finally:
            threads.append(threading.get_ident())

    async def take_one() -> bytes:
        taken = _async(pieces())
        first = await anext(taken)
        await taken.aclose()
        return first

    assert asyncio.run(take_one()) == b"one"
    made, closed = threads
    assert made == closed != threading.get_ident()
