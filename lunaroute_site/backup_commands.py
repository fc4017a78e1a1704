"""The commands `lunaroute-server backup FILE` and `lunaroute-server restore FILE`."""

import argparse
import os
import sys
from pathlib import Path

from lunaroute_site.record_commands import fail, ready


def main(arguments: list[str]) -> int:
    """Write a backup; gives the exit code."""
    parser = argparse.ArgumentParser(
        prog="lunaroute-server backup",
        description="Copy the home into one file: database, JSONL files, keys. The server may run. With PostgreSQL the file "
        "has everything but the database, which pg_dump copies.",
        epilog="Exit code: 0 done, 1 it could not be.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="such as lunaroute-2026-01-06.tar.zst")
    parser.add_argument("--force", action="store_true", help="replace FILE if it is there")
    options = parser.parse_args(arguments)
    problem = ready()
    if problem:
        return fail(problem)
    from django.conf import settings
    from django.db import connection

    from lunaroute_site.upkeep import archive
    from sessions.models import JsonlFile

    config = settings.LUNAROUTE
    if options.file.exists() and not options.force:
        return fail(f"{options.file}: is there already; --force replaces it")
    database, files = None, []
    if connection.vendor == "sqlite":
        database = Path(connection.settings_dict["NAME"])
    else:
        rows = JsonlFile.objects.filter(recorder=config.identity, size__gt=0).order_by("path")
        files = list(rows.values_list("path", "size"))
    try:
        done = archive.write(options.file, config.home, config.session_recording.sessions_dir, database, files)
    except archive.ArchiveProblem as error:
        return fail(str(error))
    except OSError as error:
        return fail(f"{error.filename or options.file}: {error.strerror}")
    print(
        f"{options.file}: {done.files} files, {done.bytes / 1e6:.1f} MB. It holds keys and conversations: keep it safe."
    )
    for path in done.left_out:
        print(f"left out: {path} (another file of that day and name is in it)", file=sys.stderr)
    if database is None:
        print("The database is not in it: pg_dump copies that.")
    return 0


def restore(arguments: list[str]) -> int:
    """Make a home of a backup; gives the exit code."""
    parser = argparse.ArgumentParser(
        prog="lunaroute-server restore",
        description="Make an empty home (LUNAROUTE_HOME, else ~/.lunaroute) what it was when FILE was written.",
        epilog="Exit code: 0 done, 1 it could not be; the home is then as it was.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="what `lunaroute-server backup` has written")
    parser.add_argument("--home", type=Path, metavar="DIR", help="the home to make, instead")
    options = parser.parse_args(arguments)
    if options.home is not None:
        os.environ["LUNAROUTE_HOME"] = str(options.home.expanduser().absolute())
    from lunaroute_site.config import current
    from lunaroute_site.pidfile import running_server
    from lunaroute_site.upkeep import archive

    config = current()  # without Django, whose settings make a key of their own
    if running_server(config.home) is not None:
        return fail(f"{config.home}: LunaRoute runs on this home: `lunaroute-server stop` first")
    try:
        done = archive.read(options.file, config.home, config.session_recording.sessions_dir, config.identity)
    except archive.ArchiveProblem as error:
        return fail(str(error))
    except OSError as error:
        return fail(f"{error.filename or options.file}: {error.strerror}")
    print(
        f"{config.home}: {done['files']} files, {done['bytes'] / 1e6:.1f} MB. The next start brings the database up to date."
    )
    return 0
