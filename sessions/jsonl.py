"""The JSONL files: whole lines, appended, in step with the database.

How far a file is certain is committed with the rows (:class:`sessions.models.JsonlFile`). What stands beyond that was
written by a process that died before it could commit: it is cut off, and recorded anew by whoever still has it.

A file belongs to the recorder that made it. Another one on the same directory, whose database does not know the file, neither
appends to it nor cuts anything off: it has files of its own beside it (``session_<id>.2.jsonl``).
"""

import errno
import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson
from django.db import connection, transaction
from django.utils import timezone

from sessions import bulk
from sessions.keeping import files
from sessions.models import JsonlFile, Session

logger = logging.getLogger("lunaroute.recorder")

# Characters of a session's id in the name of its file.
MAX_NAME = 220
# Recorders that may share a directory.
MAX_OWNERS = 100


def line(kind: str, session_id: str, request_id: str, timestamp: str, **fields: Any) -> bytes:
    """Make one line. Field values may hold `orjson.Fragment`s of JSON without line breaks."""
    head = {"type": kind, "session_id": session_id, "request_id": request_id, "timestamp": timestamp}
    return orjson.dumps(head | fields, option=orjson.OPT_APPEND_NEWLINE, default=str)


def path_of(session: Session, root: Path) -> Path:
    """Where a session's lines go: the day of its start by the machine's calendar, as `date +%Y-%m-%d` says it."""
    return _path(session.session_id, session.started_at, root)


@lru_cache(1024)
def _path(session_id: str, started_at: datetime, root: Path) -> Path:
    if len(session_id) > MAX_NAME:  # file systems take 255 bytes
        session_id = f"{session_id[:200]}.{blake2b(session_id.encode(), digest_size=8).hexdigest()}"
    return root / timezone.localtime(started_at).strftime("%Y-%m-%d") / f"session_{session_id}.jsonl"


def _numbered(name: str, stem: str) -> bool:
    return name.startswith(f"{stem}.") and name[len(stem) + 1 :].removesuffix(".jsonl").isdigit()


class JsonlWriter:
    """Appends lines for one recorder to files under `root`. Not thread-safe."""

    def __init__(self, recorder: str, root: Path) -> None:
        self._recorder, self._root = recorder, root
        self._names: dict[str, str] = {}  # the file that belongs to this recorder, by the session's path
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
        """Cut off what a recorder that died had written and not committed. What lies elsewhere stays as it is: the database
        of a home that was copied names the files of the other one."""
        for path, size in JsonlFile.objects.filter(recorder=self._recorder).values_list("path", "size"):
            if not Path(path).is_relative_to(self._root):
                continue
            try:
                if os.stat(path).st_size > size:
                    os.truncate(path, size)
            except FileNotFoundError:
                pass
            except OSError as error:
                logger.warning("%s: cannot be mended (%s)", path, error.strerror)

    def register(self, paths: Iterable[Path]) -> None:
        """Note files before they are written to. To be called outside of a transaction."""
        new = [path for path in map(str, paths) if path not in self._names]
        if not new:
            return
        known = self._known(path__in=new)
        names: dict[str, str] = {}
        made: dict[str, str] = {}
        try:
            for path in new:
                if path not in known and not (own := self._beside(path)):
                    own = made[path] = self._make(path)
                names[path] = path if path in known else own
            rows = [JsonlFile(recorder=self._recorder, path=name) for name in made.values()]
            JsonlFile.objects.bulk_create(rows, ignore_conflicts=True)
        except BaseException:
            for name in made.values():
                with suppress(OSError):
                    if not os.stat(name).st_size:
                        os.unlink(name)
            raise
        known |= self._known(path__in=set(names.values()) - known.keys())
        for path, name in names.items():
            self._names[path], self._sizes[name] = name, self._mended(name, known.get(name, 0))

    def _known(self, **condition: Any) -> dict[str, int]:
        """Give this recorder's files, and how much of each is certain."""
        return dict(JsonlFile.objects.filter(recorder=self._recorder, **condition).values_list("path", "size"))

    def _beside(self, path: str) -> str:
        """Give the file that this recorder has beside somebody else's; empty where it has none."""
        if not (os.path.exists(path) or files.packed(Path(path)).exists()):
            return ""
        stem = path.removesuffix(".jsonl")
        found = self._known(path__startswith=f"{stem}.")
        return next((name for name in found if _numbered(name, stem)), "")

    def _make(self, path: str) -> str:
        """Make the file of a session, and where that is somebody else's, one of this recorder's own. Gives its name."""
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        stem = path.removesuffix(".jsonl")
        for number in range(1, MAX_OWNERS + 1):
            name = path if number == 1 else f"{stem}.{number}.jsonl"
            if files.packed(Path(name)).exists():
                continue
            with suppress(FileExistsError):
                os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
                return name
        raise FileExistsError(errno.EEXIST, f"{MAX_OWNERS} recorders have files of this session", path)

    @staticmethod
    def _mended(name: str, size: int) -> int:
        """Cut off what is not certain of a file; gives what it has then."""
        try:
            actual = os.stat(name).st_size
        except FileNotFoundError:
            # Compressed while the session slept, and brought back when something is written to it.
            return min(files.unpacked_size(Path(name)), size)
        if actual > size:
            os.truncate(name, size)
        return min(actual, size)

    def append(self, pieces: list[tuple[Path, list[bytes], int]]) -> None:
        """Append lines to files: (path, lines, the session's primary key). Raises OSError; `rolled_back` then undoes it."""
        for path, lines, _ in pieces:
            self._write(Path(self._names[str(path)]), b"".join(lines))
        bulk.update_tuples(
            JsonlFile, ("size", "session_id"), ("recorder", "path"),
            [(self._sizes[name], session, self._recorder, name)
             for path, _, session in pieces for name in (self._names[str(path)],)],
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

    def unsure(self) -> None:
        """The commit failed, perhaps only on the way back: the database knows whether what was appended is certain."""
        self._undo.clear()
        self.forget()

    def forget(self) -> None:
        """Take nothing for certain any more: `register` looks at database and disk again."""
        self._names.clear()
        self._sizes.clear()

    def rolled_back(self) -> None:
        """What was appended since the last commit is to be forgotten."""
        while self._undo:
            name, size = self._undo.pop()
            with suppress(OSError):
                os.truncate(name, size)
        self.forget()
