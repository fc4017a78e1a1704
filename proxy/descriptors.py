"""Which descriptors of this process are for clients and providers: all but some, which LunaRoute's own pages keep.

POSIX gives the lowest number that is free, so a new one tells how many there are, and nothing has to be counted.
"""

import os
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from proxy.errors import NotServed

# Kept for pages, which need a few each (connection, database, files); a quarter where there are few in all.
RESERVE = 128
NO_MORE = "LunaRoute has no more connections to give: its log says why."

# Ends connections of clients that wait (proxy/waiting.py); gives False where there are none.
make_room: Callable[[int], bool] = lambda over: False  # noqa: E731
_pending = 0  # connections that are being made, whose descriptors may not be there yet


def ceiling() -> int:
    """Give the number from which on descriptors are kept for pages."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit - min(RESERVE, limit // 4)


def is_pressing(over: int) -> bool:
    """Tell whether half of those that are kept for pages is in use, too: `over` numbers more than `ceiling`."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2 * over >= min(RESERVE, limit // 4)


def next_number() -> int:
    """Give the number that the next descriptor would have."""
    try:
        number = os.dup(0)
    except OSError:
        return sys.maxsize
    os.close(number)
    return number


@contextmanager
def for_provider() -> Iterator[None]:
    """Make a connection to a provider herein. Raises NotServed where there is no descriptor for it but those of pages."""
    global _pending
    over = min(next_number() - ceiling(), RESERVE) + _pending
    if over >= 0 and not make_room(over):
        raise NotServed(503, "overloaded", NO_MORE)
    _pending += 1
    try:
        yield
    finally:
        _pending -= 1
