"""How often somebody may guess a token or a password.

Failures are counted for each address, in every web process alike. While an address waits nothing that it gives is looked
at, not even what is right, or guessing would go on; but a token that has come right from there passes, so that neighbours
behind one address, or the programs of one machine, do not shut each other out.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from hashlib import sha256
from threading import Lock
from time import monotonic

from proxy.forwarded import place_of

# Failures within so many seconds, after which one waits; and the most addresses, and proven tokens, that are remembered.
FAILURES, WITHIN, ADDRESSES = 5, 60.0, 10_000


class Throttle:
    """Failures of each address. `clock` gives seconds; `tell` hears what is new: whether a failure, where, and the digest."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = Lock()  # pages run in threads
        self._failures: OrderedDict[str, deque[tuple[float, bytes]]] = OrderedDict()
        self._proven: OrderedDict[tuple[str, bytes], None] = OrderedDict()
        self.tell: Callable[[bool, str, bytes], None] = lambda *news: None

    def failed(self, address: str, given: bytes = b"") -> None:
        """Note a failure. The same wrong token again is no further guess: a client that has an old one sends it all day."""
        self._note(True, place_of(address), _digest(given))

    def passed(self, address: str, given: bytes) -> None:
        """Note that a token is right."""
        self._note(False, place_of(address), _digest(given))

    def _note(self, is_failure: bool, place: str, digest: bytes) -> None:
        if self.hear(is_failure, place, digest):
            self.tell(is_failure, place, digest)

    def hear(self, is_failure: bool, place: str, digest: bytes) -> bool:
        """Take what this process or another one found out; tells whether it is new."""
        if not is_failure and (place, digest) in self._proven:
            return False  # as almost always
        with self._lock:
            return self._failure(place, digest) if is_failure else self._success(place, digest)

    def _failure(self, place: str, guess: bytes) -> bool:
        failures = self._failures.setdefault(place, deque(maxlen=FAILURES))
        now = self._clock()
        if guess and any(known == guess and now < at + WITHIN for at, known in failures):
            return False
        self._failures.move_to_end(place)
        failures.append((now, guess))
        while len(self._failures) > ADDRESSES:
            self._failures.popitem(last=False)
        return True

    def _success(self, place: str, digest: bytes) -> bool:
        self._proven[place, digest] = None
        while len(self._proven) > ADDRESSES:
            self._proven.popitem(last=False)
        return True

    def wait(self, address: str, given: bytes = b"") -> float:
        """Give the seconds until `address` may try again, with the token `given` if it is one; 0.0: now."""
        place = place_of(address)
        failures = self._failures.get(place)
        if failures is None or len(failures) < FAILURES:
            return 0.0
        seconds = max(failures[0][0] + WITHIN - self._clock(), 0.0)
        return 0.0 if seconds and given and (place, _digest(given)) in self._proven else seconds


def _digest(given: bytes) -> bytes:
    return sha256(given).digest() if given else b""


# Of this process; the server lets those of the others hear (lunaroute_site/peers.py).
throttle = Throttle()
