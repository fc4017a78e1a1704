"""How each provider fares: its circuit breaker, its health, whether it rests, what is left of its limits.

One board for a process. Requests are told in the event loop; pages read, and a person may reset, from other threads:
each step is a single assignment or call that Python does not interrupt, so nobody waits for a lock.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from routing.breaker import CLOSED, NAMES, Breaker
from routing.health import Health
from routing.limits import Quota, quotas_of, rest_after

# Why another provider is asked, by the status of the answer.
RATE_LIMITED, OVERLOADED, SERVER_ERROR = "rate_limited", "overloaded", "server_error"
# Why a provider is not asked.
RESTING, CIRCUIT_OPEN = "resting", "circuit open"
# Statuses after which a provider rests.
_RESTS = (429, 529)


@dataclass(frozen=True, slots=True)
class Settings:
    """Of breakers and health, for all providers. Times are seconds."""

    failure_threshold: int = 3
    timeout_secs: float = 30
    success_threshold: int = 2
    window_secs: float = 60
    healthy_threshold: float = 0.95
    unhealthy_threshold: float = 0.75
    min_requests: int = 10


@dataclass(frozen=True, slots=True)
class Rest:
    """A provider is left alone. `until` is seconds since the epoch; `times`: how often it refused in a row."""

    until: float
    why: str
    times: int = 1


@dataclass(frozen=True, slots=True)
class ProviderStatus:
    """How a provider fares, for people. Times are seconds since the epoch."""

    name: str
    breaker: str  # closed, open or half_open
    health: str
    success_rate: float | None
    requests: int  # in the window
    rest: Rest | None
    quotas: tuple[Quota, ...]
    is_available: bool


class Listener:
    """Who hears what happens on a board; metrics do. Called in the event loop."""

    def breaker_changed(self, provider: str, before: str, after: str) -> None:
        """A circuit breaker has changed its state."""

    def rate_limited(self, provider: str, seconds: float) -> None:
        """A provider refused for its limits, and rests."""

    def rests_changed(self) -> None:
        """A provider has begun to rest, or ended."""


@dataclass(slots=True)
class _Entry:
    breaker: Breaker
    health: Health
    rest: Rest | None = None
    refused: int = 0  # times in a row
    quotas: tuple[Quota, ...] = field(default=())


class Ticket:
    """One request to a provider. Exactly one of its methods counts, the first."""

    __slots__ = ("_board", "_entry", "_generation", "_is_done", "_name", "_rest_base")

    def __init__(self, board: "Board", name: str, entry: _Entry, generation: int, rest_base: float) -> None:
        self._board, self._name, self._entry, self._generation = board, name, entry, generation
        self._rest_base = rest_base
        self._is_done = False

    def answered(self, status: int, headers: Mapping[str, str]) -> str:
        """Take the answer's head (names in lower case). Gives why another provider should be asked, or ""."""
        if status in _RESTS:
            reason = RATE_LIMITED if status == 429 else OVERLOADED
        else:
            reason = SERVER_ERROR if status >= 500 else ""
        if not self._is_done:
            self._is_done = True
            self._board._answered(self._name, self._entry, self._generation, status, headers, self._rest_base)
        return reason

    def failed(self, kind: str) -> str:
        """There was no answer: `kind` says why. Gives it back."""
        if not self._is_done:
            self._is_done = True
            self._board._ended(self._entry, self._generation, False)
        return kind

    def cancelled(self) -> None:
        """Nothing came of it, and the provider is not to blame."""
        if not self._is_done:
            self._is_done = True
            self._entry.breaker.cancelled(self._generation)


