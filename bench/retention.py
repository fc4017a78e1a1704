"""Compression of a real session's file, and retention of ten thousand sessions beside readers and a writer."""

import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

from bench.storage import session_file
from tests.support.server import ROOT, environment, take_migrated_database

CONFIG = "session_recording: {cleanup: {retention: {max_age_days: 30, compress_after_days: 7}}}\n"


def bench_retention(table, line, sessions: int = 10_000) -> None:
    """Print ratio and speed of compression, and how long retention takes and keeps others waiting."""
    with tempfile.TemporaryDirectory(prefix="lunaroute-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder) / ".lunaroute"
        _compression(table, line, home)
        shutil.rmtree(home)
        _deletion(table, line, home, sessions)


def _run(home: Path, code: str, *arguments: str) -> str:
    environ = environment(home.parent, DJANGO_SETTINGS_MODULE="lunaroute_site.settings")
    done = subprocess.run(
        [sys.executable, "-c", f"import django; django.setup()\n{code}", *arguments], cwd=ROOT, env=environ,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


COMPRESS = """
import sys, time
from pathlib import Path
import zstandard
from sessions.keeping import files
path = Path(sys.argv[1])
size, new = path.stat().st_size, path.with_name("new")
began = time.perf_counter()
with path.open("rb") as source, files._create(new) as target:
    zstandard.ZstdCompressor(level=files.LEVEL, write_checksum=True).copy_stream(source, target, size=size)
    files._sync(target)
files._check(new, size)
print(time.perf_counter() - began, new.stat().st_size)
"""


def _compression(table, line, home: Path) -> None:
    home.mkdir()
    recorded, copies = session_file(), 40
    table("compression of a session of 100 turns", "file, MB", "smaller", "MB a second, read again and synced")
    for name, data in (("as recorded", recorded), (f"{copies} of them in one file", recorded * copies)):
        path = home / "session.jsonl"
        path.write_bytes(data)
        runs = [_run(home, COMPRESS, str(path)).split() for _ in range(3)]
        speeds = [len(data) / float(took) / 1e6 for took, _ in runs]
        line(
            name,
            f"{len(data) / 1e6:.1f}",
            f"{len(data) / int(runs[0][1]):.1f}×",
            f"{min(speeds):.0f} to {max(speeds):.0f}",
        )


FILL = """
import sys
from datetime import timedelta
from django.utils import timezone
from django.conf import settings
from sessions.models import Session
from sessions.store import Store
from tests.support.exchanges import compact, events
config = settings.LUNAROUTE
store = Store(config.identity, config.session_recording.sessions_dir, True, True)
for start in range(0, int(sys.argv[1]), 50):
    found = []
    for number in range(start, start + 50):
        messages = [{"role": "user", "content": f"question {number} about file_{number}.py " * 20}]
        found += events(compact({"model": "m", "system": "shared " * 200, "messages": messages}), session=f"s{number}")
    store.apply(found)
Session.objects.update(completed_at=timezone.now() - timedelta(days=40))
"""


def _deletion(table, line, home: Path, sessions: int) -> None:
    take_migrated_database(home)
    _run(home, FILL, str(sessions))
    config = home.parent / "retention.yaml"
    config.write_text(CONFIG)
    path = home / "db.sqlite3"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.execute("CREATE TABLE probe (at REAL)")
        database.commit()
    before = path.stat().st_size
    waits: dict[str, list[float]] = {"a reader's query": [], "a writer's transaction": []}
    stop = threading.Event()

    def probe(what: str, statement: str) -> None:
        with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as database:
            while not stop.is_set():
                began = time.perf_counter()
                database.execute(statement).fetchall()
                waits[what].append((time.perf_counter() - began) * 1e3)
                time.sleep(0.01)

    threads = [
        threading.Thread(
            target=probe, args=("a reader's query", "SELECT count(*) FROM (SELECT 1 FROM sessions LIMIT 100)")
        ),
        threading.Thread(target=probe, args=("a writer's transaction", "INSERT INTO probe VALUES (1.0)")),
    ]
    for thread in threads:
        thread.start()
    environ = environment(home.parent, LUNAROUTE_CONFIG=str(config))
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "manage.py", "retention", "run"], cwd=ROOT, env=environ, check=True, stdout=subprocess.DEVNULL
    )
    took = time.perf_counter() - began
    stop.set()
    for thread in threads:
        thread.join()
    table(
        f"retention of {sessions:,} sessions",
        "seconds",
        "the database, MB",
        *(f"{what}, longest, ms" for what in waits),
    )
    line(
        "SQLite", f"{took:.1f}", f"{before / 1e6:.1f} to {path.stat().st_size / 1e6:.1f}",
        *(f"{max(found):.0f}" for found in waits.values()),
    )  # fmt: skip


if __name__ == "__main__":
    from bench.__main__ import line, table

    bench_retention(table, line)
