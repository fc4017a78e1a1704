"""The command `pii apply`, as somebody types it, and what is left on the disk after it."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from pii.policy import Policy
from sessions import rebuild
from sessions.deletion import delete_session
from sessions.models import Blob, Exchange, JsonlFile, Session
from sessions.packing import unpack
from sessions.store import Store
from tests.sessions.test_redaction import everything
from tests.site.test_commands import run
from tests.support import planted, zygote
from tests.support.databases import default_database, sqlite_only
from tests.support.planted import EMAIL, VALUES, record
from tests.support.server import ROOT, environment, take_migrated_database

PII = "session_recording:\n  pii:\n    enabled: true\n"
# What the index has of the values: it cuts a word's beginning off where the word before it begins alike.
WORDS = (b"zyzx", b"lsewhere")


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "pii.yaml"
    path.write_text(PII)
    return str(path)


@pytest.fixture
def using(tmp_path, database_url, django_db_setup, django_db_blocker):
    """A way into the database of this test's home."""

    @contextmanager
    def within() -> Iterator[None]:
        url = database_url or f"sqlite:///{tmp_path}/.lunaroute/db.sqlite3"
        with django_db_blocker.unblock(), default_database(url):
            yield

    return within


@pytest.fixture
def home(tmp_path, database_url, using) -> Path:
    """A home in which the planted conversations were recorded without redaction; no server runs."""
    if not database_url:
        take_migrated_database(tmp_path / ".lunaroute")
    with using():
        record(Store("test", tmp_path / ".lunaroute" / "sessions", True, True), planted.conversation())
    return tmp_path / ".lunaroute"


@pytest.fixture
def apply(tmp_path, config, database_url):
    def once(*arguments: str) -> subprocess.CompletedProcess:
        environ = {"DATABASE_URL": database_url} if database_url else {}
        return run(tmp_path, "--config", config, "pii", "apply", *arguments, **environ)

    return once


def on_disk(home: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}


def packed_values() -> list[bytes]:
    """What is stored of contents with values in them, as it is stored."""
    rows = Blob.objects.all()
    found = [(bytes(row.data), unpack(row.codec, bytes(row.data), row.size)) for row in rows if row.codec != 3]
    return [data for data, text in found if any(value.encode() in text for value in VALUES)]


def test_everything_is_redacted_and_counted_by_type(home, apply, using):
    done = apply()
    assert (done.returncode, done.stderr) == (0, "")
    first = done.stdout
    assert first.startswith("6 sessions are redacted; values replaced: CREDIT_CARD ")
    assert ", EMAIL " in first
    with using():
        text = everything(home)
        for value in VALUES:
            assert value.encode() not in text, value
        before = sorted(
            Exchange.objects.values_list("request_id", "redacted_by", "body_sha256", "redactions__EMAIL"), key=str
        )
        assert {row[1] for row in before} == {Policy().fingerprint()}
    done = apply()
    assert (done.returncode, done.stdout) == (0, "0 sessions are redacted; values replaced: none.\n")
    with using():
        assert before == sorted(
            Exchange.objects.values_list("request_id", "redacted_by", "body_sha256", "redactions__EMAIL"), key=str
        )


@sqlite_only
def test_no_byte_of_a_value_is_left_under_the_home(home, apply, using):
    with using():
        packed = packed_values()
        # Of a session that somebody deleted, before there was anything to keep secret.
        delete_session("responses")
    assert len(packed) > 10
    before = b"".join(on_disk(home).values())
    assert all(word in before for word in (EMAIL.encode(), *WORDS))
    assert sum(data in before for data in packed) > 10
    done = apply()
    assert (done.returncode, done.stderr) == (0, "")
    assert "5 sessions are redacted" in done.stdout
    for path, data in on_disk(home).items():
        for value in (*(v.encode() for v in VALUES), *WORDS, *packed):
            assert value not in data, (path, value)
        assert b"PRIMARY KEY" in data or path.name != "db.sqlite3"
    with closing(sqlite3.connect(home / "db.sqlite3")) as database:
        assert database.execute("PRAGMA freelist_count").fetchone() == (0,)
        assert database.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        database.execute("INSERT INTO search_index (search_index) VALUES ('integrity-check')")


def test_to_count_writes_nothing(home, apply, using):
    files = {path: data for path, data in on_disk(home).items() if path.suffix == ".jsonl"}
    done = apply("--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("6 sessions would be redacted; values that would be replaced: CREDIT_CARD ")
    assert files == {path: data for path, data in on_disk(home).items() if path.suffix == ".jsonl"}
    with using():
        assert set(Exchange.objects.values_list("redacted_by", flat=True)) == {""}
    assert apply().stdout.split("replaced: ")[1] == done.stdout.split("replaced: ")[1]


def test_without_redaction_it_says_what_to_set(tmp_path):
    done = run(tmp_path, "pii", "apply")
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == "lunaroute-server: redaction is not enabled: set session_recording.pii.enabled to true in the configuration\n"
    )


