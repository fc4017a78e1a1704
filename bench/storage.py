"""Bytes on disk of a session that sends itself again with each turn."""

import sqlite3
import time
from pathlib import Path

from bench.conversations import REQUEST_HEADERS, Conversation, Turn, answer_headers
from bench.ingest import Recorder
from tests.support.exchanges import frames, packed

# Seconds after which a recorder that gets nothing has done its upkeep.
QUIET = 3.0
PARTS = ("database", "log", "JSONL")


def stored(home: Path) -> dict[str, int]:
    """Bytes on disk by part, with the log written back to the database."""
    path = home / ".lunaroute" / "db.sqlite3"
    connection = sqlite3.connect(path, timeout=10)
    connection.execute("pragma wal_checkpoint(truncate)")
    connection.close()
    log = path.with_name(path.name + "-wal")
    return {
        "database": path.stat().st_size,
        "log": log.stat().st_size if log.exists() else 0,
        "JSONL": sum(file.stat().st_size for file in (home / ".lunaroute" / "sessions").glob("*/*")),
    }


def measure(turns: int, step: int, marks: tuple[int, ...]) -> tuple[int, int, list[dict[str, int]]]:
    """Record a session; gives the last body's size, all that was sent, and what is stored after each of `marks` turns."""
    found, sent, size = [], 0, 0
    with Recorder() as recorder:
        for number, turn in enumerate(Conversation(7, 20_000, step).turns(turns)):
            if number in marks:
                recorder.wait()
                found.append(stored(recorder.home))
            size = len(turn.body)
            sent += size
            recorder.send(_captured(number, turn))
        recorder.wait()
        time.sleep(QUIET)
        found.append(stored(recorder.home))
    return size, sent, found


def _captured(number: int, turn: Turn) -> bytes:
    pieces = [b"".join(turn.events[at : at + 12]) for at in range(0, len(turn.events), 12)]
    headers = [*REQUEST_HEADERS, ("content-length", str(len(turn.body)))]
    return packed(number + 1, frames(turn.body, pieces, headers=headers, answer_headers=answer_headers(number)))


def session_file(turns: int = 100) -> bytes:
    """Give the JSONL file of such a session."""
    with Recorder() as recorder:
        for number, turn in enumerate(Conversation(7, 20_000, 2_800).turns(turns)):
            recorder.send(_captured(number, turn))
        recorder.wait()
        (path,) = (recorder.home / ".lunaroute" / "sessions").glob("*/*.jsonl")
        return path.read_bytes()


def bench_storage(table, line) -> None:
    """Print what a session of 100 turns takes, and whether one of 1,000 grows evenly."""
    size, sent, (before, after) = measure(100, 2_800, (0,))
    table(
        "session of 100 turns",
        "last request, KB",
        "sent, KB",
        *(f"{part}, KB" for part in PARTS),
        "all, against the last request",
    )
    grown = {part: after[part] - before[part] for part in PARTS}
    line(
        "bytes on disk", f"{size / 1e3:.0f}", f"{sent / 1e3:.0f}", *(f"{grown[part] / 1e3:.0f}" for part in PARTS),
        f"{sum(grown.values()) / size:.2f}×",
    )  # fmt: skip
    _, _, marks = measure(1000, 900, (0, 100, 450, 550, 900))
    table("session of 1,000 turns", "bytes a turn, first 100", "middle 100", "last 100")
    totals = [sum(mark.values()) for mark in marks]
    line("bytes on disk", *(f"{(totals[to] - totals[at]) / 100:.0f}" for at, to in ((0, 1), (2, 3), (4, 5))))
