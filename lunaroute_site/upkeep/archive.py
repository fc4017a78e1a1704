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
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

import orjson
import zstandard

from lunaroute_site.upkeep.upgrade import UpgradeProblem, copy_database

DATABASE, FOLDER, MANIFEST = "db.sqlite3", "sessions", "manifest.json"
KEYS = ("secret_key", "provider_keys.key")
FORMAT = 1
CHUNK = 1 << 20
# Bytes of the list of files: some hundred for each.
MAX_MANIFEST = 1 << 30


class ArchiveProblem(Exception):
    """Why an archive cannot be written or read, in one line."""


@dataclass(frozen=True, slots=True)
class Written:
    """What an archive holds, and which JSONL files it does not: their names are those of others in it."""

    files: int
    bytes: int
    left_out: tuple[str, ...]


def write(
    target: Path, home: Path, sessions: Path, database: Path | None, files: Iterable[tuple[str, int]] = ()
) -> Written:
    """Write an archive of `home`, whose JSONL files are under `sessions`, and whose database is the SQLite file `database`.

    Where that is None (PostgreSQL), `files` has (path, size) of the JSONL files, and the archive has no database.
    Raises ArchiveProblem, or OSError where a file cannot be read or written.
    """
    entries: dict[str, dict] = {}
    about: dict[str, object] = {"format": FORMAT, "made_at": time.time()}
    left_out: list[str] = []
    # Of a name that nobody else has, and readable by nobody else.
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
    new = Path(name)
    try:
        with open(descriptor, "wb") as raw:
            packer = zstandard.ZstdCompressor(level=3, write_checksum=True, threads=-1)
            with packer.stream_writer(raw, closefd=False) as stream, tarfile.open(fileobj=stream, mode="w|") as archive:
                if database is not None:
                    files, about["migrations"] = _add_database(archive, entries, home, database)
                for path, size in files:
                    if not _add_lines(archive, entries, Path(path), size, sessions):
                        left_out.append(path)
                for name in KEYS:
                    if (home / name).is_file():
                        _add(archive, entries, name, (home / name).read_bytes())
                _add(archive, {}, MANIFEST, orjson.dumps({**about, "files": entries}))
            raw.flush()
            os.fsync(raw.fileno())
        os.replace(new, target)
        _sync_folder(target.parent)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    return Written(len(entries), target.stat().st_size, tuple(left_out))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _add_database(
    archive: tarfile.TarFile, entries: dict, home: Path, database: Path
) -> tuple[list[tuple[str, int]], dict[str, str]]:
    """Add a copy of the database. Gives the JSONL files that it knows, with the sizes that are certain, and the last
    migration of each app."""
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=home) as folder:
        copy = Path(folder) / DATABASE
        try:
            copy_database(database, copy)
        except UpgradeProblem as error:
            raise ArchiveProblem(str(error)) from None
        with closing(sqlite3.connect(copy)) as connection:
            # A machine that was renamed has two rows for a file.
            files = connection.execute(
                "SELECT path, max(size) FROM jsonl_files WHERE size > 0 GROUP BY path ORDER BY path"
            ).fetchall()
            migrations = dict(
                connection.execute("SELECT app, max(name) FROM django_migrations GROUP BY app").fetchall()
            )
        with copy.open("rb") as file:
            _stream(archive, entries, DATABASE, file, copy.stat().st_size)
    return files, migrations


def _name_of(path: Path, sessions: Path) -> str:
    """Name a JSONL file in the archive. One that was written before `sessions_dir` was another goes by its day and name."""
    for folder in (sessions, sessions.resolve()):
        if path.is_relative_to(folder):
            return f"{FOLDER}/{path.relative_to(folder).as_posix()}"
    return f"{FOLDER}/{'/'.join(path.parts[-2:])}"


def _add_lines(archive: tarfile.TarFile, entries: dict, path: Path, size: int, sessions: Path) -> bool:
    """Add a JSONL file, as it is: plain ones as far as they were certain. False where the archive has one of that name."""
    name = _name_of(path, sessions)
    if name in entries or f"{name}.zst" in entries:
        return not any(found.exists() for found in (path, path.with_name(f"{path.name}.zst")))
    for found, ending in ((path, ""), (path.with_name(f"{path.name}.zst"), ".zst")):
        try:
            with found.open("rb") as file:
                actual = os.fstat(file.fileno()).st_size
                _stream(archive, entries, name + ending, file, actual if ending else min(size, actual))
            entries[name + ending]["path"] = str(path)
            return True
        except FileNotFoundError:
            continue  # compressed, or deleted, since
    return True


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
    # A log without its database would be taken for one of the database that is restored.
    for name in (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", FOLDER, *KEYS):
        if (home / name).exists():
            raise ArchiveProblem(f"{home}: holds a record already ({name}); LUNAROUTE_HOME names another directory")
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=home) as folder:
        found, manifest = _unpack(source, Path(folder))
        _compare(source, found, manifest)
        if DATABASE in found:
            _adopt(source, Path(folder) / DATABASE, sessions, identity, manifest["files"])
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
                manifest = _read_manifest(source, reader.read(MAX_MANIFEST))
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


def _read_manifest(source: Path, data: bytes) -> dict:
    try:
        manifest = orjson.loads(data)
        if manifest["format"] == FORMAT:
            for entry in manifest["files"].values():
                entry["size"], entry["sha256"], entry.get("path", "").encode()
        return manifest
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ArchiveProblem(f"{source}: its list of files is none of LunaRoute's") from None


def _compare(source: Path, found: dict[str, dict], manifest: dict) -> None:
    if manifest.get("format") != FORMAT:
        raise ArchiveProblem(f"{source}: is incomplete, or of another version")
    for name, entry in manifest["files"].items():
        if found.get(name) != {"size": entry["size"], "sha256": entry["sha256"]}:
            raise ArchiveProblem(f"{source}: {name} is not what was written")
    if found.keys() != manifest["files"].keys():
        raise ArchiveProblem(f"{source}: has entries that were not written")


def _adopt(source: Path, database: Path, sessions: Path, identity: str, entries: dict[str, dict]) -> None:
    """Let a database know where its files are now, and that it is this home that records.

    A file that several recorders have a row of (the machine was renamed) has one from now on.
    """
    names = {entry["path"]: name.removesuffix(".zst") for name, entry in entries.items() if "path" in entry}
    try:
        with closing(sqlite3.connect(database)) as connection, connection:
            rows = connection.execute("SELECT id, path FROM jsonl_files ORDER BY size DESC, id").fetchall()
            connection.execute(
                "UPDATE jsonl_files SET recorder = 'row ' || id"
            )  # so that no two are the same meanwhile
            taken: set[str] = set()
            for key, path in rows:
                name = names.get(path) or "/".join((FOLDER, *Path(path).parts[-2:]))
                moved = str(sessions / name.removeprefix(f"{FOLDER}/"))
                if moved in taken:
                    connection.execute("DELETE FROM jsonl_files WHERE id = ?", (key,))
                    continue
                taken.add(moved)
                connection.execute("UPDATE jsonl_files SET path = ?, recorder = ? WHERE id = ?", (moved, identity, key))
            connection.execute("UPDATE exchanges SET recorder = ?", (identity,))
    except sqlite3.Error as error:
        raise ArchiveProblem(f"{source}: its database cannot be used ({error})") from None
