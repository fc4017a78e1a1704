"""The recorder in trouble: killed, without space, without a database. Nothing is lost, nothing comes twice."""

import json
import os
import sqlite3
import subprocess
import threading
import time
from http.client import HTTPConnection
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.support.databases import sqlite_only
from tests.support.raw import RawClient
from tests.support.server import eventually


def ask(server, number: int, session: str = "s") -> None:
    with RawClient(server.port) as client:
        body = b'{"model":"m%d","messages":[{"role":"user","content":"q"}]}' % number
        assert client.request(body=body, headers=b"session_id: %b\r\n" % session.encode()).status == 200


def recorded_models(server) -> list[str]:
    return [row[0] for row in server.rows("select model_requested from exchanges where success = true")]


def answers(server) -> set[str]:
    return {row[0] for row in server.rows("select response_id from exchanges where success = true")}


def assert_whole(server) -> None:
    """Each line is whole, and the lines say what the database says."""
    done = []
    for path in (server.home / "sessions").glob("*/*.jsonl"):
        data = path.read_bytes()
        assert data.endswith(b"\n") or not data, path
        done += [line["request_id"] for line in map(json.loads, data.splitlines()) if line["type"] == "completed"]
    assert len(done) == len(set(done)), "an exchange stands twice in the files"
    rows = [row[0] for row in server.rows("select request_id from exchanges where success is not null")]
    assert sorted(done) == sorted(rows)


class Load:
    """Sixteen clients that ask without pause, and note when each answer had come."""

    def __init__(self, port: int) -> None:
        self._port, self._stop = port, threading.Event()
        self.answered: dict[str, float] = {}
        self._threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(16)]
        for thread in self._threads:
            thread.start()

    def _run(self, number: int) -> None:
        count = 0
        try:
            connection = HTTPConnection("127.0.0.1", self._port, timeout=10)
            while not self._stop.is_set():
                count += 1
                name = f"m{number}-{count}-{time.monotonic_ns()}"
                connection.request(
                    "POST", "/v1/messages", json.dumps({"model": "m", "n": name}), {"session_id": f"load-{number}"}
                )
                connection.getresponse().read()
                self.answered[name] = time.monotonic()
                time.sleep(0.05)  # some 300 requests a second, beside which the recorder keeps up on two processors
        except OSError:
            pass

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10)


def another_recorder(server, pid: int) -> bool:
    """Whether a recorder runs that is not process `pid`."""
    found = server.children().get("recorder")
    return found is not None and found.pid != pid


async def quick(exchange) -> None:
    """A provider that answers at once, with the id that the request names."""
    await exchange.read_body()
    name = exchange.request.json["n"]
    await exchange.json({"id": name, "type": "message", "model": "m", "content": [], "stop_reason": "end_turn"})


# Each takes a second and a half; ROUNDS=50 is for who has changed something here.
ROUNDS = int(os.environ.get("ROUNDS", "6"))


