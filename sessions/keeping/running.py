"""Does what is due, in small steps, and notes what was done."""

import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from django.db import DatabaseError, connection
from django.utils import timezone

from sessions.deletion import StillRunning, delete, remove_left_files
from sessions.keeping import files, sizes
from sessions.keeping.planning import Due, Policy, due, to_compress
from sessions.models import JsonlFile, RetentionRun, Session

logger = logging.getLogger("lunaroute.retention")

# Seconds that one transaction should take: others wait that long to write. And the most sessions in one.
STEP, MOST = 0.03, 100
# Seconds of work after which there is a pause, and its length: SQLite's writers look every tenth of a second whether they
# may write, and in a shorter one might not.
WORK, PAUSE = 0.1, 0.11
# How often sizes are measured again, because sessions freed less than was thought.
ROUNDS = 20
# Runs that are remembered, and sessions and problems that are named of each.
REMEMBERED, NAMED = 200, 100
# Seconds after which an unfinished file is nobody's.
LEFT_ALONE = 3600
# Of PostgreSQL's advisory locks; sessions.content has another.
LOCK = 0x6C756E6B


class AnotherRuns(Exception):
    """Another process does this already."""


def run(policy: Policy, home: Path, trigger: str, now: datetime | None = None) -> RetentionRun:
    """Compress and delete what is due; gives the note of it.

    Raises AnotherRuns where another process is at it, DatabaseError where the database cannot be asked. What cannot be
    read or written of files is named in the note, and the rest is done.
    """
    now = now or timezone.now()
    with _alone(home):
        RetentionRun.objects.filter(finished_at=None).update(error="interrupted", finished_at=now)
        before = sizes.measure(policy.folder)
        done = RetentionRun(started_at=now, trigger=trigger, size_before=before.used)
        done.save()
        try:
            remove_left_files(policy.recorder)
            _delete(policy, now, before, done)
            _compress(policy, now, done)
            files.tidy(policy.folder, time.time() - LEFT_ALONE)
            for _ in sizes.give_back():
                pass
        except DatabaseError as error:
            done.error = " ".join(str(error).split())
            raise
        finally:
            _finish(policy, done)
    return done


def _finish(policy: Policy, done: RetentionRun) -> None:
    try:
        after = sizes.measure(policy.folder)
        done.size_after, done.freed_bytes = after.used, max(done.size_before - after.used, 0)
        done.finished_at = timezone.now()
        done.save()
        kept = RetentionRun.objects.order_by("-pk").values_list("pk", flat=True)[:REMEMBERED]
        RetentionRun.objects.filter(pk__lt=min(kept)).delete()
    except DatabaseError:
        logger.warning("what retention did could not be noted")


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Keep other processes from running at the same time, on this home and on this database."""
    with open(home / "retention.lock", "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AnotherRuns from None
        if connection.vendor != "postgresql":
            yield
            return
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
            if not cursor.fetchone()[0]:
                raise AnotherRuns
        try:
            yield
        finally:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])


def _delete(policy: Policy, now: datetime, measured: sizes.Sizes, done: RetentionRun) -> None:
    for _ in range(ROUNDS):
        found = due(policy, now, measured)
        if not found or not _delete_all(found, done):
            return
        if policy.max_total_bytes is None:
            return
        measured = sizes.measure(policy.folder)


def _delete_all(found: list[Due], done: RetentionRun) -> int:
    """Delete sessions, as many in one transaction as take a moment. Gives how many there were."""
    deleted, at, count, worked = 0, 0, 1, 0.0
    while at < len(found):
        part = found[at : at + count]
        began = time.monotonic()
        deleted += _delete_part(part, done)
        took = time.monotonic() - began
        at += len(part)
        if took < STEP / 2:
            count = min(count * 2, MOST)
        elif took > STEP:
            count = max(count // 2, 1)
        worked += took
        if worked > WORK:
            time.sleep(PAUSE)
            worked = 0.0
    return deleted


def _delete_part(part: list[Due], done: RetentionRun) -> int:
    now = dict(Session.objects.filter(pk__in=[s.pk for s in part], pinned=False).values_list("pk", "completed_at"))
    part = [session for session in part if now.get(session.pk) == session.ended_at]  # but those in use again
    try:
        deleted = delete([session.pk for session in part]) if part else 0
    except StillRunning:  # one has begun again since
        if len(part) == 1:
            return 0
        return sum(_delete_part([session], done) for session in part)
    done.deleted_sessions += deleted
    named = [{"session_id": s.session_id, "title": s.title, "why": s.why} for s in part]
    done.deleted = [*done.deleted, *named][:NAMED]
    done.save(update_fields=["deleted_sessions", "deleted"])
    return deleted


def _compress(policy: Policy, now: datetime, done: RetentionRun) -> None:
    for row in to_compress(policy, now):
        _try(row, done, files.compress)


def _try(row: JsonlFile, done: RetentionRun, compress: Callable[[JsonlFile], tuple[int, int]]) -> None:
    try:
        before, after = compress(row)
    except (files.Changed, FileNotFoundError):
        return  # it goes on, or is compressed already
    except OSError as error:
        problem = f"{row.path}: {error.strerror or error}"
        logger.warning("retention: %s", problem)
        done.problems = [*done.problems, problem][:NAMED]
        return
    done.compressed_files += 1
    done.compressed_before += before
    done.compressed_after += after
