"""A copy of all that a home holds, in one file, made while the server runs; and a home made of such a file.

A tar archive, compressed with zstd: the database as it is at one moment, the JSONL files as far as they were certain then,
the keys, and, as the last one, a list of them all with their hashes.
"""

import hashlib
import io
import os
import shutil
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

import orjson
import zstandard

from lunaroute_site.upkeep.upgrade import UpgradeProblem, copy_database

DATABASE, FOLDER, MANIFEST = "db.sqlite3", "sessions", "manifest.json"
KEYS = ("secret_key", "provider_keys.key")
FORMAT = 1
CHUNK = 1 << 20


class ArchiveProblem(Exception):
    """Why an archive cannot be written or read, in one line."""


def write(target: Path, home: Path, sessions: Path, files: Iterable[tuple[str, int]] | None = None) -> dict[str, int]:
    """Write an archive of `home`, whose JSONL files are under `sessions`; gives its numbers of files and bytes.

    `files` has (path, size) of the JSONL files where the database is not here (PostgreSQL); the archive then has no database.
    Raises ArchiveProblem, or OSError where a file cannot be read or written.
    """
    new = target.with_name(f"{target.name}.new")
    entries: dict[str, dict] = {}
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as raw:
            packer = zstandard.ZstdCompressor(level=3, write_checksum=True, threads=-1)
            with packer.stream_writer(raw, closefd=False) as stream, tarfile.open(fileobj=stream, mode="w|") as archive:
                if files is None:
                    files = _add_database(archive, entries, home)
                for name, size in files:
                    _add_lines(archive, entries, Path(name), size, sessions)
                for name in KEYS:
                    if (home / name).is_file():
                        _add(archive, entries, name, (home / name).read_bytes())
                manifest = orjson.dumps({"format": FORMAT, "made_at": time.time(), "files": entries})
                _add(archive, {}, MANIFEST, manifest)
            raw.flush()
            os.fsync(raw.fileno())
        os.replace(new, target)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    return {"files": len(entries), "bytes": target.stat().st_size}


def _add_database(archive: tarfile.TarFile, entries: dict, home: Path) -> list[tuple[str, int]]:
    """Add a copy of the database; gives the JSONL files that it knows, with the sizes that are certain."""
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=home) as folder:
        copy = Path(folder) / DATABASE
        try:
            copy_database(home / DATABASE, copy)
        except UpgradeProblem as error:
            raise ArchiveProblem(str(error)) from None
        with closing(sqlite3.connect(copy)) as database:
            files = database.execute("SELECT path, size FROM jsonl_files WHERE size > 0 ORDER BY path").fetchall()
        with copy.open("rb") as file:
            _stream(archive, entries, DATABASE, file, copy.stat().st_size)
    return files


def _add_lines(archive: tarfile.TarFile, entries: dict, path: Path, size: int, sessions: Path) -> None:
    """Add a JSONL file, as it is: plain ones as far as they were certain."""
    try:
        name = f"{FOLDER}/{path.relative_to(sessions).as_posix()}"
    except ValueError:
        return  # of another host
    for found, ending in ((path, ""), (path.with_name(f"{path.name}.zst"), ".zst")):
        try:
            with found.open("rb") as file:
                actual = os.fstat(file.fileno()).st_size
                _stream(archive, entries, name + ending, file, actual if ending else min(size, actual))
            return
        except FileNotFoundError:
            continue  # compressed, or deleted, since


def _add(archive: tarfile.TarFile, entries: dict, name: str, data: bytes) -> None:
    _stream(archive, entries, name, io.BytesIO(data), len(data))