@pytest.mark.alone
def test_kill_9_of_the_tree_loses_nothing_that_was_answered_200_ms_before(start, upstream, database):
    """On one home, under load; a fifth of the rounds where the database is another process, which is not killed."""

    upstream.script(quick)
    expected: set[str] = set()
    rounds = ROUNDS if database == "sqlite" else max(ROUNDS // 5, 2)
    for round_number in range(rounds):
        server = start()
        load = Load(server.port)
        eventually(lambda load=load: len(load.answered) > 32, "some load")
        time.sleep(0.25 + round_number % 5 * 0.02)  # no deadline: how long the load lasts
        killed = time.monotonic()
        server.kill_tree()
        load.stop()
        expected |= {name for name, at in load.answered.items() if at < killed - 0.2}
    server = start()
    eventually(lambda: not server.rows("select 1 from exchanges where success is null"), "no exchange left open")
    assert server.stop() == 0, server.output()
    missing = expected - answers(server)
    assert len(expected) > rounds * 10
    assert not missing, f"{len(missing)} of {len(expected)} are lost"
    assert_whole(server)


def test_kill_9_of_the_recorder_loses_and_doubles_nothing(start, upstream):
    upstream.script(quick)
    server = start()
    load = Load(server.port)
    for _ in range(5):
        count = len(load.answered)
        eventually(lambda count=count: len(load.answered) > count + 50, "some load")
        recorder = server.children()["recorder"]
        recorder.kill()
        eventually(lambda pid=recorder.pid: another_recorder(server, pid), "a new recorder")
    load.stop()
    assert server.stop() == 0, server.output()
    assert set(load.answered) <= answers(server)
    assert_whole(server)


def test_an_exchange_under_way_survives_its_recorder(start, upstream):
    gate = upstream.event()

    async def script(exchange):
        await exchange.read_body()
        await exchange.start_stream()
        await exchange.chunk(b'data: {"type":"message_start","message":{"id":"long","model":"m"}}\n\n')
        await exchange.chunk(
            b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"before "}}\n\n'
        )
        await gate.wait()
        await exchange.chunk(
            b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"after"}}\n\n'
        )
        await exchange.chunk(b'data: {"type":"message_stop"}\n\n')
        await exchange.end_stream()

    server = start()
    upstream.script(script)
    with RawClient(server.port) as client:
        client.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
        client.head()
        eventually(
            lambda: server.rows("select 1 from exchanges where time_to_first_token_ms is not null"),
            "the running exchange",
        )
        recorder = server.children()["recorder"]
        recorder.kill()
        eventually(lambda: another_recorder(server, recorder.pid), "a new recorder")
        gate.open()
        client.until(b"0\r\n\r\n")
    server.wait_recorded(1)
    lines = server.lines()
    assert [line["type"] for line in lines] == [
        "started",
        "request_recorded",
        "stream_started",
        "response_recorded",
        "completed",
    ]
    assert lines[3]["response_text"] == "before after"
    assert lines[4]["success"]


async def endless(exchange) -> None:
    """A provider whose answer does not end."""
    await exchange.read_body()
    await exchange.start_stream()
    await exchange.reader.read()
    exchange.keep = False


def test_an_exchange_that_a_crash_cuts_off_is_marked(start, upstream):
    server = start()
    upstream.script(endless)
    with RawClient(server.port) as client:
        client.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
        client.head()
        eventually(lambda: server.rows("select 1 from exchanges"), "the running exchange")
        server.kill_tree()
    server = start()
    server.wait_recorded(1)
    ((success, error),) = server.rows("select success, error from exchanges")
    assert (success, error.split(":")[0]) == (0, "interrupted")
    assert server.lines()[-1]["type"] == "completed"
    assert server.stop() == 0


@pytest.mark.parametrize("victims", [("web", "recorder"), ("recorder", "web"), ("web",)])
def test_an_exchange_that_its_processes_take_along_does_not_stay_open(start, upstream, victims):
    server = start()
    upstream.script(endless)
    with RawClient(server.port) as client:
        client.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
        client.head()
        eventually(lambda: server.rows("select 1 from exchanges"), "the running exchange")
        children = server.children()
        for name in victims:
            children[name].suspend()  # so that neither hears of the other's end
        for name in victims:
            children[name].kill()
        server.wait_recorded(1, 30)
    assert server.rows("select error from exchanges")[0][0].startswith("interrupted")
    assert server.lines()[-1]["type"] == "completed"


def test_a_torn_line_is_mended_at_the_next_start(start, upstream):
    server = start()
    ask(server, 1)
    server.wait_recorded(1)
    assert server.stop() == 0
    (path,) = (server.home / "sessions").glob("*/*.jsonl")
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"type":"started","session_id":"s","req')
    server = start()
    eventually(lambda: path.read_bytes() == whole, "the mended file")
    ask(server, 2)
    server.wait_recorded(2)
    assert server.stop() == 0
    assert_whole(server)


@sqlite_only
def test_a_locked_database_delays_the_record_and_nothing_else(start, upstream):
    server = start()
    ask(server, 0)
    server.wait_recorded(1)
    blocker = sqlite3.connect(server.home / "db.sqlite3", isolation_level=None)
    blocker.execute("begin exclusive")
    for number in range(1, 11):
        ask(server, number)
    eventually(lambda: "recording paused" in server.output(), "a word about it", 30)
    ask(server, 11)
    blocker.execute("rollback")
    blocker.close()
    server.wait_recorded(12, 30)
    eventually(lambda: "recording resumed" in server.output(), "a word about it")
    assert sorted(recorded_models(server)) == sorted(f"m{number}" for number in range(12))
    assert_whole(server)


