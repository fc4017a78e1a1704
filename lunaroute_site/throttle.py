"""How often somebody may guess."""

from collections import OrderedDict, deque
from collections.abc import Callable
from time import monotonic

# Failures within so many seconds, after which one waits; and the most addresses that are remembered.
FAILURES, WITHIN, ADDRESSES = 5, 60.0, 10_000


class Throttle:
    """Failures of each address, in this process. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def failed(self, address: str) -> None:
        """Note a failure."""
        failures = self._failures.setdefault(address, deque(maxlen=FAILURES))
        self._failures.move_to_end(address)
        failures.append(self._clock())
        while len(self._failures) > ADDRESSES:
            self._failures.popitem(last=False)

    def wait(self, address: str) -> float:
        """Give the seconds until `address` may try again; 0.0: now."""
        failures = self._failures.get(address)
        if failures is None or len(failures) < FAILURES:
            return 0.0
        return max(failures[0] + WITHIN - self._clock(), 0.0)
