"""The schedule of the worker's tasks, and the directory of its messages."""

import json
import os
import stat
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from celery import Celery

from lunaroute_site import broker
from lunaroute_site.schedule import Schedule

LONG_AGO = "2026-01-01T00:00:00+00:00"


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
    path.write_text(json.dumps({"a": LONG_AGO}))
    assert ticks(schedule(path, a=60.0)) == ["a"]


def test_a_worker_that_was_killed_runs_nothing_twice(tmp_path):
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"a": LONG_AGO}))
    ticks(schedule(path, a=60.0))
    assert ticks(schedule(path, a=60.0)) == []


def test_a_new_task_waits_for_its_time_over_restarts(tmp_path):
    path = tmp_path / "s.json"
    schedule(path, a=3600.0)
    first = json.loads(path.read_text())["a"]
    earlier = (datetime.fromisoformat(first) - timedelta(hours=2)).isoformat()
    path.write_text(path.read_text().replace(first, earlier))
    assert ticks(schedule(path, a=3600.0)) == ["a"]


@pytest.mark.parametrize(
    "content", [b"", b"\x00\xff{", b"[1]", b'{"a": 7}', b'{"a": {}}', b'{"a": "x"}', b'{"a": "2026-01-01"}']
)
def test_a_damaged_schedule_is_made_anew(tmp_path, content):
    path = tmp_path / "s.json"
    path.write_bytes(content)
    assert ticks(schedule(path, a=3600.0)) == []
    assert datetime.fromisoformat(json.loads(path.read_text())["a"]) <= datetime.now(UTC)


def test_a_task_that_the_broker_does_not_take_stays_due(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("lunaroute_site.schedule.TRY_AGAIN", 0)
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"a": LONG_AGO}))
    found = schedule(path, a=60.0)
    found.trouble += [OSError("no broker"), OSError("no broker")]
    found.tick()
    assert json.loads(path.read_text())["a"] == LONG_AGO
    assert ticks(found) == ["a"]
    assert [record.getMessage() for record in caplog.records] == [
        "the worker waits for its broker: no broker",
        "the broker is there again: the worker goes on",
    ]


def test_a_time_yet_to_come_does_not_stop_a_task(tmp_path):
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"a": "2999-01-01T00:00:00+00:00"}))
    schedule(path, a=60.0)
    assert datetime.fromisoformat(json.loads(path.read_text())["a"]) <= datetime.now(UTC)


def test_a_task_that_is_no_more_is_forgotten(tmp_path):
    path = tmp_path / "s.json"
    schedule(path, a=60.0, b=60.0)
    schedule(path, b=60.0)
    assert set(json.loads(path.read_text())) == {"b"}


def test_a_message_is_of_no_use_when_the_next_is_due(tmp_path):
    assert schedule(tmp_path / "s.json", a=60.0).schedule["a"].options["expires"] == 60.0


# -- the broker's directory ---------------------------------------------------------------------------------------


def test_what_is_taken_or_old_goes_and_what_waits_stays(tmp_path):
    broker.prepare(tmp_path, None)
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
    broker.prepare(tmp_path, None)
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == ["2.celery.msg"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "control", folder / "taken")} == {0o700}