class Board:
    """All providers of a process by name. `clock` never goes back; `wall` is seconds since the epoch."""

    def __init__(
        self,
        settings: Settings | None = None,
        listener: Listener | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.settings, self._listener = settings or Settings(), listener or Listener()
        self._clock, self._wall = clock, wall
        self._entries: dict[str, _Entry] = {}

    def _entry(self, name: str) -> _Entry:
        entry = self._entries.get(name)
        if entry is None:
            s = self.settings
            breaker = Breaker(s.failure_threshold, s.timeout_secs, s.success_threshold, partial(self._told, name))
            health = Health(s.window_secs, s.healthy_threshold, s.unhealthy_threshold, s.min_requests)
            entry = self._entries.setdefault(name, _Entry(breaker, health))
        return entry

    def _told(self, name: str, before: int, after: int) -> None:
        self._listener.breaker_changed(name, NAMES[before], NAMES[after])

    # -- requests ----------------------------------------------------------------------------------------------

    def ask(self, name: str, force: bool = False, rest_base: float = 60) -> Ticket | None:
        """Give a ticket for a request to `name`, or None while it rests or its breaker lets none through.

        With `force` it is asked all the same. `rest_base`: seconds of its first rest, where it does not say how long.
        """
        entry = self._entry(name)
        if not force and self._rests(entry):
            return None
        generation = entry.breaker.begin(self._clock())
        if generation is None:
            if not force:
                return None
            generation = entry.breaker.generation
        return Ticket(self, name, entry, generation, rest_base)

    def is_available(self, name: str) -> bool:
        """Tell whether `ask` would give a ticket."""
        entry = self._entries.get(name)
        return entry is None or (not self._rests(entry) and entry.breaker.allows(self._clock()))

    def why_not(self, name: str) -> str:
        """Say why `ask` gave none."""
        return RESTING if self._rests(self._entry(name)) else CIRCUIT_OPEN

    def soonest(self, names: Sequence[str]) -> str:
        """Give the one of `names` that will be available first."""
        return min(names, key=self._back_in)

    def _back_in(self, name: str) -> float:
        entry = self._entry(name)
        rest = max(entry.rest.until - self._wall(), 0.0) if entry.rest is not None else 0.0
        closed = entry.breaker.state == CLOSED
        return max(rest, 0.0 if closed else entry.breaker.opens_at() - self._clock())

    def note(self, name: str, ok: bool) -> None:
        """Count a request that no rule routed: such a one is never refused."""
        entry = self._entry(name)
        generation = entry.breaker.begin(self._clock())
        self._ended(entry, entry.breaker.generation if generation is None else generation, ok)

    def _ended(self, entry: _Entry, generation: int, is_good: bool) -> None:
        now = self._clock()
        entry.health.record(is_good, now)
        if is_good:
            entry.breaker.succeeded(generation)
        else:
            entry.breaker.failed(generation, now)

    def _answered(
        self, name: str, entry: _Entry, generation: int, status: int, headers: Mapping[str, str], rest_base: float
    ) -> None:
        quotas = quotas_of(headers, self._wall())
        if quotas:
            entry.quotas = quotas
        if status not in _RESTS:
            self._ended(entry, generation, status < 500)
            if status < 400 and entry.rest is not None:
                entry.rest = None
                self._listener.rests_changed()
            if status < 400:
                entry.refused = 0
            return
        # Limits say nothing of whether the provider works.
        entry.breaker.cancelled(generation)
        seconds = rest_after(status, headers, self._wall(), entry.refused, rest_base)
        until = self._wall() + seconds
        if self._rests(entry):
            until = max(until, entry.rest.until)  # others of the same moment refused for longer
        else:
            entry.refused += 1
        entry.rest = Rest(until, RATE_LIMITED if status == 429 else OVERLOADED, entry.refused)
        self._listener.rate_limited(name, seconds)
        self._listener.rests_changed()

    def _rests(self, entry: _Entry) -> bool:
        return entry.rest is not None and entry.rest.until > self._wall()

    # -- people ------------------------------------------------------------------------------------------------

    def status(self, name: str) -> ProviderStatus:
        """Say how a provider fares."""
        entry, now = self._entry(name), self._clock()
        good, bad = entry.health.counts(now)
        return ProviderStatus(
            name, NAMES[entry.breaker.state], entry.health.status(now), entry.health.rate(now), good + bad,
            entry.rest if self._rests(entry) else None, entry.quotas, self.is_available(name),
        )  # fmt: skip

    def breaker_state(self, name: str) -> int:
        """Give the breaker's state as its metric shows it."""
        return self._entry(name).breaker.state

    def names(self) -> list[str]:
        """Give the providers that were ever asked."""
        return list(self._entries)

    def reset(self, name: str) -> None:
        """Close the breaker and end the rest, because a person says so."""
        entry = self._entry(name)
        entry.breaker.reset()
        entry.refused = 0
        if entry.rest is not None:
            entry.rest = None
            self._listener.rests_changed()

    def rests(self) -> dict[str, Rest]:
        """Give who rests now, to be kept over a restart."""
        return {name: entry.rest for name, entry in list(self._entries.items()) if self._rests(entry)}

    def restore(self, rests: Mapping[str, Rest]) -> None:
        """Take up what `rests` gave before a restart."""
        for name, rest in rests.items():
            entry = self._entry(name)
            entry.rest, entry.refused = rest, rest.times
