"""A session's JSONL file, compressed and brought back.

While both stand there the plain one counts: it is whole, because a file takes its place only when it is. So whoever is
killed in between has lost nothing.
"""

import os
from contextlib import suppress
from pathlib import Path

import zstandard
from django.db import transaction

from sessions.content import keep_others_out
from sessions.models import Exchange, JsonlFile

LEVEL = 3
# Ends of the names of files that are being written; what a killed process left of them is of no use.
PACKING, UNPACKING = ".zst.new", ".plain.new"


class Changed(Exception):
    """The file is in use again; it is left as it is."""


def packed(path: Path) -> Path:
    """Name the compressed file of `path`."""
    return path.with_name(f"{path.name}.zst")


def compress(row: JsonlFile) -> tuple[int, int]:
    """Compress a session's file; gives its bytes before and after.

    Raises Changed where the session goes on meanwhile, OSError where a file cannot be read or written.
    """
    path = Path(row.path)
    if path.stat().st_size != row.size:
        raise Changed
    new = path.with_name(path.name + PACKING)
    try:
        with path.open("rb") as source, _create(new) as target:
            zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).copy_stream(source, target, size=row.size)
            _sync(target)
        _check(new, row.size)
        after = new.stat().st_size
        with transaction.atomic():
            # A recorder writes within such a transaction, too.
            keep_others_out()
            now = JsonlFile.objects.filter(pk=row.pk).values_list("size", "session").first()
            if now != (row.size, row.session_id) or path.stat().st_size != row.size:
                raise Changed
            if Exchange.objects.filter(session=row.session_id, success=None).exists():
                raise Changed
            os.replace(new, packed(path))
            _sync_folder(path.parent)
            path.unlink()
    except BaseException:
        with suppress(OSError):
            new.unlink()
        raise
    return row.size, after


def bring_back(path: Path) -> bool:
    """Make the plain file of a compressed one again. False where there is none. To be called in a recorder's transaction."""
    source = packed(path)
    if path.exists() or not source.is_file():
        return False
    new = path.with_name(path.name + UNPACKING)
    with source.open("rb") as file, _create(new) as target:
        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        while data := reader.read(1 << 20):
            target.write(data)
        _sync(target)
    os.replace(new, path)
    _sync_folder(path.parent)
    source.unlink()
    return True


def unpacked_size(path: Path) -> int:
    """Give the bytes that the compressed file of `path` has when it is brought back; 0 where there is none."""
    try:
        with packed(path).open("rb") as file:
            reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
            size = 0
            while data := reader.read(1 << 20):
                size += len(data)
            return size
    except FileNotFoundError:
        return 0


def _create(path: Path):
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb")


def _sync(file) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check(path: Path, size: int) -> None:
    """Read a compressed file, whose checksum is compared by that. Raises OSError where it is not what it should be."""
    with path.open("rb") as file:
        reader, left = zstandard.ZstdDecompressor().stream_reader(file), size
        try:
            while data := reader.read(1 << 20):
                left -= len(data)
        except zstandard.ZstdError as error:
            raise OSError(5, f"cannot be read again ({error})", str(path)) from None
    if left:
        raise OSError(5, f"has {size - left} bytes where {size} were written", str(path))


def tidy(folder: Path, older_than: float) -> int:
    """Remove what killed processes left unfinished before that time (seconds since the epoch), and empty days.
    Gives the number of files."""
    removed = 0
    for path in folder.glob("*/*.new"):
        with suppress(OSError):
            if path.name.endswith((PACKING, UNPACKING)) and path.stat().st_mtime < older_than:
                path.unlink()
                removed += 1
    for day in folder.glob("*"):
        with suppress(OSError):
            if day.is_dir() and not day.is_symlink() and day.stat().st_mtime < older_than:
                day.rmdir()  # refuses what is not empty
    return removed
