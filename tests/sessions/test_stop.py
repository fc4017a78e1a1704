"""The end: an exit code of 0 says that everything that was answered is on record, and any other how much is not."""

import json
import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from tests.sessions.test_recorder import another_recorder, ask, assert_whole, recorded_models, small_disk
from tests.site.test_commands import run
from tests.support.databases import postgres, sqlite_only, start_again
from tests.support.server import eventually, start_server, take_migrated_database

__all__ = ["small_disk"]  # a fixture

COUNT = 25
# Seconds that the end waits for a recorder that says nothing, and for one in trouble.
SHORT = "import proxy.link\nproxy.link.HANGS_AFTER, proxy.link.TROUBLE_PATIENCE = 0.5, 0.2"
# A recorder that dies as soon as it has read something.
DYING = "import proxy.link, lunaroute_site.supervisor as s\nproxy.link.PATIENCE = 1.0\n" + (
    "import os, time\n"
    "def run_recorder(tree, child, control, run=s.Tree._run_recorder):\n"
    "    return run(tree, child, control) if not child.deaths else time.sleep(0.05) or os._exit(9)\n"
    "s.Tree._run_recorder = run_recorder\n"
)
# One that needs longer for all than the end waits for each.
SLOW = "import time, lunaroute_site.supervisor as s, sessions.recorder as r\ns.WEB_STOP = 2\n" + (
    "def acknowledge(recorder, one=r.Recorder._acknowledge):\n"
    "    for ack in recorder._acks:\n"
    "        recorder._acks = [ack]\n"
    "        time.sleep(0.35)\n"
    "        one(recorder)\n"
    "r.Recorder._acknowledge = acknowledge\n"
)


def hold(server, count: int = COUNT) -> object:
    """Let the web processes hold exchanges that no recorder has taken; gives the recorder, which sleeps."""
    ask(server, 0)
    server.wait_recorded(1)
    recorder = server.children()["recorder"]
    recorder.suspend()
    for number in range(1, count + 1):
        ask(server, number, f"s{number % 3}")
    return recorder


def assert_all(server, count: int = COUNT) -> None:
    assert sorted(recorded_models(server)) == sorted(f"m{number}" for number in range(count + 1))
    assert_whole(server)


def what_is_missing(server) -> list[str]:
    return [line for line in server.output().splitlines() if "not on record" in line]


@pytest.mark.parametrize("web", ["1", "2"])
def test_what_is_held_when_the_recorder_is_gone_is_recorded_before_the_end(start, upstream, web):
    server = start("serve", "--web", web)
    recorder = hold(server)
    server.process.terminate()
    recorder.kill()
    assert server.stop() == 0, server.output()
    assert_all(server)
    assert what_is_missing(server) == []


@sqlite_only
def test_also_while_it_waits_to_be_started_again(start, upstream):
    server = start()
    hold(server)
    for _ in range(5):
        recorder = server.children()["recorder"]
        recorder.kill()
        if len(server.output().split("starting it again")) < 6:
            eventually(lambda pid=recorder.pid: another_recorder(server, pid), "a new recorder", 30)
    assert server.stop() == 0, server.output()
    assert_all(server)


@sqlite_only
def test_a_recorder_that_hangs_is_replaced(start, upstream):
    server = start(before=SHORT)
    hold(server)
    assert server.stop() == 0, server.output()
    assert "the recorder process ended unexpectedly (it acknowledged nothing)" in server.output()
    assert_all(server)


@sqlite_only
def test_a_backlog_is_waited_for_as_long_as_ever_more_of_it_is_on_record(start, upstream, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("http_server: {drain_secs: 0}\n")
    server = start("--config", str(config), before=SLOW)
    recorder = hold(server, 10)
    server.process.terminate()
    recorder.resume()
    assert server.stop() == 0, server.output()
    assert_all(server, 10)


@sqlite_only
def test_one_that_dies_whenever_it_is_started_is_told_of_with_the_number_that_is_missing(start, upstream, tmp_path):
    server = start(before=DYING)
    recorder = hold(server)
    recorder.kill()
    said = run(tmp_path, "stop")
    assert said.returncode == 1
    assert f"{COUNT} exchanges that were answered are not on record" in said.stderr
    assert server.stop() == 1
    (line,) = what_is_missing(server)
    assert f"{COUNT} exchanges that were answered are not on record" in line


@sqlite_only
def test_a_web_process_that_dies_at_the_end_makes_no_good_one(start, upstream):
    server = start()
    hold(server)
    web = server.children()["web"]
    server.process.terminate()
    web.kill()
    assert server.stop() == 1
    assert "the web process ended with SIGKILL" in server.output()


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_a_database_that_is_gone_is_not_waited_for_long_and_the_number_is_told(start, database_url):
    server, name = start(before=SHORT), database_url.partition("?")[0].rpartition("/")[2]
    ask(server, 0)
    server.wait_recorded(1)
    admin = database_url.replace(f"/{name}?", "/template1?")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name])
        for number in range(1, 8):
            ask(server, number)
        eventually(lambda: "recording paused" in server.output(), "a word about it", 30)
        assert server.stop() == 1
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    (line,) = what_is_missing(server)
    assert "7 exchanges that were answered are not on record" in line
    assert "terminating connection" in line or "not currently accepting connections" in line, "why"
    assert "Traceback" not in server.output(), server.output()
    assert "did not end within" not in server.output()


