"""A database of another version: an older one is brought up to date, after a copy was made; a newer one is refused."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from django.apps import apps
from django.db import connection

OURS = ("record", "routing", "team")
# Copies that are kept.
KEPT = 2
# PostgreSQL's advisory lock of who changes the tables.
LOCK = 0x6C756E61


class UpgradeProblem(Exception):
    """Why the database cannot be used, in one line."""


def migrations_here() -> set[tuple[str, str]]:
    """Give the migrations that this program has: (app, name)."""
    return {
        (app.label, path.stem)
        for app in apps.get_app_configs()
        for path in Path(app.path, "migrations").glob("[!_]*.py")
    }


def migrations_there() -> set[tuple[str, str]]:
    """Give the migrations that the database has had; none where it is empty. Raises DatabaseError."""
    with connection.cursor() as cursor:
        if "django_migrations" not in connection.introspection.table_names(cursor):
            return set()
        cursor.execute("SELECT app, name FROM django_migrations")
        return set(cursor.fetchall())


def refuse_newer() -> None:
    """Raise UpgradeProblem where a newer program has changed the database."""
    unknown = sorted(f"{app}.{name}" for app, name in migrations_there() - migrations_here() if app in OURS)
    if unknown:
        raise UpgradeProblem(
            f"the database was changed by a newer LunaRoute ({unknown[-1]}): start that one, or go back to the copy that was "
            "made before (db.sqlite3.before-…, or what `lunaroute-server backup` wrote)"
        )


def prepare() -> list[tuple[str, str]]:
    """Give the migrations that are missing; makes a copy of a SQLite database that has any. Raises UpgradeProblem."""
    there = migrations_there()
    refuse_newer()
    missing = sorted(migrations_here() - there)
    if missing and there and connection.vendor == "sqlite":
        last = max((name for app, name in there if app == "record"), default="0000")
        copy(Path(connection.settings_dict["NAME"]), last)
    return missing


def copy(source: Path, last: str) -> Path:
    """Copy the database beside itself, as it is after the migration `last`. Raises UpgradeProblem where there is no room."""
    for unfinished in source.parent.glob(f"{source.name}.before-*.new"):  # of one that was killed
        unfinished.unlink(missing_ok=True)
    needed, free = source.stat().st_size, shutil.disk_usage(source.parent).free
    if free < needed * 1.1:
        raise UpgradeProblem(
            f"{source}: the upgrade first makes a copy, and the disk has {free >> 20} MiB free where {needed >> 20} are needed"
        )
    target = source.with_name(f"{source.name}.before-{last}-{datetime.now(UTC):%Y%m%dT%H%M%S}")
    copy_database(source, target)
    print(f"The database is brought up to date; a copy of it is {target}", flush=True)
    copies = sorted(source.parent.glob(f"{source.name}.before-0*"), key=lambda path: path.stat().st_mtime)
    for old in copies[:-KEPT]:
        with suppress(OSError):
            old.unlink()
    return target


def copy_database(source: Path, target: Path) -> None:
    """Copy a SQLite database as it is at one moment, while others read and write it. Raises UpgradeProblem."""
    new = target.with_name(f"{target.name}.new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    try:
        with closing(sqlite3.connect(f"file:{source}?mode=rw", uri=True, timeout=30)) as database:
            # One read transaction: nobody waits for it, and it is never begun anew, as SQLite's own way of copying would be.
            database.execute("VACUUM INTO ?", (str(new),))
        new.replace(target)
    except (sqlite3.Error, OSError) as error:
        new.unlink(missing_ok=True)
        raise UpgradeProblem(f"{source}: cannot be copied to {target} ({error})") from None


def bring_up_to_date() -> None:
    """Make the tables what this program needs. Raises UpgradeProblem, DatabaseError."""
    from django.core.management import call_command

    if prepare():
        with _alone():
            call_command("migrate", verbosity=0, interactive=False)


@contextmanager
def _alone() -> Iterator[None]:
    """Let no other host that starts at the same time change the same PostgreSQL: it waits, and finds nothing left to do."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])
