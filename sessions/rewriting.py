"""A session's JSONL file, written anew from its rows and in step with them.

The new file stands beside the old one until it is whole, and takes its place as the last thing before the commit. Who is
killed in between leaves rows that still have to be redacted beside a file that is, and never the other way round.
"""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import zstandard
from django.db import connection

from sessions import reading
from sessions.export.jsonl_export import at_hand, from_rows
from sessions.models import Exchange, JsonlFile, Session

# A file is longer than a recorder has certified, or shorter: with this, nobody cuts anything off.
UNCERTAIN = (1 << 63) - 1


def elsewhere(session: Session, identity: str) -> str:
    """Name the other recorder that has the session's file on its own disk; empty where none has."""
    if connection.vendor == "sqlite":
        return ""  # the database is here, and so is all that it names
    rows = JsonlFile.objects.filter(session=session, size__gt=0).exclude(recorder=identity)
    return next((row.recorder for row in rows if at_hand(row) is None), "")


def prepare(session: Session) -> None:
    """To be called before the transaction in which the file is written: whichever of the two files a crash leaves, its
    size is right."""
    JsonlFile.objects.filter(session=session, size__gt=0).update(size=UNCERTAIN)


def rewrite(session: Session, body_of: Callable[[Exchange], bytes | None] = reading.request_body) -> None:
    """Write the session's lines anew where its file is, compressed as that was. To be called at the end of a transaction.

    Where there are several files, one is left. `body_of` gives the body of a request. Raises OSError.
    """
    rows = list(JsonlFile.objects.filter(session=session, size__gt=0).order_by("pk"))
    found = [(row, path) for row in rows for path in _paths(row)]
    if not found:
        return
    row, path = found[0]
    new = path.with_name(f"{path.name}.new")
    size = _write(from_rows(session, body_of), new, is_packed=path.suffix == ".zst")
    JsonlFile.objects.filter(pk=row.pk).update(size=size)
    JsonlFile.objects.filter(pk__in={other.pk for other, _ in found} - {row.pk}).delete()
    for _, other in found[1:]:
        with suppress(FileNotFoundError):
            os.unlink(other)
    os.replace(new, path)


def _paths(row: JsonlFile) -> list[Path]:
    return [path for path in (Path(row.path), Path(f"{row.path}.zst")) if path.is_file()]


def _write(lines: Iterable[bytes], path: Path, is_packed: bool) -> int:
    """Write lines to `path`; gives their size, bytes before compression."""
    size = 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        packer = zstandard.ZstdCompressor().compressobj() if is_packed else None
        for data in lines:
            size += len(data)
            file.write(packer.compress(data) if packer else data)
        if packer:
            file.write(packer.flush())
        file.flush()
        os.fsync(file.fileno())
    return size
