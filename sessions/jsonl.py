"""The JSONL files: whole lines, appended, in step with the database.

How far a file is certain is committed with the rows (:class:`sessions.models.JsonlFile`). What stands beyond that was
written by a process that died before it could commit: it is cut off, and recorded anew by whoever still has it.
"""

import logging
import os
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
from django.db import connection, transaction
from django.utils import timezone

from sessions import bulk
from sessions.keeping import files
from sessions.models import JsonlFile, Session

logger = logging.getLogger("lunaroute.recorder")


def line(kind: str, session_id: str, request_id: str, timestamp: str, **fields: Any) -> bytes:
    """Make one line. Field values may hold `orjson.Fragment`s of JSON without line breaks."""
    head = {"type": kind, "session_id": session_id, "request_id": request_id, "timestamp": timestamp}
    return orjson.dumps(head | fields, option=orjson.OPT_APPEND_NEWLINE, default=str)


def path_of(session: Session, root: Path) -> Path:
    """Where a session's lines go: the day of its start by the machine's calendar, as `date +%Y-%m-%d` says it."""
    return _path(session.session_id, session.started_at, root)


@lru_cache(1024)
def _path(session_id: str, started_at: datetime, root: Path) -> Path:
    return root / timezone.localtime(started_at).strftime("%Y-%m-%d") / f"session_{session_id}.jsonl"


class JsonlWriter:
    """Appends lines for one recorder. Not thread-safe."""

    def __init__(self, recorder: str) -> None:
        self._recorder = recorder
        self._sizes: dict[str, int] = {}  # bytes that are certain, of files touched by this process
        self._undo: list[tuple[str, int]] = []

    def adopt(self) -> None:
        """Take over files that were recorded here under another name, before the machine was renamed or the home moved.

        SQLite's database lies in the home, so all that it names is this recorder's.
        """
        if connection.vendor != "sqlite":
            return
        with transaction.atomic():
            for row in JsonlFile.objects.exclude(recorder=self._recorder).order_by("pk"):
                mine = JsonlFile.objects.filter(recorder=self._recorder, path=row.path).first()
                if mine is None:
                    row.recorder = self._recorder
                    row.save(update_fields=["recorder"])
                    continue
                mine.size, mine.session_id = max(mine.size, row.size), mine.session_id or row.session_id
                mine.save(update_fields=["size", "session"])
                row.delete()

    def mend(self) -> None:
        """Cut off what a recorder that died had written and not committed."""
        for path, size in JsonlFile.objects.filter(recorder=self._recorder).values_list("path", "size"):
            try:
                if os.stat(path).st_size > size:
                    os.truncate(path, size)
            except FileNotFoundError:
                pass
            except OSError as error:
                logger.warning("%s: cannot be mended (%s)", path, error.strerror)

    def register(self, paths: Iterable[Path]) -> None:
        """Note files before they are written to. To be called outside of a transaction."""
        new = [str(path) for path in paths if str(path) not in self._sizes]
        if not new:
            return
        rows = [JsonlFile(recorder=self._recorder, path=path) for path in new]
        JsonlFile.objects.bulk_create(rows, ignore_conflicts=True)
        for path, size in JsonlFile.objects.filter(recorder=self._recorder, path__in=new).values_list("path", "size"):
            try:
                actual = os.stat(path).st_size
            except FileNotFoundError:
                # Compressed while the session slept, and brought back when something is written to it.
                self._sizes[path] = min(files.unpacked_size(Path(path)), size)
                continue
            if actual > size:
                os.truncate(path, size)
            self._sizes[path] = min(actual, size)

    def append(self, pieces: list[tuple[Path, list[bytes], int]]) -> None:
        """Append lines to files: (path, lines, the session's primary key). Raises OSError; `rolled_back` then undoes it."""
        for path, lines, _ in pieces:
            self._write(path, b"".join(lines))
        bulk.update_tuples(
            JsonlFile, ("size", "session_id"), ("recorder", "path"),
            [(self._sizes[str(path)], session, self._recorder, str(path)) for path, _, session in pieces],
        )  # fmt: skip

    def _write(self, path: Path, data: bytes) -> None:
        name = str(path)
        size = self._sizes[name]
        if not size:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        elif not path.exists():
            files.bring_back(path)
        descriptor = os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._undo.append((name, size))
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
        finally:
            os.close(descriptor)
        self._sizes[name] = size + len(data)

    def committed(self) -> None:
        """What was appended is certain now."""
        self._undo.clear()

    def forget(self) -> None:
        """Take nothing for certain any more: `register` looks at database and disk again."""
        self._sizes.clear()

    def rolled_back(self) -> None:
        """What was appended since the last commit is to be forgotten."""
        while self._undo:
            name, size = self._undo.pop()
            try:
                os.truncate(name, size)
                self._sizes[name] = size
            except OSError:
                self._sizes.pop(name, None)  # `register` mends it