@pytest.fixture
def refusing(start, database_url):
    """A server, and a way to shut PostgreSQL's door on it: refusing(True), refusing(False)."""
    server, name = start(), database_url.partition("?")[0].rpartition("/")[2]

    def refuse(is_shut: bool) -> None:
        with psycopg.connect(database_url.replace(f"/{name}?", "/template1?"), autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {not is_shut}")
            if is_shut:
                connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name])

    return server, refuse


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_a_database_that_is_away_delays_the_record_and_nothing_else(refusing):
    server, refuse = refusing
    ask(server, 0)
    server.wait_recorded(1)
    refuse(True)
    for number in range(1, 11):
        ask(server, number)
    eventually(lambda: "recording paused" in server.output(), "a word about it", 30)
    ask(server, 11)
    refuse(False)
    server.wait_recorded(12, 30)
    eventually(lambda: "recording resumed" in server.output(), "a word about it")
    assert sorted(recorded_models(server)) == sorted(f"m{number}" for number in range(12))
    assert_whole(server)
    assert server.stop() == 0
    assert "Traceback" not in server.output(), server.output()


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_a_recorder_whose_connection_is_cut_again_and_again_loses_and_doubles_nothing(start, upstream, database_url):
    upstream.script(quick)
    server = start()
    load = Load(server.port)
    name = database_url.partition("?")[0].rpartition("/")[2]
    with psycopg.connect(database_url.replace(f"/{name}?", "/template1?"), autocommit=True) as connection:
        for _ in range(10):
            count = len(load.answered)
            eventually(lambda count=count: len(load.answered) > count + 20, "some load")
            connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name])
    load.stop()
    assert server.stop() == 0, server.output()
    assert set(load.answered) <= answers(server)
    assert_whole(server)


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 3 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.fail(f"this test mounts a small file system, and may not: {mounted.stderr}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_delays_the_record_and_nothing_else(start, upstream, small_disk):
    server = start(LUNAROUTE_SESSIONS_DIR=str(small_disk))
    ask(server, 0, "a")
    server.wait_recorded(1)
    ballast = small_disk / "ballast"
    with open(ballast, "wb", buffering=0) as file:
        try:
            while True:
                file.write(os.urandom(4096))
        except OSError:
            pass
    for number in range(1, 6):
        ask(server, number, f"b{number}")
    eventually(lambda: "recording paused" in server.output(), "a word about it")
    assert "No space left on device" in server.output()
    ask(server, 6, "a")
    ballast.unlink()
    server.wait_recorded(7)
    eventually(lambda: "recording resumed" in server.output(), "a word about it")
    assert sorted(recorded_models(server)) == [f"m{number}" for number in range(7)]
    for path in small_disk.glob("*/*.jsonl"):
        for line in path.read_bytes().splitlines():
            json.loads(line)


@sqlite_only
def test_while_the_recorder_sleeps_the_proxy_goes_on_within_its_bound(start, upstream):
    server = start()
    ask(server, 0)
    server.wait_recorded(1)
    recorder, web = (server.children()[name] for name in ("recorder", "web"))
    before = web.memory_info().rss
    recorder.suspend()
    padding = "x" * (1 << 20)
    with RawClient(server.port) as client:
        for number in range(1, 151):
            body = json.dumps({"model": f"m{number}", "padding": padding}).encode()
            assert client.request(body=body, headers=b"session_id: s\r\n").status == 200
    held = web.memory_info().rss - before
    recorder.resume()
    server.wait_recorded(151, 60)
    assert held < 160 << 20, f"{held >> 20} MiB held"
    assert "without their text" in server.output()
    captures = dict(server.rows("select capture, count(*) from exchanges group by 1"))
    assert captures["metadata"] > 50
    assert captures["full"] > 30


@sqlite_only
def test_processes_that_die_are_started_again(start, upstream):
    server = start(worker=True)
    for name in ("web", "recorder"):
        victim = server.children()[name]
        victim.kill()
        psutil.wait_procs([victim], 10)
        eventually(lambda: _answers(server), "an answer again")
    eventually(lambda: len(psutil.Process(server.process.pid).children()) == 3, "all three again")
    ask(server, 1)
    server.wait_recorded(1)


def _answers(server) -> bool:
    try:
        return server.get("/healthz")[0] == 200 and "web" in server.children() and "recorder" in server.children()
    except (OSError, psutil.NoSuchProcess):
        return False
