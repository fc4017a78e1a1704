"""How many requests each user sends in a minute, and who has used up something longer. Whoever knows of users makes these.

A request is counted when it is let in. What other processes let in is told here (`heard`, `elsewhere`), some moments later.
"""

from collections import deque
from collections.abc import Mapping
from math import inf

from proxy.stops import Stop

# Seconds of the window in which requests are counted.
WINDOW = 60.0


class Meter:
    """Of one process. Times are seconds since the epoch, for what it says goes to clients."""

    def __init__(self) -> None:
        self._limits: Mapping[str, int] = {}
        self._default = 0
        self._stops: Mapping[str, Stop] = {}
        self._elsewhere: Mapping[str, int] = {}
        self._seen: dict[str, deque[float]] = {}

    def use(
        self, limits: Mapping[str, int], default: int, stops: Mapping[str, Stop], elsewhere: Mapping[str, int]
    ) -> None:
        """Take what counts from now on: requests a minute by user, for all others (0: any number), who is stopped by something
        else, and how many of the last minute's requests other hosts let in."""
        self._limits, self._default, self._stops, self._elsewhere = limits, default, stops, elsewhere

    def heard(self, user: str, now: float) -> None:
        """Count a request that another process of this host let in."""
        if self._limit(user):
            self._window(user, now).append(now)

    def admit(self, user: str, now: float, counts: bool = True) -> Stop | None:
        """Let a request in and count it, if it `counts`; or give why not."""
        stop = self._stops.get(user)
        if stop is not None and stop.until > now:
            return stop
        limit = self._limit(user)
        if not limit:
            return None
        window = self._window(user, now)
        if len(window) + self._elsewhere.get(user, 0) >= limit:
            until = window[0] + WINDOW if window else now + WINDOW / 10
            return Stop(f"LunaRoute lets {user} send {limit} requests a minute, and these were as many.", until)
        if counts:
            window.append(now)
        return None

    def count(self, user: str, now: float) -> int:
        """Give how many of the last minute's requests are known here."""
        return len(self._window(user, now)) + self._elsewhere.get(user, 0)

    def _limit(self, user: str) -> int:
        return self._limits.get(user, self._default)

    def _window(self, user: str, now: float) -> deque[float]:
        window = self._seen.get(user)
        if window is None:
            window = self._seen[user] = deque()
        # A clock that was set back would leave times of the future here.
        while window and not -inf < now - WINDOW < window[0] <= now:
            window.popleft()
        return window
