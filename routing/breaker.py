"""A provider's circuit breaker: after some failures in a row nobody is sent there for a while, then one at a time.

Sans-io: `now` is a monotonic clock's reading, in seconds.
"""

from collections.abc import Callable
from math import inf

CLOSED, OPEN, HALF_OPEN = 0, 1, 2  # also the values of the metric
STATES = ("closed", "open", "half_open")


class Breaker:
    """Closed until `failure_threshold` failures in a row; then open for `timeout_secs`; then half-open, where one
    request at a time is let through as a probe, until `success_threshold` of them succeed (closed) or one fails (open).

    `begin` lets a request through and gives its turn, which the verdict on it names. A verdict counts only while the
    breaker is in the state in which the turn was given: an answer to a request from before the breaker opened neither
    closes it nor keeps it open. Each probe's turn must end with one of `succeeded`, `failed` and `cancelled`.
    `on_change(before, after)` is told each change of state.
    """

    __slots__ = (
        "_changed_at",
        "_failure_threshold",
        "_on_change",
        "_probing",
        "_success_threshold",
        "_successes",
        "_timeout",
        "_turn",
        "failures",
        "state",
    )

    def __init__(
        self,
        failure_threshold: int = 3,
        timeout_secs: float = 30,
        success_threshold: int = 2,
        on_change: Callable[[int, int], None] | None = None,
    ) -> None:
        self._failure_threshold, self._timeout, self._success_threshold = (
            failure_threshold,
            timeout_secs,
            success_threshold,
        )
        self._on_change = on_change
        self.state = CLOSED
        self.failures = 0  # in a row
        self._successes = 0  # of probes, in a row
        self._probing = False
        self._turn = 1  # a new one for each state and each probe
        self._changed_at = -inf

    def allows(self, now: float) -> bool:
        """Whether `begin` would let a request through."""
        if self.state == CLOSED:
            return True
        return not self._probing if self.state == HALF_OPEN else now >= self.opens_at

    @property
    def opens_at(self) -> float:
        """When the next request may go through, on the same clock; -inf where one may at once."""
        return self._changed_at + self._timeout if self.state == OPEN else -inf

    def begin(self, now: float) -> int | None:
        """Let a request through and give its turn, or None where it may not go."""
        if self.state == CLOSED:
            return self._turn
        if not self.allows(now):
            return None
        if self.state == OPEN:
            self._change(HALF_OPEN, now)
        self._turn += 1
        self._probing = True
        return self._turn

    def succeeded(self, turn: int, now: float) -> int:
        """The request was served. Gives the failures in a row that this ended, for `broke`."""
        if turn != self._turn:
            return 0
        if self.state == CLOSED:
            ended, self.failures = self.failures, 0
            return ended
        self._end_probe()
        self._succeed(now)
        return 0

    def failed(self, turn: int, now: float) -> None:
        """The request was not served, by the provider's fault."""
        if turn == self._turn:
            self._fail(now)

    def broke(self, turn: int, ended: int, now: float) -> None:
        """The request of which `succeeded` gave `ended` failed after all: its answer broke off in the middle.

        What it had ended goes on, so a provider that begins every answer and finishes none is found out too.
        """
        if turn == self._turn and self.state == CLOSED:
            self.failures += ended
            self._fail(now)

    def cancelled(self, turn: int) -> None:
        """No verdict: another request may be the probe."""
        if turn == self._turn and self.state == HALF_OPEN:
            self._end_probe()

    def observed(self, ok: bool, begun: float, now: float) -> None:
        """Take the verdict on a request that did not ask to be let through, and went out at `begun`.

        An open breaker takes it once its time is over, as it would a probe's; what went out before the last change of
        state counts for nothing.
        """
        if begun < self._changed_at or now < self.opens_at:
            return
        if self.state == OPEN:
            self._change(HALF_OPEN, now)
        if not ok:
            self._fail(now)
        elif self.state == HALF_OPEN:
            self._succeed(now)
        else:
            self.failures = 0

    def follow(self, until: float) -> None:
        """Be open until then, because another process has found the provider out. Nobody is told."""
        if self.state == CLOSED:
            self.state = OPEN
        if self.state == OPEN:
            self._changed_at = max(self._changed_at, until - self._timeout)
            self._end_probe()

    def mute(self) -> None:
        """Tell no more changes: another breaker is in its place."""
        self._on_change = None

    def _succeed(self, now: float) -> None:
        self._successes += 1
        if self._successes >= self._success_threshold:
            self._change(CLOSED, now)

    def _fail(self, now: float) -> None:
        self.failures += 1
        if self.state == HALF_OPEN or self.failures >= self._failure_threshold:
            self._change(OPEN, now)

    def _end_probe(self) -> None:
        self._turn += 1
        self._probing = False

    def _change(self, state: int, now: float) -> None:
        before, self.state = self.state, state
        self._changed_at = now
        self._end_probe()
        self._successes = 0
        if state == CLOSED:
            self.failures = 0
        if self._on_change is not None:
            self._on_change(before, state)
