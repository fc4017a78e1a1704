"""The record in a test's own database, on SQLite and on PostgreSQL."""

from collections.abc import Callable, Iterator
from pathlib import Path

import dj_database_url
import pytest
from django.core.management import call_command
from django.db import connections
from django.db.utils import load_backend

from sessions.models import Exchange
from sessions.store import Store
from tests.support.exchanges import events


@pytest.fixture(scope="session")
def postgres(postgres_url: str, django_db_blocker) -> Iterator[object]:
    """A connection to the PostgreSQL server of this process, with all tables."""
    settings = connections.configure_settings({"default": dj_database_url.parse(postgres_url)})["default"]
    connection = load_backend(settings["ENGINE"]).DatabaseWrapper(settings, "default")
    with django_db_blocker.unblock():
        before, connections["default"] = connections["default"], connection
        try:
            call_command("migrate", verbosity=0)
        finally:
            connections["default"] = before
        yield connection
        connection.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request) -> Iterator[str]:
    """An empty database, of both kinds in turn; gives its vendor."""
    if request.param == "sqlite":
        request.getfixturevalue("db")
        yield "sqlite"
        return
    connection, blocker = request.getfixturevalue("postgres"), request.getfixturevalue("django_db_blocker")
    with blocker.unblock():
        before, connections["default"] = connections["default"], connection
        try:
            yield "postgresql"
        finally:
            with connection.cursor() as cursor:
                cursor.execute(
                    "TRUNCATE sessions, exchanges, tool_calls, blobs, nodes, jsonl_files, search_documents, search_sessions CASCADE"
                )
            connections["default"] = before


@pytest.fixture
def store(database: str, tmp_path: Path) -> Store:
    """A recorder's store with no exchange in it; its files are under ``tmp_path``."""
    return Store("test", tmp_path, write_jsonl=True, keep_user_agent=True)


@pytest.fixture
def record(store: Store) -> Callable[..., Exchange]:
    """Record one exchange: record(body, answer, session=…), see tests/support/exchanges.py."""

    def one(body: bytes, *answer: object, **options: object) -> Exchange:
        store.apply(events(body, *answer, **{"session": "s", **options}))
        return Exchange.objects.latest("pk")

    return one
