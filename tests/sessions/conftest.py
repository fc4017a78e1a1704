"""The record in a test's own database, on SQLite and on PostgreSQL."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sessions.models import Exchange
from sessions.store import Store
from tests.support.databases import default_database
from tests.support.exchanges import events


@pytest.fixture(params=["sqlite", "postgres"])
def database(request) -> str:
    """Each database in turn, for all tests of the record; tests.support.databases.sqlite_only marks the others."""
    return request.param


@pytest.fixture
def chosen_database(database: str, request) -> Iterator[str]:
    """Let the default database be that one. To be set up before `db`."""
    if database == "sqlite":
        yield database
        return
    with default_database(request.getfixturevalue("postgres_url")):
        yield database


@pytest.fixture
def both_databases(chosen_database: str, db) -> str:
    """Run a test on SQLite and on PostgreSQL, in a transaction that is rolled back. Gives the database's name."""
    return chosen_database


@pytest.fixture
def store(both_databases: str, tmp_path: Path) -> Store:
    """A recorder's store with no exchange in it; its files are under ``tmp_path``."""
    return Store("test", tmp_path, write_jsonl=True, keep_user_agent=True)


@pytest.fixture
def record(store: Store) -> Callable[..., Exchange]:
    """Record one exchange: record(body, answer, session=…), see tests/support/exchanges.py."""

    def one(body: bytes, *answer: object, **options: object) -> Exchange:
        store.apply(events(body, *answer, **{"session": "s", **options}))
        return Exchange.objects.latest("pk")

    return one