def _stream(archive: tarfile.TarFile, entries: dict, name: str, file: IO[bytes], size: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o600, int(time.time())
    reader = _Hashing(file, size)
    archive.addfile(info, reader)
    entries[name] = {"size": size, "sha256": reader.hash.hexdigest()}


class _Hashing:
    """Reads as many bytes as were promised, and hashes them. A file that became shorter is filled up: its name stays said."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._left, self.hash = file, size, hashlib.sha256()

    def read(self, count: int = -1) -> bytes:
        wanted = self._left if count < 0 else min(count, self._left)
        data = self._file.read(wanted)
        data += b"\n" * (wanted - len(data))
        self._left -= len(data)
        self.hash.update(data)
        return data


@contextmanager
def _opened(source: Path) -> Iterator[tarfile.TarFile]:
    try:
        with (
            source.open("rb") as raw,
            zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True) as stream,
            tarfile.open(fileobj=stream, mode="r|") as archive,
        ):
            yield archive
    except (tarfile.TarError, zstandard.ZstdError, EOFError) as error:
        raise ArchiveProblem(f"{source}: is no archive of LunaRoute's, or is damaged ({error})") from None


def read(source: Path, home: Path, sessions: Path, identity: str) -> dict[str, int]:
    """Make a home of an archive; gives its numbers of files and bytes. The home may hold nothing yet.

    `sessions` is where its JSONL files go, `identity` who records there from now on. Nothing is there until all has been
    read and compared. Raises ArchiveProblem, or OSError where a file cannot be read or written.
    """
    for name in (DATABASE, FOLDER, *KEYS):
        if (home / name).exists():
            raise ArchiveProblem(f"{home}: holds a record already ({name}); LUNAROUTE_HOME names another directory")
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=home) as folder:
        found, manifest = _unpack(source, Path(folder))
        _compare(source, found, manifest)
        if DATABASE in found:
            _adopt(Path(folder) / DATABASE, sessions, identity)
        if (Path(folder) / FOLDER).is_dir():
            sessions.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if sessions.exists():
                raise ArchiveProblem(f"{sessions}: is there already")
            shutil.move(Path(folder) / FOLDER, sessions)
        for name in (*KEYS, DATABASE):  # the database last: with it the home is one
            if name in found:
                os.replace(Path(folder) / name, home / name)
    return {"files": len(found), "bytes": sum(entry["size"] for entry in found.values())}


def _unpack(source: Path, folder: Path) -> tuple[dict[str, dict], dict]:
    found: dict[str, dict] = {}
    manifest: dict = {}
    with _opened(source) as archive:
        for member in archive:
            name = PurePosixPath(member.name)
            allowed = member.name in (DATABASE, MANIFEST, *KEYS) or (
                name.parts[:1] == (FOLDER,) and len(name.parts) > 1
            )
            if not member.isfile() or name.is_absolute() or ".." in name.parts or not allowed:
                raise ArchiveProblem(f"{source}: has an entry {member.name!r}, which no archive of LunaRoute's has")
            reader = archive.extractfile(member)
            if member.name == MANIFEST:
                manifest = orjson.loads(reader.read())
                continue
            path = folder / Path(*name.parts)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            digest = hashlib.sha256()
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                while data := reader.read(CHUNK):
                    digest.update(data)
                    file.write(data)
            found[member.name] = {"size": path.stat().st_size, "sha256": digest.hexdigest()}
    return found, manifest


def _compare(source: Path, found: dict[str, dict], manifest: dict) -> None:
    if manifest.get("format") != FORMAT:
        raise ArchiveProblem(f"{source}: is incomplete, or of another version")
    for name, entry in manifest["files"].items():
        if found.get(name) != entry:
            raise ArchiveProblem(f"{source}: {name} is not what was written")
    if found.keys() != manifest["files"].keys():
        raise ArchiveProblem(f"{source}: has entries that were not written")


def _adopt(database: Path, sessions: Path, identity: str) -> None:
    """Let a database know where its files are now, and who records."""
    with closing(sqlite3.connect(database)) as connection, connection:
        ours = connection.execute(
            "SELECT recorder FROM jsonl_files GROUP BY 1 ORDER BY count(*) DESC LIMIT 1"
        ).fetchone()
        if ours is None:
            return
        for key, path in connection.execute("SELECT id, path FROM jsonl_files WHERE recorder = ?", ours).fetchall():
            moved = str(sessions.joinpath(*Path(path).parts[-2:]))
            connection.execute("UPDATE jsonl_files SET path = ?, recorder = ? WHERE id = ?", (moved, identity, key))
        connection.execute("UPDATE exchanges SET recorder = ? WHERE recorder = ?", (identity, *ours))
