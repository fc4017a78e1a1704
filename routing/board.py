"""What this process knows of each provider: breaker, health, rest and quotas, and who may be asked now.

The board outlives a change of rules and providers. It is sans-io but for its two clocks. The event loop that carries
requests writes; other threads (pages, metrics) may call `states`, `rests`, `restore_rests` and `reset` meanwhile: there are
no locks, each of these reads or replaces whole objects in single steps, and a verdict that comes at the same instant as
a `reset` may fall on either side of it.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Protocol

from routing.breaker import CLOSED, HALF_OPEN, OPEN, STATES, Breaker
from routing.health import Health
from routing.limits import OVERLOADED, RATE_LIMITED, Headers, Quota, limit_headers, quotas_of, rest_after, retry_after
from routing.strategies import Rotation

# Errors of proxy.capture.End that are the provider's or the way's to it. All others say nothing about it.
FAILURES = ("upstream_connect", "upstream_timeout", "upstream_reset", "upstream_broken")
# How long a rest kept from before may last, in seconds: the clock may have been set meanwhile.
_LONGEST_REST = 86_400.0
# Seconds that who hears of an open breaker waits beyond its time: who opened it tries first, and says how that went. So one
# request goes to a provider that may still fail, and not one of each process.
LATER = 1.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Of every breaker and health (the configuration's `routing.circuit_breaker` and `routing.health`)."""

    failure_threshold: int = 3
    timeout_secs: float = 30
    success_threshold: int = 2
    window_secs: float = 60
    healthy_threshold: float = 0.95
    unhealthy_threshold: float = 0.75
    min_requests: int = 10


@dataclass(frozen=True, slots=True)
class Rest:
    """A provider that has met a limit is left alone until `until`.

    Inside the board that is a reading of its monotonic clock; in `rests` and `restore_rests` seconds since the epoch.
    """

    until: float
    why: str  # in words
    limits: int = 1  # met in a row, with no answer between them
    since: float = -inf  # on the monotonic clock


@dataclass(frozen=True, slots=True)
class ProviderStatus:
    """A provider as pages and API show it. Times are seconds since the epoch, None where there is none."""

    name: str
    out: str  # why it is not asked now: "resting", "breaker_open", "probing"; "" where it is
    breaker: str  # "closed", "open" or "half_open"
    breaker_until: float | None  # when an open one lets the next request through
    health: str  # "healthy", "degraded", "unhealthy" or "unknown"
    success_rate: float | None  # 0 to 1, in the window
    rest_until: float | None
    rest_why: str
    quotas: tuple[Quota, ...]  # as it last told them
    quotas_at: float | None  # when that was
    served: int  # since the process began, as the next two
    failed: int
    limited: int  # 429 and 529


class Listener(Protocol):
    """Who is told what happens on the board (routing.metrics)."""

    def breaker_changed(self, provider: str, before: int, after: int) -> None:
        """The breaker went from one state to another (values of routing.breaker)."""

    def rate_limited(self, provider: str, seconds: float) -> None:
        """The provider answered 429 or 529, and is left alone for so long."""


class _Nobody:
    def breaker_changed(self, provider: str, before: int, after: int) -> None: ...

    def rate_limited(self, provider: str, seconds: float) -> None: ...


@dataclass(slots=True)
class _Entry:
    name: str
    breaker: Breaker
    health: Health
    rest: Rest | None = None  # stays when it is over, for its `limits`, until an answer is good
    said: tuple[tuple[tuple[bytes, bytes], ...], float] = ((), 0.0)  # the last headers about quotas, and when
    served: int = 0
    failed: int = 0
    limited: int = 0


