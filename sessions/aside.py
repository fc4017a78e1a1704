"""Exchanges that cannot be written while others can: held, tried again now and then, and in nobody's way."""

import errno
from collections import OrderedDict
from dataclasses import dataclass

from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, NotSupportedError, ProgrammingError

from sessions.digest import ENDED, Event

# What a disk says of itself; other errors of files are about one file.
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE}
# PostgreSQL's class of errors for values that are too large for it: an OperationalError, as if the server were in trouble.
_LIMITS = "54"


def is_elsewhere(error: Exception) -> bool:
    """Whether an error says that database or disk are out of order; else it is about what was to be written."""
    if isinstance(error, OSError):
        return error.errno in _DISK
    if isinstance(error, InterfaceError):
        return True
    if not isinstance(error, DatabaseError) or isinstance(error, DataError | IntegrityError | NotSupportedError):
        return False
    state = getattr(error.__cause__, "sqlstate", None)
    if isinstance(error, ProgrammingError):
        return state is not None  # tables or rights are missing; without one, a value was not taken
    return not (state or "").startswith(_LIMITS)


@dataclass(slots=True)
class Kept:
    """What is known of one exchange that waits, and the capture that it is part of."""

    events: list[Event]
    source: object


class Aside:
    """The exchanges that wait, the one that was tried longest ago first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._kept

    def put(self, request_id: str, events: list[Event], source: object) -> None:
        """Let an exchange wait."""
        self._kept[request_id] = Kept(events, source)

    def behind(self, events: list[Event]) -> list[Event]:
        """Put what has come of waiting exchanges behind what waits; gives the other events."""
        if not self._kept:
            return events
        others = []
        for event in events:
            kept = self._kept.get(event.live.begin.request_id)
            (others if kept is None else kept.events).append(event)
        return others

    def take(self, count: int) -> list[tuple[str, Kept]]:
        """Take up to `count` out, to be tried."""
        return [self._kept.popitem(last=False) for _ in range(min(count, len(self._kept)))]

    def holds(self, source: object) -> bool:
        """Whether an exchange of that capture waits."""
        return any(kept.source == source for kept in self._kept.values())

    def ended(self) -> int:
        """Give how many of them were answered."""
        return sum(any(event.what == ENDED for event in kept.events) for kept in self._kept.values())
