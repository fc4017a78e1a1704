"""Clients that let the server wait: for how long they may, how many connections of one, and which go when descriptors run out.

A connection *waits* as long as no whole request has come on it. Once one has, it works, and neither a bound nor a shortage
ends it. Nothing here has a timer: the server looks at all connections now and then.
"""

from collections import defaultdict
from dataclasses import dataclass
from heapq import nsmallest
from operator import itemgetter
from typing import Protocol

from proxy import descriptors
from proxy.forwarded import Trusted

# What for: for the first head, or the rest of one; for a next request to begin, which counts for no bound; for a body.
UNUSED, KEPT, BODY = range(3)  # in the order in which they go
# Clients of this machine and proxies that speak for many may have this many times more.
MANY = 8
# Connections that go at once, so that not each new one has all the others looked at.
AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds, bytes per second, and connections of one client."""

    head: float = 30  # from a request's first byte, or the connection's begin, to the head's end
    body: float = 30  # in which that many seconds' worth of `rate` have to pass
    rate: float = 1024
    idle: float = 300  # between two requests
    unfinished: int = 128


class Pace:
    """Whether a transfer goes on, by looks at it now and then."""

    __slots__ = ("_moved", "_since")

    def __init__(self) -> None:
        self._since: float | None = None
        self._moved = 0

    def is_too_slow(self, now: float, moved: int, is_awaited: bool, limits: Limits) -> bool:
        """Tell so. `moved` counts bytes since the begin; `is_awaited`: it is the client for whom everybody waits."""
        since = self._since if is_awaited else None
        if since is not None and now - since < limits.body:
            return False
        is_slow = since is not None and moved - self._moved < limits.rate * limits.body
        self._since, self._moved = now if is_awaited else None, moved
        return is_slow


class Waiting(Protocol):
    """A client's connection."""

    def waits(self) -> tuple[int, float] | None:
        """Give what for (UNUSED, KEPT or BODY) and since when, by the loop's clock; None where it works."""

    def client(self) -> str:
        """Give the address that it counts for."""

    def drop(self) -> None:
        """End it for want of room."""

    def look(self, now: float) -> None:
        """End it where it has waited for too long."""


class Room:
    """All connections of clients, by address."""

    def __init__(self, limits: Limits, trusted: Trusted | None = None) -> None:
        self.limits, self._trusted = limits, trusted
        self._connections: dict[str, dict[Waiting, None]] = {}
        self._look_at: dict[str, int] = {}  # connections of a client at which they are looked at again
        self.dropped = 0  # for want of descriptors; one, too, for each time that there was nobody to go
        self.excess = 0  # for a bound

    def __len__(self) -> int:
        return sum(map(len, self._connections.values()))

    def come(self, connection: Waiting, address: str, descriptor: int) -> bool:
        """Take in a connection. False where its descriptor is of those that are kept for pages, and no other can be had."""
        mine = self._connections.setdefault(address, {})
        mine[connection] = None
        if len(mine) > self._look_at.get(address, self._bound(address)):
            self._look(address)
        over = descriptor - descriptors.ceiling()
        return over < 0 or self.make_room(over, connection)

    def gone(self, connection: Waiting, address: str) -> None:
        """Forget a connection."""
        mine = self._connections.get(address)
        if mine is not None:
            mine.pop(connection, None)
            if not mine:
                del self._connections[address]

    def look(self, now: float) -> None:
        """End what has waited for too long, and keep the bounds where connections wait that worked before."""
        self._look_at.clear()
        for address, mine in list(self._connections.items()):
            for connection in list(mine):
                connection.look(now)
            if len(mine) > self._bound(address):
                self._look(address)
        over = descriptors.next_number() - descriptors.ceiling()
        if over >= 0:
            self.make_room(min(over, descriptors.RESERVE))

    def _look(self, address: str) -> None:
        """Drop what is too much of one client, those that have waited longest first."""
        mine = self._connections[address]
        by_client = defaultdict(list)
        for connection in mine:
            if (waits := connection.waits()) is not None and waits[0] != KEPT:
                by_client[connection.client()].append((waits[1], connection))
        spare = self._bound(address)  # as many may come before anybody can have too many again
        for client, found in by_client.items():
            bound, excess = self._bound(client), 0
            if len(found) > bound:
                excess = len(found) - bound + bound // 10  # some more, so that not each further one has all looked at
                for _, connection in nsmallest(excess, found, key=itemgetter(0)):
                    connection.drop()
                self.excess += excess
            spare = min(spare, bound - len(found) + excess)
        self._look_at[address] = len(mine) + spare

    def make_room(self, over: int, but: Waiting | None = None) -> bool:
        """Drop connections that wait, `over` and some more, and not `but`. False where there are none."""
        found: tuple[list, list, list] = ([], [], [])
        for mine in self._connections.values():
            for connection in mine:
                if connection is not but and (waits := connection.waits()) is not None:
                    found[waits[0]].append((waits[1], connection))
        for each in found:
            each.sort(key=itemgetter(0))
        unused, kept, bodies = found
        # Who has come just now may be about to ask for a page: the younger half is spared as long as there is room for pages.
        old = len(unused) // 2
        young = unused[old:] if descriptors.is_pressing(over) else []
        chosen = (unused[:old] + kept + bodies + young)[: max(over, AT_ONCE)]
        for _, connection in chosen:
            connection.drop()
        self.dropped += len(chosen) or 1
        return bool(chosen)

    def _bound(self, address: str) -> int:
        is_many = address in ("127.0.0.1", "::1", "") or (self._trusted is not None and self._trusted.has(address))
        return self.limits.unfinished * (MANY if is_many else 1)
