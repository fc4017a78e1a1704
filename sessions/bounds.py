"""Memory of what was seen, within bounds: a session may go on for ever."""

from itertools import islice
from typing import Any


def keep(known: dict[Any, Any], most: int) -> None:
    """Forget the oldest of `known` where it has more than `most`: seldom, and many at once."""
    if len(known) > most:
        for key in list(islice(known, len(known) - most * 3 // 4)):
            del known[key]