@dataclass(slots=True)
class Board:
    """Of all providers, by name. `clock` is monotonic and `wall` is since the epoch, both in seconds."""

    settings: Settings = Settings()
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    tell: Listener = field(default_factory=_Nobody)
    # Told a name: what `rests` or `trips` says of it is new.
    on_rest_changed: Callable[[str], None] | None = None
    on_trip_changed: Callable[[str], None] | None = None
    # Whose turn it is by each rule: here, because this too outlives a change of other rules (routing.router).
    rotations: dict[tuple[str, tuple[str, ...], tuple[int, ...]], Rotation] = field(default_factory=dict)
    _entries: dict[str, _Entry] = field(default_factory=dict)
    _followed: frozenset[tuple[str, str]] = frozenset()  # what other processes had found out when last heard of

    def ask(self, name: str, force: bool = False, backoff_base_secs: float = 60) -> "Ticket | None":
        """Take a ticket to ask `name`, or None while it rests, its breaker is open, or its one probe is under way.

        With `force` there always is one; where the breaker would not have let it through, it does not count as its
        probe. A ticket must be ended: `cancelled` in a ``finally`` does no harm after the others.
        """
        entry, now = self._entry(name), self.clock()
        rest = entry.rest
        if not force and rest is not None and rest.until > now:
            return None
        turn = entry.breaker.begin(now)
        if turn is None and not force:
            return None
        return Ticket(self, entry, turn, now, backoff_base_secs)

    def available(self, name: str) -> bool:
        """Whether `ask` would give a ticket, without taking one."""
        entry = self._entries.get(name)
        return entry is None or not self._out(entry, self.clock())

    def why_out(self, name: str) -> str:
        """Say why `ask` would give None: "resting", "breaker_open", "probing"; "" where it would not."""
        entry = self._entries.get(name)
        return self._out(entry, self.clock()) if entry is not None else ""

    def soonest(self, names: Sequence[str]) -> str:
        """Give the one of `names` (not empty) that may be asked first; of equal ones, the first."""
        now = self.clock()
        return min(names, key=lambda name: self._wait(name, now))

    def note(self, name: str, ok: bool, begun: float = inf) -> None:
        """Take the verdict on a request that went to `name` without a ticket (plain passthrough).

        `begun` is when it went out, on the board's clock; without it, it counts as just now.
        """
        entry, now = self._entries.get(name) or self._entry(name), self.clock()
        entry.health.record(ok, now)
        if ok:
            entry.served += 1
        else:
            entry.failed += 1
        breaker = entry.breaker
        if not ok or breaker.failures or breaker.state != CLOSED:
            breaker.observed(ok, begun, now)

    def states(self) -> tuple[ProviderStatus, ...]:
        """Give all providers that the board has heard of."""
        return tuple([self.state(name) for name in list(self._entries)])

    def state(self, name: str) -> ProviderStatus:
        """Give what is known of one provider: of a name never asked, that nothing is."""
        now, wall = self.clock(), self.wall()
        entry = self._entries.get(name) or self._new(name)
        rest, breaker = entry.rest, entry.breaker
        resting = rest if rest is not None and rest.until > now else None
        headers, said_at = entry.said
        return ProviderStatus(
            name=name,
            out=self._out(entry, now),
            breaker=STATES[breaker.state],
            breaker_until=wall + max(breaker.opens_at - now, 0) if breaker.state == OPEN else None,
            health=entry.health.status(now),
            success_rate=entry.health.rate(now),
            rest_until=wall + resting.until - now if resting else None,
            rest_why=resting.why if resting else "",
            quotas=quotas_of(headers, said_at),
            quotas_at=said_at if headers else None,
            served=entry.served,
            failed=entry.failed,
            limited=entry.limited,
        )

    def reset(self, name: str) -> None:
        """Close the breaker of `name` and end its rest. What is under way has no more say on the old breaker."""
        entry = self._entries.get(name)
        if entry is None:
            return
        old, entry.breaker = entry.breaker, self._breaker(name)
        old.mute()
        if old.state != CLOSED:
            self._breaker_changed(name, old.state, CLOSED)
        self._set_rest(entry, None)

    def keep(self, names: Iterable[str]) -> None:
        """Forget all providers but `names`, and the rotations of others: they are no more."""
        kept = set(names)
        for name in list(self._entries):
            if name not in kept:
                self._entries.pop(name, None)
        for key in list(self.rotations):
            if not kept.issuperset(key[1]):
                self.rotations.pop(key, None)

    def rests(self) -> dict[str, Rest]:
        """Give the rests under way, in seconds since the epoch, to be kept over a restart."""
        now, wall = self.clock(), self.wall()
        resting = [(name, entry.rest) for name, entry in list(self._entries.items())]
        return {
            name: Rest(wall + rest.until - now, rest.why, rest.limits)
            for name, rest in resting
            if rest is not None and rest.until > now
        }

    def restore_rests(self, rests: Mapping[str, Rest]) -> None:
        """Take up what `rests` gave, here before a restart or in another process, where it is longer than what is known."""
        now, wall = self.clock(), self.wall()
        for name, kept in rests.items():
            until = now + min(kept.until - wall, _LONGEST_REST)
            entry = self._entry(name)
            rest = entry.rest
            if until > now and (rest is None or until > rest.until):
                entry.rest = Rest(until, kept.why, kept.limits, now)

    def trips(self) -> dict[str, float]:
        """Give which breakers are open, and until when (seconds since the epoch), for other processes."""
        now, wall = self.clock(), self.wall()
        return {
            name: wall + entry.breaker.opens_at - now
            for name, entry in list(self._entries.items())
            if entry.breaker.state == OPEN and entry.breaker.opens_at > now
        }

    def follow(self, rests: Mapping[str, Rest], trips: Mapping[str, float]) -> None:
        """Take up what all processes have found out: `rests` and `trips` of each. What is gone of it is over here, too."""
        told = {("rest", name) for name in rests} | {("trip", name) for name in trips}
        for what, name in self._followed - told:
            entry = self._entries.get(name)
            if entry is None:
                continue
            if what == "rest":
                entry.rest = None
            elif entry.breaker.state != CLOSED:
                entry.breaker.mute()
                entry.breaker = self._breaker(name)
        self._followed = frozenset(told)
        self.restore_rests(rests)
        now, wall = self.clock(), self.wall()
        for name, until in trips.items():
            at = now + min(until - wall, self.settings.timeout_secs)
            breaker = self._entry(name).breaker
            if at > now and not (breaker.state == OPEN and breaker.opens_at > at - LATER):
                breaker.follow(at + LATER)

    def _entry(self, name: str) -> _Entry:
        return self._entries.get(name) or self._entries.setdefault(name, self._new(name))

    def _new(self, name: str) -> _Entry:
        s = self.settings
        health = Health(s.window_secs, s.healthy_threshold, s.unhealthy_threshold, s.min_requests)
        return _Entry(name, self._breaker(name), health)

    def _breaker(self, name: str) -> Breaker:
        s = self.settings
        changed = partial(self._breaker_changed, name)
        return Breaker(s.failure_threshold, s.timeout_secs, s.success_threshold, changed)

    def _breaker_changed(self, name: str, before: int, after: int) -> None:
        self.tell.breaker_changed(name, before, after)
        if self.on_trip_changed is not None and after != HALF_OPEN:
            self.on_trip_changed(name)

    @staticmethod
    def _out(entry: _Entry, now: float) -> str:
        rest = entry.rest  # once: another thread may end it
        if rest is not None and rest.until > now:
            return "resting"
        if entry.breaker.allows(now):
            return ""
        return "breaker_open" if entry.breaker.state == OPEN else "probing"

    def _wait(self, name: str, now: float) -> float:
        entry = self._entries.get(name)
        if entry is None:
            return 0.0
        rest = entry.rest
        return max(rest.until if rest is not None else now, entry.breaker.opens_at, now) - now

    def _limited(self, entry: _Entry, status: int, headers: Headers, begun: float, base: float) -> None:
        """Let a provider rest. Answers to what went out before a rest began tell of the same limit again."""
        now, last = self.clock(), entry.rest
        same = last is not None and begun < last.since
        limits = last.limits + (not same) if last is not None else 1
        seconds = rest_after(status, headers, self.wall(), limits - 1, base)
        until, since = now + seconds, now
        if last is not None and same:
            until, since = max(until, last.until), last.since
        word = "rate limited" if status == RATE_LIMITED else "overloaded"
        entry.limited += 1
        self.tell.rate_limited(entry.name, seconds)
        self._set_rest(entry, Rest(until, f"it answered {status} ({word})", limits, since))

    def _set_rest(self, entry: _Entry, rest: Rest | None) -> None:
        before, entry.rest = entry.rest, rest
        if before != rest and self.on_rest_changed is not None:
            self.on_rest_changed(entry.name)


