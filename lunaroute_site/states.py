"""What the running processes write down of themselves, small JSON files in the home, for those who ask from outside."""

import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

PROCESSES = "processes.json"


@dataclass(slots=True)
class Process:
    """A process of the tree. `up_since` is RFC 3339, in UTC; `last_end` says why the one before it ended."""

    pid: int = 0
    up_since: str = ""
    restarts: int = 0
    last_end: str = ""
    ended_at: str = ""


@dataclass(slots=True)
class Processes:
    """The processes of one run of the server, by name, in the order in which they were started."""

    home: Path
    up_since: str
    named: dict[str, Process] = field(default_factory=dict)

    def started(self, name: str, pid: int) -> None:
        """Note that a process runs."""
        process = self.named.setdefault(name, Process())
        process.pid, process.up_since = pid, now()
        self._save()

    def ended(self, name: str, why: str) -> None:
        """Note that a process ended unexpectedly, and is to be started again."""
        process = self.named.setdefault(name, Process())
        process.pid, process.up_since, process.last_end, process.ended_at = 0, "", why, now()
        process.restarts += 1
        self._save()

    def _save(self) -> None:
        value = {"up_since": self.up_since, "processes": {name: asdict(p) for name, p in self.named.items()}}
        with suppress(OSError):  # a full disk stops no server
            write(self.home / PROCESSES, value)


def now() -> str:
    """Give the time as RFC 3339, in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def why_ended(status: int) -> str:
    """Say in words how a process ended, by its status of waitpid(2)."""
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


def write(path: Path, value: object) -> None:
    """Replace a file by `value` as JSON: whole at any moment, for its owner alone. One process at a time writes it."""
    fresh = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    fresh.replace(path)


def read(path: Path) -> dict[str, Any] | None:
    """Give the object in a file; None where there is none, or something else."""
    try:
        value = orjson.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