@sqlite_only
def test_two_homes_on_one_directory_leave_each_other_s_lines_alone(start, upstream, tmp_path):
    """Both record one session, and are killed and started again in turn."""
    shared = tmp_path / "shared"
    homes = [tmp_path / "one", tmp_path / "two"]
    running = [start(home=home, LUNAROUTE_SESSIONS_DIR=str(shared)) for home in homes]
    for number in range(2):
        for at, server in enumerate(running):
            ask(server, 10 * at + number, "same")
            server.wait_recorded(number + 1)
        running[number].kill_tree()
        running[number] = start(home=homes[number], LUNAROUTE_SESSIONS_DIR=str(shared))
    wanted = [row[0] for server in running for row in server.rows("select request_id from exchanges")]
    assert [server.stop() for server in running] == [0, 0]
    told = [json.loads(line) for path in shared.glob("*/*.jsonl") for line in path.read_bytes().splitlines()]
    assert len(wanted) == 4
    assert sorted(line["request_id"] for line in told if line["type"] == "completed") == sorted(wanted)
    assert sorted(path.name for path in shared.glob("*/*")) == ["session_same.2.jsonl", "session_same.jsonl"]


# -- disks ---------------------------------------------------------------------------------------------------


def fill(disk: Path) -> None:
    with open(disk / "ballast", "wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


@sqlite_only
def test_a_full_disk_at_the_end_is_told_in_a_line(start, upstream, small_disk):
    server = start(LUNAROUTE_SESSIONS_DIR=str(small_disk), before=SHORT)
    ask(server, 0)
    server.wait_recorded(1)
    fill(small_disk)
    for number in range(1, 4):
        ask(server, number, f"new-{number}")
    eventually(lambda: "recording paused" in server.output(), "a word about it")
    assert server.stop() == 1
    (line,) = what_is_missing(server)
    assert "3 exchanges that were answered are not on record" in line
    assert "No space left on device" in line
    assert "Traceback" not in server.output(), server.output()
    assert "did not end within" not in server.output()


@pytest.mark.parametrize("is_read_only", [False, True])
def test_a_full_disk_at_the_start_is_told_in_a_line(small_disk, tmp_path, is_read_only):
    home = small_disk / "home"
    take_migrated_database(home)
    if is_read_only:
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    else:
        fill(small_disk)
    done = run(tmp_path, "serve", "--no-worker", LUNAROUTE_HOME=str(home), LUNAROUTE_PORT="0")
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert str(home) in line
    assert "Traceback" not in done.stdout


# -- PostgreSQL ----------------------------------------------------------------------------------------------


def test_what_was_acknowledged_outlives_a_postgresql_that_is_killed(upstream, tmp_path):
    with postgres() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            # Its log is written at a commit, or else only after these 10 s.
            connection.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
            connection.execute("SELECT pg_reload_conf()")
            (directory,) = connection.execute("SHOW data_directory").fetchone()
        server = start_server(tmp_path, upstream.url, DATABASE_URL=url)
        for number in range(10):
            ask(server, number)
        eventually(
            lambda: "lunaroute_recorder_queue_bytes 0.0" in server.get("/metrics")[2].decode(), "no more to wait for"
        )
        running = Path(directory, "postmaster.pid")
        os.kill(int(running.read_text().split()[0]), signal.SIGQUIT)  # an immediate stop
        eventually(lambda: not running.exists(), "the end of PostgreSQL")
        start_again(Path(directory))
        server.wait_recorded(10, 30)
        assert sorted(recorded_models(server)) == sorted(f"m{number}" for number in range(10))
        assert server.stop() == 0, server.output()
        assert_whole(server)
