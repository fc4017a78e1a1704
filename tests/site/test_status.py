"""The command `status`: what runs, since when, and what has happened to it."""

import json
import os
import signal
from datetime import UTC, datetime

from lunaroute_site import states
from lunaroute_site.status_command import lines, tasks
from tests.site.test_commands import run
from tests.support.raw import RawClient
from tests.support.server import eventually

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def status(home) -> dict:
    done = run(home, "status", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_names_every_process_and_the_recorders_queue(start, tmp_path):
    server = start(worker=True)
    with RawClient(server.port) as client:
        client.request()
    server.wait_recorded(1)
    eventually(lambda: (server.home / "broker" / "schedule.json").exists(), "a schedule")
    found = status(tmp_path)
    assert found["running"]
    assert found["answers"]
    assert (found["pid"], found["url"]) == (server.process.pid, server.url)
    assert set(found["processes"]) == {"web", "recorder", "worker"}
    assert {p["restarts"] for p in found["processes"].values()} == {0}
    assert found["processes"]["web"]["pid"] == server.children()["web"].pid
    assert found["recorder"] == {"queue_bytes": 0, "dropped": 0, "lag_seconds": 0}
    assert found["home_bytes"] > 100_000
    assert {"heartbeat", "optimize-database", "retention"} <= set(found["tasks"])
    retention = found["tasks"]["retention"]
    assert retention["last_run"] is None
    assert datetime.fromisoformat(retention["next_run"]) > datetime.now(UTC)
    assert (server.home / states.PROCESSES).stat().st_mode & 0o777 == 0o600
    said = run(tmp_path, "status").stdout
    assert f"web: process {found['processes']['web']['pid']}, up for" in said
    assert "0 bytes wait, 0.0 s behind, 0 dropped" in said
    assert "task retention: last run not yet, next " in said


def test_it_says_what_was_started_again_and_why(start, tmp_path):
    server = start()
    first = server.children()["recorder"].pid
    os.kill(first, signal.SIGKILL)
    again = eventually(
        lambda: (p := status(tmp_path)["processes"]["recorder"])["pid"] not in (0, first) and p, "another recorder"
    )
    assert (again["restarts"], again["last_end"]) == (1, "signal 9")
    assert "started again 1 time (the last time after: signal 9, 20" in run(tmp_path, "status").stdout


def test_it_asks_with_the_token(start, tmp_path):
    start(LUNAROUTE_AUTH_TOKEN="t" * 32)
    done = run(tmp_path, "status", "--json", LUNAROUTE_AUTH_TOKEN="t" * 32)
    assert json.loads(done.stdout)["recorder"]["queue_bytes"] == 0
    without = run(tmp_path, "status", "--json")
    assert json.loads(without.stdout)["recorder"] is None
    assert run(tmp_path, "status").returncode == 0


def test_a_server_that_stands_still_is_said_to(start, tmp_path):
    server = start()
    web = server.children()["web"]
    web.suspend()
    try:
        assert "but does not answer" in run(tmp_path, "status").stdout
    finally:
        web.resume()


def test_without_a_server_it_says_so_with_exit_code_1(tmp_path):
    done = run(tmp_path, "status")
    assert (done.returncode, done.stdout) == (1, f"LunaRoute is not running (home {tmp_path / '.lunaroute'}).\n")
    done = run(tmp_path, "status", "--json")
    assert (done.returncode, json.loads(done.stdout)["running"]) == (1, False)


def test_a_server_that_was_killed_does_not_run(start, tmp_path):
    server = start()
    server.kill_tree()
    assert run(tmp_path, "status").returncode == 1


def test_damaged_files_are_as_if_they_were_not_there(tmp_path):
    (tmp_path / "broker").mkdir()
    (tmp_path / "broker" / "schedule.json").write_text('{"a": 1, "b": {"last_run_at": 3}, "c": {}}')
    (tmp_path / "broker" / "runs.json").write_text("[")
    assert tasks(tmp_path, NOW) == {}


def test_a_task_that_is_late_is_due_now(tmp_path):
    (tmp_path / "broker").mkdir()
    entry = {"task": "t", "last_run_at": "2026-03-01T00:00:00+00:00", "has_run": True, "every_seconds": 60.0}
    states.write(tmp_path / "broker" / "schedule.json", {"a": entry})
    states.write(
        tmp_path / "broker" / "runs.json", {"t": {"state": "FAILURE", "ended_at": "2026-03-01T00:00:01+00:00"}}
    )
    found = tasks(tmp_path, NOW)
    assert found["a"] == {
        "last_run": "2026-03-01T00:00:00+00:00", "next_run": NOW.isoformat(), "state": "FAILURE", "ended_at": "2026-03-01T00:00:01+00:00",
    }  # fmt: skip


def test_it_says_it_for_people():
    found = {
        "pid": 1, "url": "http://127.0.0.1:8081", "answers": True, "up_since": "2026-03-01T11:00:00+00:00", "recording": "off",
        "home": "/h", "home_bytes": 1_234_567_890, "recorder": None, "tasks": {}, "problems": ["the record is 40 s behind"],
        "processes": {
            "web": {"pid": 2, "up_since": "2026-03-04T11:59:00+00:00", "restarts": 2, "last_end": "exit code 1", "ended_at": "then"},
            "worker": {"pid": 0, "up_since": "", "restarts": 0, "last_end": "", "ended_at": ""},
        },
    }  # fmt: skip
    assert list(lines(found, NOW)) == [
        "LunaRoute runs (process 1) on http://127.0.0.1:8081, up for 3 days.",
        "Recording: off",
        "Home: /h (1.2 GB)",
        "web: process 2, up for 1 minute; started again 2 times (the last time after: exit code 1, then)",
        "worker: is not there",
        "Problem: the record is 40 s behind",
    ]
