"""Whether the record is sound: rows, contents, index and files agree. Nothing is changed unless asked for."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from django.db import DatabaseError, connection, transaction
from django.db.models import Max
from zstandard import ZstdError

from sessions import search
from sessions.content import AT_ONCE, keep_others_out
from sessions.deletion import CONTENTS
from sessions.keeping.files import packed, unpacked_size
from sessions.models import Exchange, FileRemoval, JsonlFile, SearchDocument, SearchSession, Session
from sessions.rewriting import UNCERTAIN

OK, WARNING, PROBLEM = "ok", "warning", "problem"
MEND_DATABASE = (
    "stop the server, then `lunaroute-server restore` a backup, or `lunaroute-server db rebuild` from the JSONL files"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check says: how bad it is, what it is, and what mends it; `fix` does that where it is safe."""

    check: str
    level: str
    text: str
    remedy: str = ""
    fix: Callable[[], None] | None = None


def _one(query: str, *values: object) -> int:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchone()[0]


def integrity() -> Iterator[Finding]:
    """Check SQLite's pages and references; PostgreSQL sees to its own."""
    if connection.vendor != "sqlite":
        return
    try:
        with connection.cursor() as cursor:
            found = [row[0] for row in cursor.execute("PRAGMA integrity_check(5)").fetchall()]
            references = cursor.execute("PRAGMA foreign_key_check").fetchall() if found == ["ok"] else []
    except DatabaseError as error:
        found, references = [str(error)], []
    if found != ["ok"]:
        yield Finding(
            "database", PROBLEM, f"SQLite says: {'; '.join(' '.join(f.split()) for f in found)}", MEND_DATABASE
        )
    if references:
        text = (
            f"{len(references)} rows refer to others that are gone (of {', '.join(sorted({r[0] for r in references}))})"
        )
        yield Finding("database", PROBLEM, text, MEND_DATABASE)


def contents() -> Iterator[Finding]:
    """Check that what rows name is there."""
    named = [(model._meta.db_table, column) for model, columns in CONTENTS for column in columns] + [("nodes", "blob")]
    missing = sum(
        _one(
            f"SELECT count(*) FROM {table} t WHERE length(t.{column}) > 0 "
            f"AND NOT EXISTS (SELECT 1 FROM blobs b WHERE b.key = t.{column})"
        )
        for table, column in named
    )
    missing += _one(
        "SELECT count(*) FROM exchanges e WHERE length(e.leaf) > 0 AND NOT EXISTS (SELECT 1 FROM nodes n WHERE n.key = e.leaf)"
    )
    missing += _one(
        "SELECT count(*) FROM nodes c WHERE length(c.parent) > 0 AND NOT EXISTS (SELECT 1 FROM nodes n WHERE n.key = c.parent)"
    )
    if missing:
        yield Finding(
            "contents", PROBLEM, f"{missing} places name contents that are not there",
            "`lunaroute-server db rebuild` makes the database anew from the JSONL files",
        )  # fmt: skip
    unused = " AND ".join(f"NOT EXISTS (SELECT 1 FROM {table} t WHERE t.{column} = b.key)" for table, column in named)
    count = _one(f"SELECT count(*) FROM blobs b WHERE {unused}")
    if count:
        yield Finding(
            "contents", WARNING, f"{count} contents are used by nothing", "`lunaroute-server doctor --fix` deletes them",
            lambda: _delete_unused(unused),
        )  # fmt: skip


