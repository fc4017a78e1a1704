"""Request bodies on their way into the record: the next one of a conversation begins mostly as the one before it."""

from collections import OrderedDict
from collections.abc import Sequence

from routing.session_ids import session_id_of
from sessions.split import Parts, Taken, take_apart

# Conversations whose last body is at hand, and the bytes that all of them may take.
MAX_BODIES, MAX_BYTES = 64, 16 << 20
# Bytes at the beginning of a body by which conversations of one session are told apart.
BEGINNING = 256


class Bodies:
    """Takes bodies apart. Remembers the latest of each conversation, so that only what is new in the next is parsed."""

    def __init__(self) -> None:
        self._latest: OrderedDict[tuple, Taken] = OrderedDict()
        self._size = 0

    def take_apart(self, body: bytes, dialect: str, headers: Sequence[tuple[str, str]]) -> Parts:
        """Give the parts of `body`, which came with `headers`."""
        place = (session_id_of(headers, b""), dialect, body[:BEGINNING])
        before = self._latest.pop(place, None)
        if before is not None:
            self._size -= len(before.body)
        taken = take_apart(body, dialect, before)
        if taken.ends:
            self._latest[place] = taken
            self._size += len(body)
        while len(self._latest) > MAX_BODIES or self._size > MAX_BYTES:
            _, oldest = self._latest.popitem(last=False)
            self._size -= len(oldest.body)
        return taken.parts
