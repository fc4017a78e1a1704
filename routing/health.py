"""A provider's rate of success over the last while. Times are seconds of any clock that does not go back."""

UNKNOWN, HEALTHY, DEGRADED, UNHEALTHY = "unknown", "healthy", "degraded", "unhealthy"


class Health:
    """Counts by the second, for `window_secs` of them: what is older no longer counts."""

    __slots__ = ("_bad", "_good", "_healthy", "_least", "_second", "_size", "_unhealthy")

    def __init__(
        self,
        window_secs: float = 60,
        healthy_threshold: float = 0.95,
        unhealthy_threshold: float = 0.75,
        min_requests: int = 10,
    ) -> None:
        self._size = max(int(window_secs), 1)
        self._healthy, self._unhealthy, self._least = healthy_threshold, unhealthy_threshold, min_requests
        self._good, self._bad = [0] * self._size, [0] * self._size
        self._second = 0  # the newest that is counted

    def record(self, is_good: bool, now: float) -> None:
        """Count a request that ended at `now`."""
        second = int(now)
        if second != self._second:
            self._forget(second)
        (self._good if is_good else self._bad)[self._second % self._size] += 1

    def _forget(self, second: int) -> None:
        for passed in range(max(self._second + 1, second - self._size + 1), second + 1):
            self._good[passed % self._size] = self._bad[passed % self._size] = 0
        self._second = max(second, self._second)

    def counts(self, now: float) -> tuple[int, int]:
        """Give how many succeeded and how many failed."""
        self._forget(int(now))
        return sum(self._good), sum(self._bad)

    def rate(self, now: float) -> float | None:
        """Give the share that succeeded, or None where there was no request."""
        good, bad = self.counts(now)
        return good / (good + bad) if good + bad else None

    def status(self, now: float) -> str:
        """Say how the provider fares; UNKNOWN from too few requests."""
        good, bad = self.counts(now)
        if good + bad < self._least:
            return UNKNOWN
        rate = good / (good + bad)
        if rate >= self._healthy:
            return HEALTHY
        return UNHEALTHY if rate < self._unhealthy else DEGRADED
