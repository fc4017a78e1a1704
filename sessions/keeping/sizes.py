"""What the store takes of the disk, and how a database gives back what it does not use any more."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from django.apps import apps
from django.db import connection

# Free pages that are given back at once (1 MiB), and the share of free pages from which an old database is worth a word.
PAGES_AT_ONCE = 256
# Of PostgreSQL's rows: bytes of each row's head, what indexes add, and the rows from which their width is taken.
ROW_HEAD, WITH_INDEXES, SAMPLE = 28, 1.4, 1000


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes. `database` is what rows and indexes take, `free` what the database's file has beyond that."""

    database: int
    free: int
    files: int

    @property
    def used(self) -> int:
        """What counts against the limit."""
        return self.database + self.files


def measure(folder: Path) -> Sizes:
    """Measure the database and the JSONL files under `folder`. PostgreSQL's rows are estimated (docs/retention.md)."""
    database, free = _sqlite() if connection.vendor == "sqlite" else _postgresql()
    return Sizes(database, free, _files(folder))


def _files(folder: Path) -> int:
    total, folders = 0, [folder]
    while folders:
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
                    elif entry.is_file(follow_symlinks=False):
                        total += entry.stat(follow_symlinks=False).st_size
    return total


def _pragma(name: str) -> int:
    with connection.cursor() as cursor:
        return cursor.execute(f"PRAGMA {name}").fetchone()[0]


def _sqlite() -> tuple[int, int]:
    size, free = _pragma("page_size"), _pragma("freelist_count")
    return (_pragma("page_count") - free) * size, free * size


def _postgresql() -> tuple[int, int]:
    """Estimate what live rows take: the files keep the room of deleted rows for new ones, and would count those twice."""
    live = file = 0
    with connection.cursor() as cursor:
        for model in apps.get_app_config("record").get_models():
            table = model._meta.db_table
            cursor.execute("SELECT pg_total_relation_size(%s::regclass)", [table])
            file += cursor.fetchone()[0]
            if table == "blobs":  # by far the largest; their width is told without reading them
                cursor.execute("SELECT count(*), coalesce(sum(octet_length(data)), 0) FROM blobs")
                rows, bytes_ = cursor.fetchone()
                live += int(bytes_ + rows * (ROW_HEAD + 40) * WITH_INDEXES)
                continue
            cursor.execute(f"SELECT avg(pg_column_size(t.*)) FROM (SELECT * FROM {table} LIMIT {SAMPLE}) t")
            width = cursor.fetchone()[0] or 0
            cursor.execute(f"SELECT count(*) FROM {table}")
            live += int(cursor.fetchone()[0] * (float(width) + ROW_HEAD) * WITH_INDEXES)
    return live, max(file - live, 0)


def gives_back() -> bool:
    """Tell whether the database's file can shrink without being written anew as a whole."""
    return connection.vendor != "sqlite" or _pragma("auto_vacuum") == 2


def give_back() -> Iterator[None]:
    """Give free room back to the system, in small steps, after each of which others may write."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            for model in apps.get_app_config("record").get_models():
                cursor.execute(f"VACUUM {model._meta.db_table}")  # takes no lock that a reader or writer waits for
                yield
        return
    while gives_back() and _pragma("freelist_count") > 0:
        connection.ensure_connection()
        with connection.wrap_database_errors:
            # A cursor would give back only one page.
            connection.connection.executescript(f"PRAGMA incremental_vacuum({PAGES_AT_ONCE})")
        yield
        time.sleep(0.002)
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
