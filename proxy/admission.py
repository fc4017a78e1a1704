"""Whether a request that a provider bills is let in: limits of users, and budgets that refuse."""

from collections.abc import Mapping
from time import time

from proxy import state
from proxy.identity import with_own_project
from proxy.stops import Stop


def stop_of(scope: dict, metadata: Mapping[str, str], counts: bool = True) -> Stop | None:
    """Let a request in and count it, or give why not. `metadata` is what requests to its provider carry; where it does not
    count (the upgrade to a WebSocket, whose requests come later), it is only asked whether one would be let in."""
    current, now = state.current, time()
    if current.meter is not None and (stop := current.meter.admit(scope["owner"], now, counts)) is not None:
        return stop
    if current.stops is None:
        return None
    return current.stops.of(scope["headers"], with_own_project(scope, metadata), now)
