"""The home's lock: one server to a home, and where to find it.

``server.pid`` holds the process id alone, so that `kill $(cat …/server.pid)` works; ``server.json`` beside it says where
that server listens. The lock on ``server.pid``, not its content, tells whether a server runs.
"""

import fcntl
import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

# Seconds that a new server waits for the children of one that was killed to finish.
PATIENCE = 10


@dataclass(frozen=True, slots=True)
class RunningServer:
    """Where a server listens, and where it records to ("off" if it does not)."""

    pid: int
    url: str
    recording: str


class HomeLocked(Exception):
    """Another server runs on this home; the message is its process id."""


def take(home: Path) -> IO[str]:
    """Lock `home`. Raises HomeLocked, or OSError where the home cannot be written."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = open(home / "server.pid", "a+")
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:
            lock.seek(0)
            pid = lock.read().strip() or "?"
            # The children of a supervisor that was killed hold the lock for the moment they need to finish.
            if (pid.isdigit() and _alive(int(pid))) or time.monotonic() > deadline:
                lock.close()
                raise HomeLocked(pid) from None
            time.sleep(0.05)


def announce(lock: IO[str], home: Path, server: RunningServer) -> None:
    """Write down where the server listens. Raises OSError where the home cannot be written."""
    (home / "server.json").write_text(json.dumps(asdict(server)) + "\n")
    # Past the file's buffer: what could not be written would be tried again when it is closed.
    os.ftruncate(lock.fileno(), 0)
    os.write(lock.fileno(), f"{server.pid}\n".encode())


def release(lock: IO[str], home: Path) -> None:
    """Say that no server runs any more."""
    with suppress(OSError):
        (home / "server.json").unlink()
    with suppress(OSError):
        os.ftruncate(lock.fileno(), 0)
    lock.close()


def running_server(home: Path) -> RunningServer | None:
    """Give the server that has `home` locked, or None."""
    try:
        with open(home / "server.pid") as file:
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return None
            pid = int(file.read().strip() or 0)
        server = RunningServer(**json.loads((home / "server.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return server if server.pid == pid else None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