@sqlite_only
def test_it_does_nothing_while_the_server_runs(start, tmp_path, config, apply):
    server = start("--config", config)
    done = apply()
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr
        == f"lunaroute-server: LunaRoute runs (process {server.process.pid}) and records: stop it first, with `lunaroute-server stop`\n"
    )
    assert apply("--dry-run").returncode == 0
    assert server.stop() == 0
    assert apply().returncode == 0


# Where the process kills itself: what it calls, and the how-manieth time that is.
POINTS = {
    "before the first transaction": ("sessions.redoing", "_write", 1, "before"),
    "in the middle of a transaction": ("sessions.deletion", "release", 2, "before"),
    "before the file takes its place": ("os", "replace", 3, "before"),
    "before the commit": ("os", "replace", 3, "after"),
    "before the commit of a file that became longer": ("os", "replace", 1, "after"),
    "between two sessions": ("sessions.redoing", "_write", 3, "after"),
    "before the end": ("sessions.scrubbing", "scrub", 1, "before"),
}  # fmt: skip
KILL = """
import importlib, os, signal, sys
module, name, number, when = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
os.environ["DJANGO_SETTINGS_MODULE"] = "lunaroute_site.settings"
os.environ["LUNAROUTE_CONFIG"] = sys.argv[5]
import django
django.setup()
holder = importlib.import_module(module)
real, calls = getattr(holder, name), 0

def killing(*arguments, **options):
    global calls
    calls += 1
    if calls == number and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        return real(*arguments, **options)
    finally:
        if calls == number:
            os.kill(os.getpid(), signal.SIGKILL)

setattr(holder, name, killing)
from lunaroute_site.cli import main
sys.exit(main(["pii", "apply"]))
"""


@sqlite_only
@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_it_goes_on_where_it_was(home, apply, using, tmp_path, config, point):
    with using():
        packed = packed_values()
    arguments = [str(value) for value in POINTS[point]]
    killed = zygote.run(zygote.CODE, [KILL, *arguments, config], environment(tmp_path))
    assert killed.returncode == -signal.SIGKILL
    with using():
        # A recorder that starts now finds files that it can go on with.
        Store("test", home / "sessions", True, True).recover(interrupt=False)
        done = 0
        for session in Session.objects.all():
            (file,) = JsonlFile.objects.filter(session=session)
            data = Path(file.path).read_bytes()
            assert all(body.is_exact for body in rebuild.bodies(data.splitlines(keepends=True)))
            if not session.exchanges.filter(redacted_by="").exists():
                done += 1
                assert file.size == len(data)
                assert not any(value.encode() in data for value in VALUES)
    committed = dict(zip(POINTS, (0, 1, 2, 2, 0, 3, 6), strict=True))
    assert done == committed[point]
    finished = apply()
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.startswith(f"{6 - done} sessions are redacted")
    for path, data in on_disk(home).items():
        for value in (*(v.encode() for v in VALUES), *WORDS, *packed):
            assert value not in data, (path, value)
    assert not list(home.rglob("*.new"))


@sqlite_only
def test_who_reads_the_database_meanwhile_is_asked_to_end(home, apply):
    with closing(sqlite3.connect(home / "db.sqlite3")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM exchanges").fetchone()
        done = apply()
        assert done.returncode == 1
        assert done.stderr.startswith("lunaroute-server: another program reads the database: run this again without it")
        assert EMAIL.encode() in b"".join(on_disk(home).values())
    assert apply().returncode == 0
    assert EMAIL.encode() not in b"".join(on_disk(home).values())


@sqlite_only
def test_interrupted_by_hand_it_says_how_to_go_on(home, tmp_path, config):
    code = KILL.replace("os.kill(os.getpid(), signal.SIGKILL)", "signal.raise_signal(signal.SIGINT)")
    done = subprocess.run(
        [sys.executable, "-c", code, "sessions.deletion", "release", "2", "before", config], cwd=ROOT,
        env=environment(tmp_path), timeout=60, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr
        == "lunaroute-server: interrupted: run `lunaroute-server pii apply` again, and it goes on from here\n"
    )


@sqlite_only
def test_a_terminal_shows_how_far_it_is(home, tmp_path, config):
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "lunaroute_site.cli", "--config", config, "pii", "apply"], cwd=ROOT,
        env=environment(tmp_path), stderr=theirs, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while True:
        try:
            data = os.read(ours, 1 << 16)
        except OSError:  # Linux says so that nobody writes any more
            break
        if not data:
            break
        shown += data
    os.close(ours)
    assert process.wait(60) == 0
    assert b"1 of 6 sessions; " in shown
    assert b"6 of 6 sessions; CREDIT_CARD " in shown
