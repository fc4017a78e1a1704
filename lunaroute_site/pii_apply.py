"""The command `lunaroute-server pii apply`: what was recorded before redaction was on is redacted."""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lunaroute_site import config, pidfile
from lunaroute_site.record_commands import fail, ready
from pii.redactor import Redactor


def apply(dry_run: bool = False) -> int:
    """Redact what is recorded; with `dry_run` only count. 0 all of it, 1 not all, 2 redaction is not enabled."""
    settings = config.current()
    pii = settings.session_recording.pii
    if not pii.enabled:
        print(
            "lunaroute-server: redaction is not enabled: set session_recording.pii.enabled to true in the configuration",
            file=sys.stderr,
        )
        return 2
    try:
        with _server_kept_out(settings.home, dry_run):
            problem = ready(migrate=True)
            if problem:
                return fail(problem)
            return _run(Redactor(pii.policy()), settings.identity, settings.session_recording.sessions_dir, dry_run)
    except pidfile.HomeLocked as error:
        return fail(f"LunaRoute runs (process {error}) and records: stop it first, with `lunaroute-server stop`")
    except KeyboardInterrupt:
        return fail("interrupted: run `lunaroute-server pii apply` again, and it goes on from here")


@contextmanager
def _server_kept_out(home: Path, dry_run: bool) -> Iterator[None]:
    """Hold the home's lock, as a server does. Raises pidfile.HomeLocked. To count, nobody needs to keep out."""
    if dry_run:
        yield
        return
    lock = pidfile.take(home)
    lock.seek(0)
    lock.truncate()
    print(os.getpid(), file=lock, flush=True)  # for whoever would start a server now
    try:
        yield
    finally:
        pidfile.release(lock, home)


def _run(redactor: Redactor, identity: str, sessions_dir: Path, dry_run: bool) -> int:
    from django.db import DatabaseError

    from sessions import scrubbing
    from sessions.jsonl import JsonlWriter
    from sessions.redoing import Elsewhere, Redoing

    redoing = Redoing(redactor, identity)
    counts: Counter[str] = Counter()
    left = 0
    try:
        if not dry_run:
            scrubbing.begin()
            JsonlWriter(identity, sessions_dir).mend()
        waiting = redoing.waiting()
        for number, key in enumerate(waiting, 1):
            try:
                counts.update(redoing.redo(key, write=not dry_run))
            except Elsewhere as error:
                left += _skip(key, f"run this where it was recorded ({error}), with that server stopped")
            except (KeyError, ValueError, OSError) as error:
                left += _skip(key, f"{type(error).__name__}: {error}")
            _progress(f"{number} of {len(waiting)} sessions; {_by_type(counts)}")
        _progress("")
        done = len(waiting) - left
        if dry_run:
            print(f"{done} sessions would be redacted; values that would be replaced: {_by_type(counts)}.")
            return 1 if left else 0
        print(f"{done} sessions are redacted; values replaced: {_by_type(counts)}.", flush=True)
        if not scrubbing.scrub():
            return fail("another program reads the database: run this again without it, to clear the database's log")
    except DatabaseError as error:
        return fail(f"{' '.join(str(error).split())}; run this again, and it goes on from here")
    return 1 if left else 0


def _skip(key: int, reason: str) -> int:
    from sessions.models import Session

    name = Session.objects.filter(pk=key).values_list("session_id", flat=True).first()
    _progress("")
    print(f"lunaroute-server: session {name} is left as it is: {' '.join(reason.split())}", file=sys.stderr)
    return 1


def _by_type(counts: Counter[str]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items())) or "none"


def _progress(line: str) -> None:
    """Show how far it is, in one line of a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
