"""The commands that read and change the record: stats, reprice, import, migrate-store."""

import os
import sys
import time
from pathlib import Path


def fail(message: str) -> int:
    """Say in one line what could not be done; gives the exit code."""
    print(f"lunaroute-server: {message}", file=sys.stderr)
    return 1


def set_up() -> None:
    """Set Django up."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lunaroute_site.settings")
    django.setup()


def ready(migrate: bool = False) -> str | None:
    """Set Django up, and with `migrate` the tables. Gives what is wrong with the database, or None."""
    set_up()
    from django.conf import settings
    from django.db import DatabaseError

    from lunaroute_site.upkeep import upgrade
    from sessions.models import Session

    try:
        if migrate:
            upgrade.bring_up_to_date()
        else:
            upgrade.refuse_newer()
        Session.objects.exists()
    except upgrade.UpgradeProblem as error:
        return str(error)
    except DatabaseError as error:
        where = "the database of DATABASE_URL" if settings.LUNAROUTE.database_url else settings.HOME / "db.sqlite3"
        return f"{where}: nothing is recorded yet ({' '.join(str(error).split())}); `lunaroute-server migrate` makes the tables"
    return None


def stats(session_id: str | None = None) -> int:
    """Print the statistics of a session, or of the last ones and their total."""
    problem = ready()
    if problem:
        return fail(problem)
    from django.conf import settings

    from sessions.models import Session
    from sessions.summary import last_sessions, summary

    if session_id is None:
        sessions = last_sessions(settings.LUNAROUTE.session_stats_max_sessions)
    else:
        sessions = list(Session.objects.filter(session_id=session_id))
        if not sessions:
            return fail(f"there is no session {session_id}")
    try:
        for piece in summary(sessions, settings.LUNAROUTE.logging.is_detailed):
            sys.stdout.write(piece)
        sys.stdout.flush()
    except BrokenPipeError:  # `… | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def reprice(model: str | None = None) -> int:
    """Price exchanges without a known cost, or all of a model, by the prices of now."""
    problem = ready()
    if problem:
        return fail(problem)
    from sessions.models import Exchange
    from sessions.repricing import reprice as run

    if model is not None and not Exchange.objects.filter(model_used=model).exists():
        return fail(f"there is no exchange of the model {model}")
    done = run(None if model is None else [model])
    print(
        f"{done.exchanges} exchanges of {done.sessions} sessions have a new cost; {done.unknown} have no known price."
    )
    return 0


def import_files(*paths: str) -> int:
    """Rebuild the record from JSONL files; exit code 1 where anything was skipped."""
    if not paths:
        return fail("import: name the files or directories to import")
    problem = ready(migrate=True)
    if problem:
        return fail(problem)
    from django.conf import settings
    from django.db import DatabaseError

    from pii.redactor import Redactor
    from sessions.importing import Importer, files_of

    try:
        files = files_of(Path(path) for path in paths)
    except FileNotFoundError as error:
        return fail(f"{error}: there is no such file or directory")
    config = settings.LUNAROUTE
    types = {name: provider.provider_type for name, provider in config.providers.items()}
    identity = config.identity
    recording = config.session_recording
    redactor = Redactor(recording.pii.policy()) if recording.pii.enabled else None
    importer = Importer(
        identity, recording.sessions_dir, types, lambda line: print(f"skipped: {line}", file=sys.stderr), redactor
    )
    said = time.monotonic()
    for number, path in enumerate(files, 1):
        try:
            importer.take(path)
        except DatabaseError as error:
            return fail(f"{path}: {' '.join(str(error).split())}")
        if time.monotonic() - said > 2:
            said = time.monotonic()
            print(f"{number} of {len(files)} files, {importer.counts.exchanges} exchanges", flush=True)
    done = importer.counts
    print(
        f"{done.files} files: {done.exchanges} exchanges imported, {done.known} were there already, {done.skipped} skipped;"
        f" {done.inexact} request bodies are not byte for byte those that were sent."
    )
    return 1 if done.skipped else 0


def move() -> int:
    """Move the record of this home's SQLite into the PostgreSQL of DATABASE_URL."""
    from lunaroute_site import config
    from lunaroute_site.pidfile import running_server

    settings = config.current()
    path = settings.home / "db.sqlite3"
    if not settings.database_url or settings.database_url.get_secret_value().startswith("sqlite"):
        return fail("migrate-store: DATABASE_URL names the PostgreSQL to move to: postgres://user:password@host/name")
    if not path.is_file():
        return fail(f"{path}: there is no record to move")
    if running_server(settings.home) is not None:
        return fail("migrate-store: LunaRoute runs on this home: `lunaroute-server stop` first")
    problem = ready(migrate=True)
    if problem:
        return fail(problem)
    from django.core.management import call_command
    from django.db import DatabaseError, connections

    from sessions import moving, search

    options = {"timeout": 5, "transaction_mode": "IMMEDIATE"}
    connections.settings["home"] = {
        **connections.settings["default"], "ENGINE": "django.db.backends.sqlite3", "NAME": path, "OPTIONS": options,
    }  # fmt: skip
    try:
        call_command("migrate", database="home", verbosity=0, interactive=False)
        done = moving.move("home", "default", lambda line: print(line, flush=True))
        print("All rows are there and the same. Indexing for the search …", flush=True)
        backfill = search.Backfill()
        while backfill.step():
            pass
    except moving.MoveProblem as problem:
        return fail(f"migrate-store: {problem}")
    except DatabaseError as error:
        return fail(f"migrate-store: {' '.join(str(error).split())}; run it again, it goes on where it was")
    finally:
        connections.close_all()
    print(
        f"{sum(moved.rows for moved in done)} rows are in the database of DATABASE_URL. {path} is left as it is; "
        "start the server with the same DATABASE_URL from now on."
    )
    return 0
