"""The command `lunaroute-server db rebuild`: a new database from the JSONL files."""

import argparse
import json
import os
import sqlite3
import sys
import time
from collections import Counter
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

from lunaroute_site.record_commands import fail, set_up

# What people made that no JSONL file has.
KEPT = ("User", "Provider", "Rule", "ModelPrice", "Budget", "BudgetSpend", "BudgetNotice")
# Rows that are compared at once.
AT_ONCE = 500


def main(arguments: list[str]) -> int:
    """Run a command of `db`; gives the exit code."""
    parser = argparse.ArgumentParser(prog="lunaroute-server db", description="The database itself.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser(
        "rebuild",
        help="make a new database from the JSONL files",
        description="Make a new SQLite database from the JSONL files. What is in none of them (stars, prices, budgets, "
        "providers, rules and accounts) is taken over from the old one as far as that can be read; the old one is kept beside "
        "it. The server must be stopped. Interrupted, it is begun anew when it is run again, and the old database is still "
        "in use.",
        epilog="Exit code: 0 done, 1 something could not be read, or nothing was done.",
    )
    command.add_argument("--from", dest="folder", type=Path, metavar="DIR", help="where the files are (sessions_dir)")
    return rebuild(parser.parse_args(arguments).folder)


def rebuild(folder: Path | None) -> int:
    """Make the database anew."""
    from lunaroute_site import config, pidfile

    settings = config.current()
    if settings.database_url:
        return fail("db rebuild: is for SQLite; with PostgreSQL, `lunaroute-server import` fills an empty database")
    folder = (folder or settings.session_recording.sessions_dir).expanduser().absolute()
    if not folder.is_dir():
        return fail(f"{folder}: there are no JSONL files")
    try:
        lock = pidfile.take(settings.home)
    except pidfile.HomeLocked as other:
        return fail(f"db rebuild: LunaRoute runs on this home (process {other}): `lunaroute-server stop` first")
    except OSError as error:
        return fail(f"{settings.home}: cannot be written ({error.strerror})")
    from django.db import DatabaseError

    with lock:
        try:
            return _rebuild(settings, folder)
        except (DatabaseError, OSError) as error:
            why = " ".join(str(error).split())
            return fail(f"db rebuild: {why}; the old database is as it was, and a second run begins anew")


def _rebuild(settings, folder: Path) -> int:
    old, new = settings.home / "db.sqlite3", settings.home / "db.sqlite3.rebuilding"
    for path in settings.home.glob("db.sqlite3.rebuilding*"):
        path.unlink()
    set_up()
    from django.core.management import call_command
    from django.db import connections

    connections.settings["default"]["NAME"] = new
    call_command("migrate", verbosity=0, interactive=False)
    skipped = _import(settings, folder, _deleted(old))
    if old.exists():
        _take_over(old)
    with connections["default"].cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connections.close_all()
    new.chmod(0o600)
    if old.exists():
        print(f"The old database is {_keep(old)}")
    for ending in ("-wal", "-shm"):
        Path(f"{new}{ending}").unlink(missing_ok=True)
    os.replace(new, old)
    return 1 if skipped else 0


def _keep(old: Path) -> Path:
    """Give the old database a second name, so that at no moment there is none; the new one then takes the first."""
    kept = old.with_name(f"{old.name}.before-rebuild-{datetime.now(UTC):%Y%m%dT%H%M%S}")
    for ending in ("-wal", "-shm"):  # left where it could not be closed well: it is damaged, or its program was killed
        with suppress(FileNotFoundError):
            os.replace(f"{old}{ending}", f"{kept}{ending}")
    try:
        os.link(old, kept)
    except OSError:  # a file system without such names
        os.replace(old, kept)
    return kept


def _deleted(old: Path) -> set[str]:
    """Name the files whose sessions are deleted, and that nobody has come to remove yet."""
    try:
        with closing(sqlite3.connect(f"file:{old}?mode=ro", uri=True)) as database:
            return {row[0] for row in database.execute("SELECT path FROM file_removals")}
    except sqlite3.Error:
        return set()


