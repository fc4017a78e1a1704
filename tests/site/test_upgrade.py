"""A database of an older version is brought up to date after a copy was made, one of a newer is refused; one is made anew."""

import os
import shutil
import signal
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest

from lunaroute_site.upkeep import upgrade
from tests.sessions.test_recording import converse
from tests.site.test_commands import run
from tests.support import zygote
from tests.support.server import environment, start_server, take_migrated_database


def ask(home: Path, *statements: str) -> list:
    with closing(sqlite3.connect(home / "db.sqlite3")) as database, database:
        return [database.execute(statement).fetchall() for statement in statements][-1]


@pytest.fixture
def home(tmp_path) -> Path:
    take_migrated_database(tmp_path / ".lunaroute")
    return tmp_path / ".lunaroute"


def go_back(home: Path) -> None:
    """Make the database one of the version before retention and budgets."""
    tables = (
        "retention_runs",
        "file_removals",
        "budgets",
        "budget_spends",
        "budget_notices",
        "quota_windows",
        "session_stars",
    )
    ask(
        home, *(f"DROP TABLE {table}" for table in tables), "ALTER TABLE exchanges DROP COLUMN project",
        "DELETE FROM django_migrations WHERE app = 'record' AND name >= '0011'",
    )  # fmt: skip


def test_an_older_database_is_copied_and_brought_up_to_date(home, tmp_path, provider):
    go_back(home)
    server = start_server(tmp_path, provider.url)
    try:
        (copy,) = home.glob("db.sqlite3.before-*")
        assert f"a copy of it is {copy}" in server.output()
        assert copy.name.startswith("db.sqlite3.before-0010_routing-")
        assert copy.stat().st_mode & 0o777 == 0o600
        with closing(sqlite3.connect(copy)) as database:
            assert not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'retention_runs'").fetchall()
        assert ask(home, "SELECT count(*) FROM retention_runs") == [(0,)]
    finally:
        assert server.stop() == 0


def test_one_of_this_version_is_left_as_it_is(home, tmp_path, provider):
    server = start_server(tmp_path, provider.url)
    assert server.stop() == 0
    assert not list(home.glob("db.sqlite3.before-*"))


def test_the_last_copies_are_kept(home):
    (home / "db.sqlite3.before-0010-1.new").write_bytes(b"of one that was killed")
    for number in range(4):
        path = home / f"db.sqlite3.before-0009-{number}"
        path.write_bytes(b"x")
        os.utime(path, (number, number))
    made = upgrade.copy(home / "db.sqlite3", "0010_routing")
    assert sorted(home.glob("db.sqlite3.before-*")) == sorted([home / "db.sqlite3.before-0009-3", made])