_PENDING, _SERVED, _ENDED = 0, 1, 2


class Ticket:
    """One request to one provider. The first verdict counts; only an answer that was good may still break off."""

    __slots__ = ("_base", "_begun", "_board", "_breaker", "_ended", "_entry", "_reason", "_stage", "_turn")

    def __init__(self, board: Board, entry: _Entry, turn: int | None, begun: float, base: float) -> None:
        self._board, self._entry, self._breaker = board, entry, entry.breaker
        self._turn, self._begun, self._base = turn, begun, base
        self._stage, self._reason = _PENDING, ""
        self._ended = 0

    @property
    def provider(self) -> str:
        """The provider's name."""
        return self._entry.name

    def answered(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> str:
        """Take the answer's head. Gives why the next provider should be asked instead, or "": this answer stands.

        "rate_limited" is 429: the provider rests, its health suffers, its breaker has no part in it. "overloaded" is 529 (it
        rests too) and 503 (it rests if it says for how long), "server_error" any other from 500 on: all of them count as
        failures. Every other answer is a good one, whatever the client did wrong.
        """
        if self._stage != _PENDING:
            return self._reason
        told = limit_headers(headers)
        if any(b"ratelimit" in name.lower() for name, _ in told):
            self._entry.said = (told, self._board.wall())
        if status == RATE_LIMITED or status >= 500:
            self._stage = _ENDED
            self._refused(status, told)
        else:
            self._stage = _SERVED
            self._served()
        return self._reason

    def failed(self, kind: str) -> str:
        """Take how it failed, as one of FAILURES, which is also what it gives; any other kind is as `cancelled`, and "".

        After a good answer's head it is an answer that broke off, which counts as a failure.
        """
        if kind not in FAILURES:
            self.cancelled()
            return ""
        if self._stage != _ENDED:
            was_served, self._stage = self._stage == _SERVED, _ENDED
            self._fail(was_served)
        return kind

    def cancelled(self) -> None:
        """Nothing can be said: the client left, or nothing was sent."""
        if self._stage == _PENDING:
            self._stage = _ENDED
            self._release()

    def _served(self) -> None:
        entry, now = self._entry, self._board.clock()
        entry.served += 1
        entry.health.record(True, now)
        if self._turn is None:
            self._breaker.observed(True, self._begun, now)
        else:
            self._ended = self._breaker.succeeded(self._turn, now)
        rest = entry.rest
        if rest is not None and self._begun >= rest.since:
            self._board._set_rest(entry, None)

    def _refused(self, status: int, told: tuple[tuple[bytes, bytes], ...]) -> None:
        board, entry = self._board, self._entry
        if status == RATE_LIMITED:
            self._reason = "rate_limited"
            entry.health.record(False, board.clock())
            self._release()
        else:
            self._reason = "overloaded" if status in (OVERLOADED, 503) else "server_error"
            self._fail(was_served=False)
        if status in (RATE_LIMITED, OVERLOADED) or (status == 503 and retry_after(told, board.wall()) is not None):
            board._limited(entry, status, told, self._begun, self._base)

    def _fail(self, was_served: bool) -> None:
        entry, now = self._entry, self._board.clock()
        entry.failed += 1
        entry.health.record(False, now)
        if self._turn is None:
            self._breaker.observed(False, self._begun, now)
        elif was_served:
            self._breaker.broke(self._turn, self._ended, now)
        else:
            self._breaker.failed(self._turn, now)

    def _release(self) -> None:
        if self._turn is not None:
            self._breaker.cancelled(self._turn)
