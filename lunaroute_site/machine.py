"""What the settings take from this machine: its time zone, and the key that signs cookies."""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from zoneinfo import ZoneInfo

import tzlocal


def secret_key(folder: Path) -> str:
    """Read the key in `folder`, or make it. Where that cannot be written it lives as long as the process."""
    path = folder / "secret_key"
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(50))
    key = ""
    with suppress(OSError):
        key = path.read_text().strip()
    return key or secrets.token_urlsafe(50)


def time_zone() -> str:
    """Name the machine's time zone: the directories of recorded sessions are named by its days."""
    with suppress(Exception):  # whatever is wrong with TZ or /etc/localtime, UTC serves
        name = tzlocal.get_localzone_name()
        ZoneInfo(name)
        return name
    return "UTC"
