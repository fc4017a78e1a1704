"""What `lunaroute-server status` tells of a running server: small files in the home, each written as a whole.

``processes.json`` and ``end.json`` are the supervisor's, ``tasks.json`` the worker's. ``end.json`` says with which code and problem
a server has ended: none yet, or none that could be written, where the code is null.
"""

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

PROCESSES, TASKS, END = "processes.json", "tasks.json", "end.json"


def write(home: Path, name: str, value: dict[str, Any]) -> None:
    """Replace a file. Where the home cannot be written nothing is told, and nothing else suffers."""
    new = home / f"{name}.new"
    with suppress(OSError):
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
            json.dump(value, file)
        os.replace(new, home / name)


def read(home: Path, name: str) -> dict[str, Any]:
    """Give what a file says; nothing where there is none."""
    with suppress(OSError, ValueError):
        found = json.loads((home / name).read_text())
        if isinstance(found, dict):
            return found
    return {}


def forget(home: Path) -> None:
    """Remove what a server before this one said of its processes. When tasks ran last still counts."""
    with suppress(OSError):
        (home / PROCESSES).unlink()


def note_task(home: Path, task: str, seconds: float, error: str) -> None:
    """Note that a task has ended. Only the worker's process calls this, one task after another."""
    tasks = read(home, TASKS)
    tasks[task] = {"ended_at": time.time(), "seconds": seconds, "error": error}
    write(home, TASKS, tasks)
