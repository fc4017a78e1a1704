"""A laptop's record moves to PostgreSQL: all of it, once, and whatever interrupts it."""

import signal

import pytest

from sessions import moving
from sessions.models import Exchange, ModelPrice, Session, ToolCall
from sessions.store import Store
from tests.sessions.test_recording import converse
from tests.site.test_commands import run
from tests.support import planted, zygote
from tests.support.databases import default_database, new_database
from tests.support.planted import record
from tests.support.server import environment, start_server, take_migrated_database

KILL = """
import os, signal, sys
sys.path.insert(0, os.getcwd())
from sessions import moving
real, left = moving._clean, int(sys.argv[1])
def clean(row):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    real(row)
moving._clean, moving.AT_ONCE = clean, 5
from lunaroute_site.cli import main
sys.exit(main(["migrate-store"]))
"""


@pytest.fixture
def laptop(tmp_path, django_db_setup, django_db_blocker):
    """A home with a record in SQLite."""
    home = tmp_path / ".lunaroute"
    take_migrated_database(home)
    with django_db_blocker.unblock(), default_database(f"sqlite:///{home}/db.sqlite3"):
        record(Store("test", home / "sessions", True, True), planted.conversation())
        Session.objects.filter(session_id="responses").update(title="a\x00b", tags=["x\x00y"])
        ModelPrice.objects.create(pattern="mine", input=1, output=2)
        first, *_, last = Exchange.objects.order_by("pk")
        Exchange.objects.filter(pk=first.pk).update(parent=last)  # refers to what comes behind it
    return tmp_path


@pytest.fixture
def team(postgres_url):
    """An empty PostgreSQL."""
    with new_database(postgres_url) as url:
        yield url


def contents(url: str, blocker) -> dict[str, list]:
    with blocker.unblock(), default_database(url):
        return {
            model._meta.db_table: sorted(moving._digest(row, is_clean=False) for row in model._base_manager.all())
            for model in moving.tables()
        }


def test_all_of_it_moves_once_and_a_server_goes_on_with_it(laptop, team, provider, django_db_blocker):
    before = contents(f"sqlite:///{laptop}/.lunaroute/db.sqlite3", django_db_blocker)
    done = run(laptop, "migrate-store", DATABASE_URL=team)
    assert (done.returncode, done.stderr) == (0, "")
    assert "All rows are there and the same" in done.stdout
    assert contents(team, django_db_blocker) == before
    with django_db_blocker.unblock(), default_database(team):
        assert Session.objects.get(session_id="responses").title == "a�b"
        assert ToolCall.objects.exists()
    again = run(laptop, "migrate-store", DATABASE_URL=team)
    assert again.returncode == 0
    assert " 0 of them written now" in again.stdout
    provider.reset()
    server = start_server(laptop, provider.url, DATABASE_URL=team)
    try:
        assert {s["session_id"] for s in server.json("/sessions?text_search=word")}
        converse(server)
        server.wait_recorded(len(before["exchanges"]) + 6)
    finally:
        assert server.stop() == 0, server.output()


@pytest.mark.parametrize("rows", [1, 12, 40, 75])
def test_interrupted_anywhere_it_goes_on_where_it_was(laptop, team, rows, django_db_blocker):
    before = contents(f"sqlite:///{laptop}/.lunaroute/db.sqlite3", django_db_blocker)
    environ = environment(laptop, DATABASE_URL=team)
    killed = zygote.run(zygote.CODE, [KILL, str(rows)], environ)
    assert killed.returncode == -signal.SIGKILL
    done = run(laptop, "migrate-store", DATABASE_URL=team)
    assert (done.returncode, done.stderr) == (0, "")
    assert contents(team, django_db_blocker) == before


def test_another_record_is_not_mixed_in(laptop, team, django_db_blocker):
    assert run(laptop, "migrate-store", DATABASE_URL=team).returncode == 0
    with django_db_blocker.unblock(), default_database(team):
        Session.objects.filter(session_id="responses").update(session_id="somebody-elses")
    done = run(laptop, "migrate-store", DATABASE_URL=team)
    assert done.returncode == 1
    assert "a session somebody-elses that this record does not have" in done.stderr


def test_a_row_that_is_not_the_same_is_named(laptop, team, django_db_blocker):
    assert run(laptop, "migrate-store", DATABASE_URL=team).returncode == 0
    with django_db_blocker.unblock(), default_database(team):
        ToolCall.objects.update(name="another")
    done = run(laptop, "migrate-store", DATABASE_URL=team)
    assert done.returncode == 1
    assert "tool_calls: row " in done.stderr
    assert "is not the same" in done.stderr


def test_it_says_what_it_needs(tmp_path, team):
    assert "DATABASE_URL names the PostgreSQL" in run(tmp_path, "migrate-store").stderr
    assert "no record to move" in run(tmp_path, "migrate-store", DATABASE_URL=team).stderr
