"""How long a text may take: what takes longer is withheld, so that no text can stop the recording of others.

Every detector is linear and examines a megabyte in well under a second; the limit is for what nobody thought of. It is
looked at between the steps of the work, none of which is long.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

# Of the thread's own processor time: a busy machine withholds nothing.
SECONDS = 2.0
SECONDS_PER_CHARACTER = 4e-6

_local = threading.local()


class TooLongError(Exception):
    """Examining a text takes too long."""


@contextmanager
def limited(characters: int) -> Iterator[None]:
    """Let what is done within take as long as a text of so many characters may. Within another limit, that one holds."""
    if getattr(_local, "deadline", None) is not None:
        yield
        return
    _local.deadline = time.thread_time() + SECONDS + SECONDS_PER_CHARACTER * characters
    try:
        yield
    finally:
        _local.deadline = None


def check() -> None:
    """Raise TooLongError where the time is over."""
    deadline = getattr(_local, "deadline", None)
    if deadline is not None and time.thread_time() > deadline:
        raise TooLongError