def _delete_unused(unused: str) -> None:
    """Delete in parts, so that nobody who records waits for long; what is used by now is left."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT b.key FROM blobs b WHERE {unused}")
        keys = [bytes(key) for (key,) in cursor.fetchall()]
    for start in range(0, len(keys), AT_ONCE):
        part = keys[start : start + AT_ONCE]
        places = ", ".join(["%s"] * len(part))
        with transaction.atomic(), connection.cursor() as cursor:
            keep_others_out()
            cursor.execute(f"DELETE FROM blobs AS b WHERE b.key IN ({places}) AND {unused}", part)


def index() -> Iterator[Finding]:
    """Check the full-text index against the rows."""
    remedy = "`lunaroute-server doctor --fix` writes the index anew"
    try:
        if connection.vendor == "sqlite":
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("INSERT INTO search_index (search_index, rank) VALUES ('integrity-check', 0)")
    except DatabaseError as error:
        yield Finding("index", PROBLEM, f"the full-text index is damaged ({error})", remedy, rebuild_index)
        return
    stray = SearchSession.objects.exclude(session_id__in=Session.objects.values("pk")).count()
    documents = _one("SELECT count(*) FROM search_index_docsize") if connection.vendor == "sqlite" else None
    rows = SearchDocument.objects.count()
    if stray or (documents is not None and documents != rows):
        has = rows if documents is None else documents
        text = f"the full-text index has {has} documents for {rows} rows, {stray} sessions of it are gone"
        yield Finding("index", PROBLEM, text, remedy, rebuild_index)
        return
    waiting = Session.objects.exclude(pk__in=SearchSession.objects.filter(upto=None).values("pk")).count()
    if waiting:
        yield Finding(
            "index", WARNING, f"{waiting} sessions are not indexed yet",
            "the server does that beside its work; `lunaroute-server doctor --fix` does it now", finish_index,
        )  # fmt: skip


def rebuild_index() -> None:
    """Write the index anew from the rows."""
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("INSERT INTO search_index (search_index) VALUES ('delete-all')")
        cursor.execute("DELETE FROM search_documents")
        cursor.execute("DELETE FROM search_sessions")
    finish_index()


def finish_index() -> None:
    """Index what is not indexed yet."""
    backfill = search.Backfill()
    while backfill.step():
        pass


def files(folder: Path, recorder: str, is_running: bool) -> Iterator[Finding]:
    """Check the JSONL files of `recorder` against their rows; with SQLite all are its own, also those that it recorded
    before this machine had another name."""
    missing, short, torn, known = [], [], {}, set()
    rows = JsonlFile.objects.all() if connection.vendor == "sqlite" else JsonlFile.objects.filter(recorder=recorder)
    for name, size in rows.values_list("path").annotate(certain=Max("size")).order_by("path").iterator():
        path = Path(name)
        known.add(name)
        try:
            actual = os.stat(path).st_size
        except FileNotFoundError:
            if size and not packed(path).is_file():
                missing.append(name)
            elif size != UNCERTAIN and _unpacked(path) < size:
                short.append(name)
            continue
        if size == UNCERTAIN:
            continue
        if actual < size:
            short.append(name)
        elif actual > size and not is_running:
            torn[name] = size
    if missing:
        yield Finding(
            "files", WARNING, f"{_some(missing)} of the JSONL files are gone",
            "nothing has to be done: exports make their lines from the database",
        )  # fmt: skip
    if short:
        yield Finding(
            "files", PROBLEM, f"{_some(short)} of the JSONL files are damaged, or shorter than what was written to them",
            "nothing else is lost: exports of other formats read the database; a backup has the lines",
        )  # fmt: skip
    if torn:
        yield Finding(
            "files", WARNING, f"{_some(list(torn))} of the JSONL files have a torn end, as a crash leaves it",
            "the next start cuts it off, and so does `lunaroute-server doctor --fix`", lambda: _cut(torn),
        )  # fmt: skip
    stray = [
        str(path)
        for path in sorted(folder.glob("*/session_*.jsonl*"))
        if path.name.endswith((".jsonl", ".jsonl.zst")) and str(path).removesuffix(".zst") not in known
    ]
    removed = set(FileRemoval.objects.values_list("path", flat=True))
    stray = [name for name in stray if name.removesuffix(".zst") not in removed]
    if stray:
        yield Finding(
            "files", WARNING, f"{_some(stray)} JSONL files are in no database", f"`lunaroute-server import {folder}` records them",
        )  # fmt: skip


def _cut(torn: dict[str, int]) -> None:
    for name, size in torn.items():
        os.truncate(name, size)


def _unpacked(path: Path) -> int:
    """Give the bytes that a compressed file still has; -1 where it cannot be read."""
    try:
        return unpacked_size(path)
    except (OSError, ZstdError):
        return -1


def _some(names: list[str]) -> str:
    return f"{len(names)} ({names[0]}{', …' if len(names) > 1 else ''})"


def unfinished(recorder: str, is_running: bool) -> Iterator[Finding]:
    """Find exchanges that nobody will ever complete."""
    count = Exchange.objects.filter(recorder=recorder, success=None).count()
    if count and not is_running:
        yield Finding(
            "record",
            WARNING,
            f"{count} exchanges were cut off when the server ended",
            "the next start marks them as interrupted",
        )
