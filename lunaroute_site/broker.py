"""Celery's messages: in a directory of the home, or in a Redis. The directory is kept small and free of what is damaged.

kombu's filesystem transport never removes the messages of queues that nobody reads, nor the bindings of such queues; it moves
what it takes to the system's temporary directory, or keeps it for good; and a binding or message whose writing was cut off
fails every reader after it. So bindings are made anew at each start, what is taken stays in the home, and what is old goes.
"""

import os
import time
from contextlib import suppress
from pathlib import Path

# Seconds after which what lies there is of no use to anybody: schedules send again.
MAX_AGE, KEEP_TAKEN = 2 * 24 * 3600, 600


def options(home: Path, redis_url: str | None) -> dict[str, object]:
    """Give Celery's settings for its broker."""
    if redis_url:
        return {
            "broker_url": redis_url,
            "broker_connection_retry_on_startup": True,
            "broker_connection_max_retries": None,  # a Redis may be away for a night
            "broker_transport_options": {"socket_keepalive": True},
        }
    folder = home / "broker"
    return {
        "broker_url": "filesystem://",
        "broker_transport_options": {
            "data_folder_in": str(folder),
            "data_folder_out": str(folder),
            "control_folder": str(folder / "control"),
            "store_processed": True,  # else by way of /tmp
            "processed_folder": str(folder / "taken"),
        },
    }


def prepare(home: Path, redis_url: str | None) -> None:
    """Make the directories, and throw away what an earlier worker left that a new one makes again."""
    folder = home / "broker"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    if redis_url:  # the schedule alone lies there
        return
    for directory in (folder / "control", folder / "taken"):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
    for path in (*(folder / "control").iterdir(), *(folder / "taken").iterdir(), *folder.glob("beat-schedule*")):
        path.unlink(missing_ok=True)
    for path in folder.glob("*.msg"):
        with suppress(OSError):
            if not path.stat().st_size:
                path.unlink()
    sweep(home, time.time())


def sweep(home: Path, now: float) -> None:
    """Remove messages that were taken, or that nobody has taken for days. `now` is in seconds since the epoch."""
    for directory, age in ((home / "broker" / "taken", KEEP_TAKEN), (home / "broker", MAX_AGE)):
        with suppress(OSError), os.scandir(directory) as entries:
            for entry in entries:
                with suppress(OSError):
                    if entry.name.endswith(".msg") and entry.stat().st_mtime < now - age:
                        os.unlink(entry.path)
