"""A provider's health: the share of its requests that it served, over the last minute.

Sans-io: `now` is a monotonic clock's reading, in seconds.
"""

HEALTHY, DEGRADED, UNHEALTHY, UNKNOWN = "healthy", "degraded", "unhealthy", "unknown"
_BUCKETS = 60


class Health:
    """Counts the served and the failed of the last `window_secs` in sixty buckets, so of a second by default.

    The bucket that is being filled counts as a whole one: what is seen reaches back between 59 and 60 sixtieths of the
    window. At a rate of `healthy` and above the provider is healthy, below `unhealthy` it is unhealthy, between them
    degraded; with fewer than `min_requests` it is unknown.
    """

    __slots__ = ("_bad", "_good", "_healthy", "_min_requests", "_per_sec", "_stamps", "_unhealthy")

    def __init__(
        self, window_secs: float = 60, healthy: float = 0.95, unhealthy: float = 0.75, min_requests: int = 10
    ) -> None:
        self._per_sec = _BUCKETS / window_secs
        self._healthy, self._unhealthy, self._min_requests = healthy, unhealthy, min_requests
        self._stamps = [-1] * _BUCKETS  # which bucket of all time is in its place
        self._good, self._bad = [0] * _BUCKETS, [0] * _BUCKETS

    def record(self, ok: bool, now: float) -> None:
        """Count one request."""
        stamp = int(now * self._per_sec)
        place = stamp % _BUCKETS
        if self._stamps[place] != stamp:
            self._stamps[place] = stamp
            self._good[place] = self._bad[place] = 0
        if ok:
            self._good[place] += 1
        else:
            self._bad[place] += 1

    def counts(self, now: float) -> tuple[int, int]:
        """Give (served, failed) in the window."""
        oldest = int(now * self._per_sec) - _BUCKETS
        places = [place for place, stamp in enumerate(self._stamps) if stamp > oldest]
        return sum(self._good[place] for place in places), sum(self._bad[place] for place in places)

    def rate(self, now: float) -> float | None:
        """Give the share that was served, from 0 to 1, or None where nothing was asked."""
        good, bad = self.counts(now)
        return good / (good + bad) if good + bad else None

    def status(self, now: float) -> str:
        """Give HEALTHY, DEGRADED, UNHEALTHY or UNKNOWN."""
        good, bad = self.counts(now)
        if not good + bad or good + bad < self._min_requests:
            return UNKNOWN
        rate = good / (good + bad)
        if rate >= self._healthy:
            return HEALTHY
        return UNHEALTHY if rate < self._unhealthy else DEGRADED