def _import(settings, folder: Path, deleted: set[str]) -> int:
    """Read all files but those of `deleted` sessions; gives how many lines and files could not be."""
    from pii.redactor import Redactor
    from sessions import search
    from sessions.importing import Importer, files_of
    from sessions.models import Session

    recording = settings.session_recording
    types = {name: provider.provider_type for name, provider in settings.providers.items()}
    redactor = Redactor(recording.pii.policy()) if recording.pii.enabled else None
    importer = Importer(
        settings.identity,
        recording.sessions_dir,
        types,
        lambda line: print(f"skipped: {line}", file=sys.stderr),
        redactor,
    )
    files = [path for path in files_of([folder]) if str(path).removesuffix(".zst") not in deleted]
    said = time.monotonic()
    for number, path in enumerate(files, 1):
        importer.take(path)
        if time.monotonic() - said > 2:
            said = time.monotonic()
            print(f"{number} of {len(files)} files, {importer.counts.exchanges} exchanges", flush=True)
    backfill = search.Backfill()
    while backfill.step():
        pass
    done = importer.counts
    print(
        f"{Session.objects.count()} sessions, {done.exchanges} exchanges from {done.files} files; {done.skipped} skipped."
    )
    return done.skipped


def _take_over(old: Path) -> None:
    """Take over from the old database what people made, as far as it can be read."""
    from django.apps import apps
    from django.db import DatabaseError, connections

    from sessions import moving
    from sessions.models import Session

    try:
        with closing(sqlite3.connect(f"file:{old}?mode=ro", uri=True)) as database:
            pinned = [row[0] for row in database.execute("SELECT session_id FROM sessions WHERE pinned")]
            has_stars = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'session_stars'").fetchone()
            query = "SELECT s.session_id, t.user FROM session_stars t JOIN sessions s ON s.id = t.session_id"
            stars = database.execute(query).fetchall() if has_stars else []
        for start in range(0, len(pinned), AT_ONCE):
            Session.objects.filter(session_id__in=pinned[start : start + AT_ONCE]).update(pinned=True)
        for session_id, user in stars:
            for session in Session.objects.filter(session_id=session_id):
                session.pin(True, user)
    except sqlite3.Error as error:
        print(f"skipped: stars of {old} ({error})", file=sys.stderr)
    _take_over_exchanges(old)
    connections.settings["old"] = {**connections.settings["default"], "NAME": old, "OPTIONS": {"timeout": 5}}
    models = {model.__name__: model for model in (*apps.get_models(), apps.get_model("auth", "User"))}
    for name in KEPT:
        try:
            count = moving.copy(models[name], "old", "default")
            if count:
                print(f"{models[name]._meta.db_table}: {count} taken over")
        except DatabaseError as error:
            print(f"skipped: {models[name]._meta.db_table} of {old} ({error})", file=sys.stderr)
    connections["old"].close()


def _take_over_exchanges(old: Path) -> None:
    """Take over what was redacted in exchanges, which no line says, and tell how many are in no file."""
    from sessions.models import Exchange

    missing = 0
    try:
        with closing(sqlite3.connect(f"file:{old}?mode=ro", uri=True)) as database:
            found = database.execute(
                "SELECT request_id, redactions, redacted_by FROM exchanges WHERE success IS NOT NULL"
            )
            while part := {row[0]: row[1:] for row in found.fetchmany(AT_ONCE)}:
                rows = list(
                    Exchange.objects.filter(request_id__in=part).only("request_id", "redactions", "redacted_by")
                )
                missing += len(part) - len(rows)
                late = [row for row in rows if part[row.request_id][1]]
                for row in late:
                    counts, policy = part[row.request_id]
                    # Those that stand as marks in the lines, and those that this import has found.
                    row.redactions = dict(Counter(json.loads(counts)) + Counter(row.redactions))
                    row.redacted_by = row.redacted_by or policy
                Exchange.objects.bulk_update(late, ["redactions", "redacted_by"])
    except (sqlite3.Error, ValueError) as error:
        print(f"skipped: redactions of {old} ({error})", file=sys.stderr)
    if missing:
        print(f"{missing} exchanges of the old database are in no file, and so not in the new one.", file=sys.stderr)
