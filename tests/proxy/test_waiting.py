"""Clients that let the server wait: each phase of a connection ends, and many of them keep nobody else out."""

import select
import socket
import threading
from contextlib import ExitStack, contextmanager, suppress

import psutil
import pytest

from proxy import descriptors
from proxy.forwarded import place_of
from proxy.protocol import HttpProtocol, ServerContext
from proxy.waiting import AT_ONCE, BODY, KEPT, MANY, UNUSED, Limits, Pace, Room
from tests.support.raw import RawClient, assert_error
from tests.support.server import eventually, start_server

LIMITS = Limits(head=30, body=30, rate=1000, idle=300, unfinished=100)

# -- the rules ----------------------------------------------------------------------------------------------------


class Clock:
    """A loop that only knows the time."""

    now = 0.0

    def time(self) -> float:
        return self.now


class Wire:
    """A transport that only knows whether it was closed."""

    closed = False

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def get_extra_info(self, name: str) -> None:
        return None

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def connection():
    """(clock, connection) of a server that is not there."""
    clock = Clock()
    context = ServerContext(None, clock, max_body=1000, hand_over=None, room=Room(LIMITS))
    connection = HttpProtocol(context)
    connection.connection_made(Wire())
    return clock, connection


@pytest.mark.parametrize("part", [b"", b"POST /v1/mess", b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx: "])
def test_a_head_that_stays_incomplete_ends_the_connection(connection, part):
    clock, connection = connection
    clock.now = 100.0 if part else 0.0
    if part:
        connection.data_received(part)
    clock.now += LIMITS.head - 1
    connection.data_received(b"x" if part else b"\r\n")  # which is no new begin
    connection.context.sweep()
    assert not connection.transport.closed
    clock.now += 2
    connection.context.sweep()
    assert connection.transport.closed


def test_a_body_that_trickles_is_too_slow_and_one_that_flows_is_not():
    slow, steady, done = Pace(), Pace(), 0
    assert not slow.is_too_slow(0, 0, True, LIMITS)
    assert not slow.is_too_slow(29, 3, True, LIMITS)
    assert slow.is_too_slow(30, 4, True, LIMITS)
    for now in range(0, 3600, 5):  # an hour
        assert not steady.is_too_slow(now, done, True, LIMITS)
        done += 5000


def test_a_pause_in_which_the_client_is_not_waited_for_counts_for_nothing():
    pace = Pace()
    assert not pace.is_too_slow(0, 0, True, LIMITS)
    assert not pace.is_too_slow(25, 10, False, LIMITS)
    assert not pace.is_too_slow(1000, 10, True, LIMITS)
    assert not pace.is_too_slow(1029, 10, True, LIMITS)
    assert pace.is_too_slow(1030, 10, True, LIMITS)


class Client:
    """A connection in a room."""

    def __init__(self, waits: tuple[int, float] | None, address: str = "192.0.2.1") -> None:
        self.waiting, self.address, self.is_dropped = waits, address, False

    def waits(self) -> tuple[int, float] | None:
        return None if self.is_dropped else self.waiting

    def client(self) -> str:
        return self.address

    def drop(self) -> None:
        self.is_dropped = True

    def look(self, now: float) -> None:
        pass


@pytest.fixture
def room(monkeypatch):
    """A room in which descriptors from 500 on are for pages."""
    monkeypatch.setattr(descriptors, "ceiling", lambda: 500)
    monkeypatch.setattr(descriptors, "next_number", lambda: 0)
    return Room(LIMITS)


def crowd(room: Room, number: int, waits: tuple[int, float] | None, address: str = "192.0.2.1") -> list[Client]:
    clients = [Client((waits[0], waits[1] + n / 1000) if waits else None, address) for n in range(number)]
    for client in clients:
        assert room.come(client, address, 10)
    return clients


def test_of_one_address_the_oldest_go_beyond_its_bound(room):
    other = crowd(room, 50, (UNUSED, 1), "192.0.2.2")
    clients = crowd(room, LIMITS.unfinished, (UNUSED, 500))
    assert not any(client.is_dropped for client in clients)
    more = crowd(room, 1, (BODY, 600))
    assert [client.is_dropped for client in clients[:3]] == [True, True, True]
    assert not any(client.is_dropped for client in (*clients[LIMITS.unfinished // 2 :], *more, *other))


def test_connections_that_work_or_are_kept_count_for_no_bound(room):
    clients = crowd(room, 5000, None) + crowd(room, 5000, (KEPT, 1))
    assert not any(client.is_dropped for client in clients)


def test_those_that_begin_to_wait_later_are_looked_at_too(room):
    clients = crowd(room, 5 * LIMITS.unfinished, None)
    for client in clients:
        client.waiting = (BODY, 1.0)
    room.look(1000.0)
    assert sum(not client.is_dropped for client in clients) <= LIMITS.unfinished


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_this_machine_has_more(room, address):
    assert not any(client.is_dropped for client in crowd(room, MANY * LIMITS.unfinished, (UNUSED, 1), address))
    assert crowd(room, 1, (UNUSED, 2), address)
    assert any(client.is_dropped for client in crowd(room, MANY * LIMITS.unfinished, (UNUSED, 3), address))


def test_behind_a_trusted_proxy_each_client_has_its_bound(monkeypatch):
    class Trusted:
        def has(self, address: str) -> bool:
            return address == "10.0.0.1"

    room, proxy = Room(LIMITS, Trusted()), "10.0.0.1"
    quiet = [Client((BODY, 1.0), f"198.51.100.{n}") for n in range(200)]
    greedy = [Client((BODY, 2.0), "203.0.113.7") for _ in range(LIMITS.unfinished * MANY)]
    for client in (*quiet, *greedy):
        room.come(client, proxy, 10)
    assert not any(client.is_dropped for client in quiet)
    assert sum(not client.is_dropped for client in greedy) <= LIMITS.unfinished


def test_when_descriptors_run_out_those_go_first_that_nothing_has_come_on(room):
    working = crowd(room, 5, None)
    kept, halves, bodies = (crowd(room, AT_ONCE, (kind, 1), f"192.0.2.{kind}") for kind in (KEPT, UNUSED, BODY))
    young = crowd(room, AT_ONCE, (UNUSED, 900), "192.0.2.9")
    for goes in (halves, young[: AT_ONCE // 2] + kept[: AT_ONCE // 2]):
        assert not any(client.is_dropped for client in goes)
        assert room.come(Client(None), "192.0.2.8", 500)
        assert all(client.is_dropped for client in goes)
    assert not any(client.is_dropped for client in bodies), "a request is more than a connection"
    while room.come(Client(None), "192.0.2.8", 500):
        pass
    assert all(client.is_dropped for client in (*kept, *bodies))
    assert not young[-1].is_dropped, "it may be about to ask for a page"
    assert room.come(Client(None), "192.0.2.8", 500 + descriptors.RESERVE // 2)
    assert young[-1].is_dropped
    assert not any(client.is_dropped for client in working)


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::1"),
    ],
)
def test_an_address_of_ipv6_stands_for_its_network(address, client):
    assert place_of(address) == client


# -- a server -----------------------------------------------------------------------------------------------------

HASTY = """
http_server:
  head_timeout_secs: 1
  body_timeout_secs: 1
  idle_timeout_secs: 1
  max_unfinished_per_client: 4
"""


@pytest.fixture(scope="module")
def hasty(provider, tmp_path_factory):
    """A server that waits for a second."""
    home = tmp_path_factory.mktemp("hasty")
    (home / "hasty.yaml").write_text(HASTY)
    server = start_server(home, provider.url, "--config", str(home / "hasty.yaml"))
    yield server
    assert server.stop() == 0
    assert "Traceback" not in server.output(), server.output()


@contextmanager
def trickling(client: RawClient, byte: bytes):
    """Send a byte now and then, as long as it is taken."""
    over = threading.Event()

    def send() -> None:
        with suppress(OSError):
            while not over.wait(0.1):
                client.sock.send(byte)

    thread = threading.Thread(target=send)
    thread.start()
    yield
    over.set()
    thread.join()


HALVES = {
    "nothing": b"",
    "a line": b"POST /v1/mess",
    "a head": b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx: ",
    "a page's head": b"GET /ui/ HTTP/1.1\r\nhost: localhost\r\nx: ",
    "a page's handshake": b"GET /ui/live HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\nx: ",
    "a handshake": b"GET /v1/responses HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\nx: ",
}


@pytest.mark.parametrize("half", HALVES.values(), ids=HALVES)
def test_a_connection_without_a_whole_head_ends(hasty, upstream, half):
    with RawClient(hasty.port) as client:
        client.send(half)
        with trickling(client, b"y" if half else b"\n"):
            assert client.rest() == b""
    assert not upstream.requests


def test_a_body_that_trickles_is_a_408_and_on_record(hasty, upstream):
    with RawClient(hasty.port) as client:
        client.send(b"POST /v1/messages?trickles HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n{")
        with trickling(client, b" "):
            answer = client.answer()
            assert_error(answer, "anthropic", 408, "body_timeout_secs")
            assert answer.header(b"connection") == b"close"
    assert upstream.lost.wait(5), "the provider waits no longer either"
    query = "select status, success, error from exchanges where query = 'trickles' and success is not null"
    ((status, success, error),) = eventually(lambda: hasty.rows(query), "the record")
    assert (status, success, error.split(":")[0]) == (408, 0, "request_timeout")


def test_chunks_without_a_byte_of_a_body_trickle_too(hasty, upstream):
    with RawClient(hasty.port) as client:
        client.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n1;")
        with trickling(client, b"x"):
            assert client.answer().status == 408


def test_a_body_that_trickles_behind_the_begin_of_an_answer_ends_it_and_is_on_record(hasty, upstream):
    async def script(exchange):
        await exchange.start_stream()
        await exchange.chunk(b"data: early\n\n")
        await exchange.until_gone()

    upstream.script(script)
    with RawClient(hasty.port) as client:
        client.send(b"POST /v1/messages?early HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n{")
        with trickling(client, b" "), suppress(ConnectionResetError):
            assert client.answer().complete is False
    query = "select error from exchanges where query = 'early' and success is not null"
    ((error,),) = eventually(lambda: hasty.rows(query), "the record")
    assert error.startswith("request_timeout")


def test_a_pages_body_that_trickles_is_a_408(hasty, upstream):
    with RawClient(hasty.port) as client:
        client.send(b"POST /ui/pii/ HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\nx")
        with trickling(client, b"y"):
            assert client.answer().status == 408


def test_a_kept_connection_ends_after_its_time_and_a_silent_answer_does_not(hasty, upstream):
    gate = upstream.event()

    async def script(exchange):
        await exchange.read_body()
        await gate.wait()
        await exchange.json({"late": True})

    with RawClient(hasty.port) as kept, RawClient(hasty.port) as patient:
        assert kept.request().status == 200
        upstream.script(script)
        patient.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
        assert kept.rest() == b""
        gate.open()
        assert patient.answer().json == {"late": True}


def test_a_client_that_reads_nothing_of_its_answer_is_let_go_and_on_record(hasty, upstream):
    async def script(exchange):
        await exchange.read_body()
        with suppress(ConnectionError):
            await exchange.start_stream()
            for _ in range(100):
                await exchange.chunk(b"x" * (1 << 20))
        await exchange.until_gone()

    upstream.script(script)
    with RawClient(hasty.port) as client:
        client.send(b"POST /v1/messages?unread HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
        assert upstream.lost.wait(20)
    query = "select error from exchanges where query = 'unread' and success is not null"
    ((error,),) = eventually(lambda: hasty.rows(query), "the record")
    assert error.startswith("client_disconnected")
    assert "read nothing" in error


def test_a_page_that_nobody_reads_ends(hasty, upstream):
    upstream.script("echo")
    text = b'{"model":"m","messages":[{"role":"user","content":"%b"}]}' % (b"word " * (3 << 20))
    with RawClient(hasty.port) as client:
        client.request(body=text, headers=b"x-session-id: 0199a213-81c0-7800-8aa1-bbab2a035a53\r\n")
    query = "select success from exchanges where request_bytes > 1000000 and success is not null"
    assert eventually(lambda: hasty.rows(query), "the record") == [(1,)]
    ((session,),) = hasty.rows("select session_id from sessions order by id desc limit 1")
    target = b"/sessions/%b/export?format=jsonl" % session.encode()
    with RawClient(hasty.port) as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.send(b"GET %b HTTP/1.1\r\nhost: localhost\r\n\r\n" % target)
        assert client.sock.recv(12) == b"HTTP/1.1 200"
        ours = client.sock.getsockname()[1]
        web = hasty.children()["web"]
        eventually(lambda: all(c.raddr[1:] != (ours,) for c in web.net_connections("tcp") if c.raddr), "its end")


def test_one_client_cannot_have_any_number_of_halves(hasty, upstream):
    with ExitStack() as stack:
        for _ in range(MANY * 4 + 20):
            client = stack.enter_context(RawClient(hasty.port))
            client.send(b"POST /v1/mess")
        eventually(lambda: "max_unfinished_per_client" in hasty.output(), "a word about it")
        with RawClient(hasty.port) as client:
            assert client.request().status == 200


# -- without descriptors ----------------------------------------------------------------------------------------

FLOODS = {
    **HALVES,
    "a body": b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n{",
    "a page's body": b"POST /ui/pii/ HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\nx",
}


@pytest.fixture(scope="module")
def small(provider, tmp_path_factory):
    """A server with 120 descriptors more than it needs."""
    server = start_server(tmp_path_factory.mktemp("small"), provider.url)
    web = server.children()["web"]
    number = web.num_fds() + 120
    web.rlimit(psutil.RLIMIT_NOFILE, (number, number))
    yield server
    assert server.stop() == 0
    assert "Traceback" not in server.output(), server.output()


@pytest.mark.parametrize("part", FLOODS.values(), ids=FLOODS)
def test_a_flood_of_halves_keeps_nobody_out(small, upstream, part):
    with RawClient(small.port) as kept, ExitStack() as stack:
        assert kept.request().status == 200
        for _ in range(200):
            with suppress(OSError):
                client = stack.enter_context(RawClient(small.port))
                client.send(part)
        assert eventually(lambda: _status(small, "/healthz") == 200, "a page", 60)
        assert small.get("/ui/")[0] == 200
        # One that comes while bodies are being let go may hear that there is no room yet.
        assert eventually(lambda: _asks(small.port), "a new client", 60)
        if part not in (FLOODS["a body"], FLOODS["a page's body"]):
            assert kept.request().status == 200, "who is in is served"
    eventually(lambda: "`ulimit -n` (LimitNOFILE)" in small.output(), "a word about it")


def test_where_all_connections_work_pages_answer_and_others_hear_why(small, upstream):
    gate = upstream.event()

    async def script(exchange):
        await exchange.read_body()
        await gate.wait()
        await exchange.json({})

    upstream.script(script)
    request = b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"
    with ExitStack() as stack:
        clients = []
        for _ in range(100):
            clients.append(stack.enter_context(RawClient(small.port)))
            clients[-1].send(request)
            if _has_come(clients):
                break  # somebody is refused: nothing else is answered yet
        assert eventually(lambda: _has_come(clients), "a refusal")
        assert eventually(lambda: _status(small, "/healthz") == 200, "a page")
        assert small.get("/ui/")[0] == 200
        gate.open()
        answers = [client.answer() for client in clients]
    statuses = {answer.status for answer in answers}
    assert statuses == {200, 503}
    assert_error(next(answer for answer in answers if answer.status == 503), "anthropic", 503, "no more connections")


def _has_come(clients: list[RawClient]) -> bool:
    return bool(select.select([client.sock for client in clients], [], [], 0)[0])


def _status(server, path: str) -> int:
    try:
        return server.get(path)[0]
    except OSError:
        return 0


def _asks(port: int) -> bool:
    with RawClient(port) as client:
        return client.request().status == 200
