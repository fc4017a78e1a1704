"""A circuit breaker: after several failures in a row a provider is left alone for a while, then tried with one request.

Times are seconds of any clock that does not go back.
"""

from collections.abc import Callable

# As the metric shows them.
CLOSED, OPEN, HALF_OPEN = 0, 1, 2
NAMES = ("closed", "open", "half_open")


class Breaker:
    """Closed: all requests pass. Open: none does. Half open, when its time is over: one at a time does, as a probe.

    A request belongs to the state in which it began: what comes of one that began before the breaker opened changes
    nothing any more. `tell(from, to)` hears of transitions.
    """

    __slots__ = (
        "_failures",
        "_opened_at",
        "_probes",
        "_successes",
        "_tell",
        "_threshold",
        "_timeout",
        "_wanted",
        "generation",
        "state",
    )

    def __init__(
        self,
        failure_threshold: int = 3,
        timeout_secs: float = 30,
        success_threshold: int = 2,
        tell: Callable[[int, int], None] = lambda before, after: None,
    ) -> None:
        self._threshold, self._timeout, self._wanted, self._tell = (
            failure_threshold,
            timeout_secs,
            success_threshold,
            tell,
        )
        self.state = CLOSED
        self.generation = 0  # counts the transitions
        self._failures = self._successes = 0
        self._probes = 0  # under way; 0 or 1
        self._opened_at = 0.0

    def allows(self, now: float) -> bool:
        """Tell whether a request would pass."""
        if self.state == OPEN:
            return now >= self._opened_at + self._timeout
        return self.state == CLOSED or not self._probes

    def opens_at(self) -> float:
        """When an open breaker lets a probe through."""
        return self._opened_at + self._timeout

    def begin(self, now: float) -> int | None:
        """Let a request through: gives what its outcome is to be told with, or None where it may not pass."""
        if self.state == CLOSED:
            return self.generation
        if not self.allows(now):
            return None
        if self.state == OPEN:
            self._go(HALF_OPEN)
        self._probes = 1
        return self.generation

    def succeeded(self, generation: int) -> None:
        """The request that began in `generation` was answered."""
        if generation != self.generation:
            return
        if self.state == CLOSED:
            self._failures = 0
        elif self.state == HALF_OPEN:
            self._probes = 0
            self._successes += 1
            if self._successes >= self._wanted:
                self._go(CLOSED)

    def failed(self, generation: int, now: float) -> None:
        """The request that began in `generation` failed."""
        if generation != self.generation:
            return
        if self.state == CLOSED:
            self._failures += 1
            if self._failures < self._threshold:
                return
        elif self.state == OPEN:
            return
        self._opened_at = now
        self._go(OPEN)

    def cancelled(self, generation: int) -> None:
        """The request that began in `generation` came to nothing, which says nothing of the provider."""
        if generation == self.generation and self.state == HALF_OPEN:
            self._probes = 0

    def reset(self) -> None:
        """Close, whatever was."""
        if self.state != CLOSED:
            self._go(CLOSED)
        self._failures = 0

    def _go(self, state: int) -> None:
        before, self.state = self.state, state
        self.generation += 1
        self._failures = self._successes = self._probes = 0
        self._tell(before, state)
