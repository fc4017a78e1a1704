"""All bytes that a server leaves anywhere: files, the database unpacked, and what its processes have open."""

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil
import psycopg
import zstandard

from sessions.packing import unpack, unpack_field
from tests.support.server import RunningServer

Source = tuple[str, bytes]  # where, what


def files(*roots: Path) -> Iterator[Source]:
    """Give every file under `roots`, its name included."""
    for root in roots:
        found = [root] if not root.is_dir() else []
        for directory, inner, names in os.walk(root):
            found += [Path(directory, name) for name in (*inner, *names)]
        for path in found:
            yield str(path), os.fsencode(path)
            with suppress(OSError):  # it has just gone, or is a socket
                if path.is_file():
                    yield str(path), path.read_bytes()


def rows(server: RunningServer) -> Iterator[Source]:
    """Give every row of the database with its packed fields unpacked, and the words of the index."""
    if server.database_url:
        with psycopg.connect(server.database_url) as connection:
            tables = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
            for (table,) in tables:
                yield from _rows(table, connection.execute(f'select * from "{table}"'))
        return
    with closing(sqlite3.connect(f"file:{server.home / 'db.sqlite3'}?mode=ro", uri=True)) as connection:
        connection.text_factory = bytes
        tables = connection.execute("select name from sqlite_master where type = 'table'").fetchall()
        for table in (name.decode() for (name,) in tables):
            if not table.startswith("search_index"):
                yield from _rows(table, connection.execute(f'select * from "{table}"'))
        connection.execute("create virtual table temp.words using fts5vocab(main, search_index, 'row')")
        yield "index", b"\n".join(term for (term,) in connection.execute("select term from temp.words"))


def _rows(table: str, cursor) -> Iterator[Source]:
    names = [column[0] for column in cursor.description]
    for row in cursor:
        values = dict(zip(names, row, strict=True))
        found = [value if isinstance(value, bytes) else str(value).encode() for value in row]
        if table == "blobs" and values["codec"] < 3:
            found.append(unpack(values["codec"], values["data"], values["size"]))
        for value in row:
            if isinstance(value, bytes) and value[:1] in (b"\0", b"\1", b"\2"):
                with suppress(zstandard.ZstdError):
                    found.append(unpack_field(value))
        yield table, b"\n".join(found)


def open_files(server: RunningServer) -> Iterator[Source]:
    """Give the files that the server's processes have open for writing, those without a name included."""
    supervisor, seen = psutil.Process(server.process.pid), set()
    for process in [supervisor, *supervisor.children(recursive=True)]:
        for entry in Path(f"/proc/{process.pid}/fd").iterdir():
            with suppress(OSError):
                file = entry.stat()
                is_new = (file.st_dev, file.st_ino) not in seen
                if is_new and stat.S_ISREG(file.st_mode) and entry.lstat().st_mode & stat.S_IWUSR:
                    seen.add((file.st_dev, file.st_ino))
                    yield f"{process.pid}: {os.readlink(entry)}", entry.read_bytes()