def test_without_room_for_a_copy_nothing_is_done(home, monkeypatch):
    monkeypatch.setattr(upgrade.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(upgrade.UpgradeProblem, match="the disk has 0 MiB free"):
        upgrade.copy(home / "db.sqlite3", "0010_routing")


@pytest.mark.parametrize("command", [["serve"], ["stats"], ["retention", "status"], ["backup", "x.tar.zst"]])
def test_a_newer_database_is_refused_in_one_line(home, tmp_path, command):
    ask(
        home, "INSERT INTO django_migrations (app, name, applied) VALUES ('record', '9999_from_tomorrow', '2030-01-01')"
    )
    done = run(tmp_path, *command)
    assert done.returncode == 1
    assert "was changed by a newer LunaRoute (record.9999_from_tomorrow)" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_one_that_has_no_table_of_ours_yet_is_no_trouble(home, tmp_path, provider):
    ask(home, "DELETE FROM django_migrations")
    with closing(sqlite3.connect(home / "db.sqlite3")) as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            if name != "django_migrations" and not name.startswith("sqlite_"):
                with suppress(sqlite3.Error):  # a virtual table takes some with it
                    database.execute(f"DROP TABLE {name}")
    ask(home, "INSERT INTO django_migrations (app, name, applied) VALUES ('gone', '0001_initial', '2026-01-01')")
    done = run(tmp_path, "import", str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert list(home.glob("db.sqlite3.before-0000-*"))


def test_a_database_elsewhere_is_copied_where_it_is(home, tmp_path):
    go_back(home)
    (tmp_path / "other").mkdir()
    (home / "db.sqlite3").rename(tmp_path / "other" / "x.sqlite3")
    done = run(tmp_path, "import", str(tmp_path), DATABASE_URL=f"sqlite:///{tmp_path}/other/x.sqlite3")
    assert (done.returncode, done.stderr) == (0, "")
    assert list((tmp_path / "other").glob("x.sqlite3.before-0010_routing-*"))


# -- made anew ----------------------------------------------------------------------------------------------------


@pytest.fixture
def recorded(tmp_path, provider) -> Path:
    provider.reset()
    server = start_server(tmp_path, provider.url)
    converse(server)
    server.wait_recorded(6)
    assert server.stop() == 0
    home = server.home
    ask(
        home, "UPDATE sessions SET pinned = 1",
        "INSERT INTO model_prices (pattern, provider_type, input, output) VALUES ('mine', '', 1, 2)",
        "INSERT INTO budgets (name, enabled, scope, value, period, limit_usd, refuse, webhook_url) "
        "VALUES ('mine', 1, 'all', '', 'month', 5, 0, '')",
        "INSERT INTO budget_spends (scope, value, period, start, spent_usd, recorded_usd) "
        "VALUES ('all', '', 'month', '2026-01-01', 4, 4)",
        "UPDATE exchanges SET redactions = '{\"EMAIL\": 2}', redacted_by = 'a-policy' "
        "WHERE id = (SELECT min(id) FROM exchanges)",
    )  # fmt: skip
    return home


SUMS = "SELECT session_id, requests, input_tokens, output_tokens, cost_usd, pinned FROM sessions"


def test_the_database_is_made_anew_from_the_files(recorded, tmp_path, provider):
    before = ask(recorded, SUMS)
    done = run(tmp_path, "db", "rebuild")
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 sessions, 6 exchanges from 1 files; 0 skipped" in done.stdout
    assert ask(recorded, SUMS) == before
    assert ask(recorded, "SELECT pattern FROM model_prices") == [("mine",)]
    assert ask(recorded, "SELECT name, limit_usd FROM budgets") == [("mine", 5)]
    assert ask(recorded, "SELECT spent_usd FROM budget_spends") == [(4,)]
    assert ask(recorded, "SELECT redactions, redacted_by FROM exchanges ORDER BY id LIMIT 2") == [
        ('{"EMAIL": 2}', "a-policy"), ("{}", ""),
    ]  # fmt: skip
    (old,) = recorded.glob("db.sqlite3.before-rebuild-*")
    assert str(old) in done.stdout
    assert run(tmp_path, "doctor", "--offline", LUNAROUTE_PORT="0").returncode == 0
    server = start_server(tmp_path, provider.url)
    try:
        assert server.json("/sessions?text_search=turn")[0]["requests"] == 6
    finally:
        assert server.stop() == 0


def test_one_that_cannot_be_read_is_replaced_all_the_same(recorded, tmp_path):
    (recorded / "db.sqlite3").write_bytes(b"no database " * 1000)
    done = run(tmp_path, "db", "rebuild")
    assert done.returncode == 0
    assert "skipped: stars of" in done.stderr
    assert ask(recorded, "SELECT requests, pinned FROM sessions") == [(6, 0)]


def test_what_is_deleted_stays_so_and_what_is_in_no_file_is_counted(recorded, tmp_path):
    (path,) = (recorded / "sessions").rglob("*.jsonl")
    strange = path.with_name("session_deleted.jsonl")
    strange.write_bytes(path.read_bytes().replace(b'"request_id":"', b'"request_id":"d'))
    ask(recorded, f"INSERT INTO file_removals (recorder, path) VALUES ('me', '{strange}')")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]) + b'{"type":"comp')
    done = run(tmp_path, "db", "rebuild")
    assert done.returncode == 1
    assert f"skipped: {path}, line" in done.stderr
    assert "1 exchanges of the old database are in no file" in done.stderr
    assert ask(recorded, "SELECT count(*) FROM exchanges") == [(5,)]


def test_what_cannot_be_written_leaves_the_old_one_in_use(recorded, tmp_path):
    before = ask(recorded, SUMS)
    (recorded / "db.sqlite3.rebuilding").mkdir()
    done = run(tmp_path, "db", "rebuild")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "db.sqlite3.rebuilding" in done.stderr
    assert ask(recorded, SUMS) == before


KILL = """
import os, signal, sys
sys.path.insert(0, os.getcwd())
from lunaroute_site import db_commands
before = getattr(db_commands, sys.argv[1])
def kill(old):
    before(old)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(db_commands, sys.argv[1], kill)
db_commands.main(["rebuild"])
"""


@pytest.mark.parametrize("behind", ["_deleted", "_take_over", "_keep"])
def test_interrupted_the_old_one_is_still_in_use(recorded, tmp_path, behind):
    before = ask(recorded, SUMS)
    killed = zygote.run(zygote.CODE, [KILL, behind], environment(tmp_path))
    assert killed.returncode == -signal.SIGKILL
    assert ask(recorded, SUMS) == before
    assert run(tmp_path, "db", "rebuild").returncode == 0
    assert ask(recorded, SUMS) == before
    assert not list(recorded.glob("db.sqlite3.rebuilding*"))


def test_beside_a_server_it_does_nothing(tmp_path, provider):
    server = start_server(tmp_path, provider.url)
    try:
        (server.home / "sessions").mkdir(exist_ok=True)
        done = run(tmp_path, "db", "rebuild")
        assert done.returncode == 1
        assert "stop` first" in done.stderr
    finally:
        assert server.stop() == 0
