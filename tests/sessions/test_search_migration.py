"""A database from before there was a search, on its way to one that can be searched."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from sessions import content, queries, search
from sessions.queries import SessionFilter
from sessions.split import chain
from tests.support.databases import default_database
from tests.support.server import eventually

QUESTION = b'{"role":"user","content":"where is the teapot"}'
ANSWER = b'{"role":"assistant","content":[{"type":"text","text":"in the kitchen"}]}'


def record_as_before(count: int, migration: str = "0001_initial") -> None:
    """Write sessions as the recorder did when there was no index, with the tables of that migration."""
    models = MigrationLoader(connection).project_state(("record", migration)).apps
    Session, Exchange, Node, Blob = (models.get_model("record", n) for n in ("Session", "Exchange", "Node", "Blob"))  # noqa: N806
    places = chain((QUESTION,))
    (blob,), (node,) = places.blobs, places.nodes
    answer = content.key_of(ANSWER)
    for data in (QUESTION, ANSWER):
        Blob.objects.create(key=content.key_of(data), size=len(data), codec=0, data=data)
    Node.objects.create(key=node, blob=blob, depth=1)
    for number in range(count):
        now = datetime.now(UTC)
        row = Session.objects.create(
            session_id=f"old-{number}", title="where is the teapot", started_at=now, requests=1
        )
        Exchange.objects.create(
            session=row, recorder="t", request_id=f"r{number}", listener="anthropic", provider="anthropic",
            dialect="anthropic", method="POST", path="/v1/messages", success=True, started_at=now, completed_at=now,
            leaf=node, answer=answer,
        )  # fmt: skip


@pytest.fixture(params=["sqlite", "postgres"])
def old(request, tmp_path, django_db_setup, django_db_blocker) -> Iterator[None]:
    """An empty database whose tables are those of the first migration."""
    with django_db_blocker.unblock():
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path}/old.sqlite3"
        else:
            url = request.getfixturevalue("postgres_url").replace("/postgres?", "/old?")
            with default_database(request.getfixturevalue("postgres_url")), connection.cursor() as cursor:
                cursor.execute("DROP DATABASE IF EXISTS old")
                cursor.execute("CREATE DATABASE old")
        with default_database(url):
            call_command("migrate", "record", "0001", verbosity=0)
            yield


def test_what_was_recorded_before_the_migration_is_searched_after_it(old):
    record_as_before(3)
    call_command("migrate", verbosity=0)
    assert search.Backfill().step() is False
    for word in ("teapot", "kitchen"):
        assert queries.find(SessionFilter(text_search=word)).count() == 3


def test_the_migration_can_be_taken_back_and_made_again(old):
    call_command("migrate", "record", "0002", verbosity=0)
    record_as_before(1, "0002_search")
    call_command("migrate", "record", verbosity=0)
    while search.Backfill().step():
        pass
    call_command("migrate", "record", "0001", verbosity=0)
    call_command("migrate", "record", verbosity=0)
    while search.Backfill().step():
        pass
    assert queries.find(SessionFilter(text_search="teapot")).count() == 1


def test_the_recorder_indexes_what_was_there_at_its_start(
    start, tmp_path, database_url, django_db_setup, django_db_blocker
):  # fmt: skip
    home = tmp_path / ".lunaroute"
    home.mkdir(mode=0o700)
    with django_db_blocker.unblock(), default_database(database_url or f"sqlite:///{home}/db.sqlite3"):
        call_command("migrate", "record", "0001", verbosity=0)
        record_as_before(120)
    server = start()
    eventually(lambda: server.get("/sessions?text_search=kitchen")[1].get("X-Total-Count") == "120", "all of it")
    assert server.stop() == 0
    assert "Traceback" not in server.output()
