"""Retention by its commands, beside a server and without one, and killed at every step."""

import shutil
import signal
import socket
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import zstandard

from sessions.models import RetentionRun, Session
from sessions.store import Store
from tests.sessions.test_recording import converse
from tests.site.test_commands import run
from tests.support import planted, zygote
from tests.support.databases import default_database
from tests.support.planted import record
from tests.support.server import environment, eventually, start_server, take_migrated_database

LIMITS = "session_recording: {cleanup: {retention: {max_age_days: 30, compress_after_days: 7}}}\n"
# What is called when the process is killed: (module, name, at which call, before or after it).
POINTS = {
    "in the middle of a deletion": ("sessions.deletion", "release", 1, "before"),
    "before its files are gone": ("sessions.deletion", "remove_files", 2, "before"),
    "after a deletion": ("sessions.keeping.running", "delete", 1, "after"),
    "before it is read again": ("sessions.keeping.files", "_check", 1, "before"),
    "while both are there": ("sessions.keeping.files", "_sync_folder", 1, "after"),
    "before room is given back": ("sessions.keeping.sizes", "give_back", 1, "before"),
}
KILL = """
import importlib, os, signal, sys
sys.path.insert(0, os.getcwd())
os.environ["DJANGO_SETTINGS_MODULE"] = "lunaroute_site.settings"
module, name, number, when, config = sys.argv[1:]
os.environ["LUNAROUTE_CONFIG"] = config
import django
django.setup()
holder, left = importlib.import_module(module), int(number)
real = getattr(holder, name)
def killing(*arguments, **options):
    global left
    left -= 1
    if not left and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        return real(*arguments, **options)
    finally:
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
setattr(holder, name, killing)
from lunaroute_site.cli import main
sys.exit(main(["retention", "run"]))
"""


@pytest.fixture
def config(tmp_path) -> str:
    path = tmp_path / "limits.yaml"
    path.write_text(LIMITS)
    return str(path)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, django_db_setup, django_db_blocker) -> Path:
    """A home with sessions of several ages."""
    home = tmp_path_factory.mktemp("recorded") / ".lunaroute"
    take_migrated_database(home)
    with django_db_blocker.unblock(), default_database(f"sqlite:///{home}/db.sqlite3"):
        record(Store(identity_of(home), home / "sessions", True, True), planted.conversation())
        for number, name in enumerate(sorted(Session.objects.values_list("session_id", flat=True))):
            days = (99, 99, 10, 10)[number] if number < 4 else 1
            Session.objects.filter(session_id=name).update(completed_at=datetime.now(UTC) - timedelta(days=days))
    return home


def identity_of(home: Path) -> str:
    return f"{socket.gethostname()}:{home}"


def copied(recorded: Path, folder: Path) -> Path:
    """Copy the home into `folder`; its files are known by their new places."""
    home = folder / ".lunaroute"
    shutil.copytree(recorded, home)
    with closing(sqlite3.connect(home / "db.sqlite3")) as database, database:
        database.execute(
            "UPDATE jsonl_files SET path = replace(path, ?, ?), recorder = ?",
            (str(recorded), str(home), identity_of(home)),
        )
        database.execute("UPDATE exchanges SET recorder = ?", (identity_of(home),))
    return home


@pytest.fixture
def home(recorded, tmp_path) -> Path:
    return copied(recorded, tmp_path)


def state(home: Path) -> tuple:
    """Sessions, files by their content before compression, and whether the database is sound."""
    with closing(sqlite3.connect(home / "db.sqlite3")) as database:
        sound = database.execute("PRAGMA integrity_check").fetchall()
        sessions = database.execute("SELECT session_id FROM sessions ORDER BY 1").fetchall()
        counts = [database.execute(f"SELECT count(*) FROM {t}").fetchone() for t in ("blobs", "nodes", "exchanges")]
        free = database.execute("PRAGMA freelist_count").fetchone()
    files = {}
    for path in sorted((home / "sessions").rglob("*.jsonl*")):
        data = path.read_bytes()
        files[path.name] = zstandard.ZstdDecompressor().decompress(data) if path.suffix == ".zst" else data
    return sound, sessions, counts, free, files


@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_it_goes_on_where_it_was(home, tmp_path, config, point, done_at_once):
    arguments = [str(value) for value in POINTS[point]]
    killed = zygote.run(zygote.CODE, [KILL, *arguments, config], environment(tmp_path))
    assert killed.returncode == -signal.SIGKILL
    sound, *_ = state_while_killed(home)
    assert sound == [("ok",)]
    finished = run(tmp_path, "--config", config, "retention", "run")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert state(home) == done_at_once


def state_while_killed(home: Path) -> tuple:
    with closing(sqlite3.connect(home / "db.sqlite3")) as database:
        return (database.execute("PRAGMA integrity_check").fetchall(),)


@pytest.fixture(scope="module")
def done_at_once(recorded, tmp_path_factory) -> tuple:
    """The state after a run that nothing interrupts, on a copy of the home."""
    folder = tmp_path_factory.mktemp("at-once")
    home, limits = copied(recorded, folder), folder / "limits.yaml"
    limits.write_text(LIMITS)
    done = run(folder, "--config", str(limits), "retention", "run")
    assert done.returncode == 0, done.stderr
    assert "2 sessions deleted, 2 files compressed" in done.stdout
    return state(home)


def test_a_dry_run_and_the_status_say_what_would_go(home, tmp_path, config):
    before = state(home)
    dry = run(tmp_path, "--config", config, "retention", "run", "--dry-run")
    assert dry.returncode == 0
    assert "2 sessions to delete" in dry.stdout
    assert "2 files to compress" in dry.stdout
    assert "(too old)" in dry.stdout
    assert state(home) == before
    assert run(tmp_path, "--config", config, "retention", "run").returncode == 0
    status = run(tmp_path, "--config", config, "retention", "status")
    assert status.returncode == 0
    assert "Deleted after:    30 days" in status.stdout
    assert "Due:              nothing" in status.stdout
    assert "by command: 2 sessions deleted, 2 files compressed" in status.stdout


def test_it_needs_a_record(tmp_path, config):
    for command in ("run", "status"):
        done = run(tmp_path, "--config", config, "retention", command)
        assert done.returncode == 1
        assert "nothing is recorded yet" in done.stderr


def test_the_server_does_it_by_itself_and_the_recorder_goes_on(tmp_path, provider, django_db_setup, django_db_blocker):
    """Compressed at once: what is recorded next brings each file back."""
    path = tmp_path / "c.yaml"
    path.write_text(
        "session_recording: {cleanup: {retention: {compress_after_days: 0, cleanup_interval_minutes: 0.02}}}\n"
    )
    provider.reset()
    server = start_server(tmp_path, provider.url, "--config", str(path), worker=True)
    try:
        for rounds in (1, 2):
            converse(server)
            server.wait_recorded(6 * rounds)
            eventually(lambda: not list((server.home / "sessions").rglob("*.jsonl")), "compressed files", 30)
        (small,) = (server.home / "sessions").rglob("*.zst")
        lines = zstandard.ZstdDecompressor().decompress(small.read_bytes()).splitlines()
        exported = server.get(f"/sessions/{small.name.split('_')[1].split('.')[0]}/export?format=jsonl")[2].splitlines()
        assert lines == exported
        assert sum(b'"type":"completed"' in line for line in lines) == 12
    finally:
        assert server.stop() == 0, server.output()
    with django_db_blocker.unblock(), default_database(f"sqlite:///{server.home}/db.sqlite3"):
        assert RetentionRun.objects.filter(trigger="schedule", compressed_files=1).count() >= 2
