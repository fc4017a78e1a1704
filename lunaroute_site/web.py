"""A web process: sets up the data plane's state and runs Daphne."""

import gc
import socket
import sys
from functools import partial

# Connections of one web process to a PostgreSQL, and seconds that a page waits for one.
POOL, POOL_TIMEOUT = 10, 2


def run(settings, listeners: list[socket.socket], control: socket.socket, has_recorder: bool, number: int = 0) -> None:
    """Serve on `listeners` until told to stop. `settings` is the configuration; `number` is 0 for the only web process."""
    # Pages are rendered in threads; a stream's next chunk should not wait 5 ms for one to yield.
    sys.setswitchinterval(0.001)
    _pool_connections()
    from django.db import connections
    from prometheus_client import REGISTRY

    from lunaroute_site.asgi import application
    from lunaroute_site.metrics import gather, watch
    from lunaroute_site.peers import Peers, packed
    from lunaroute_site.server import Server, reactor
    from lunaroute_site.serving import Serving
    from proxy.link import RecorderLink
    from proxy.meter import Meter
    from proxy.throttle import throttle
    from sessions import metrics
    from sessions.budgets.keeper import Keeper
    from sessions.live_hub import hub
    from team import audit
    from team.limits import Keeper as Limits

    link = RecorderLink(reactor._asyncioEventloop, hub.news) if has_recorder else None
    if link is not None:
        hub.connect(link.watch)
        hub.has_record = settings.session_recording.enabled
        hub.has_layer = bool(settings.redis_url)
        hub.own_listeners.append(metrics.count)
        if settings.session_recording.pii.enabled:
            metrics.expect(settings.session_recording.pii.policy())
    serving = Serving(settings, link, frozenset(listener.getsockname()[:2] for listener in listeners))
    serving.state.tell_unrecorded = metrics.count_unrecorded
    watch(serving.state)
    serving.begin()
    keeper = Keeper(partial(setattr, serving.state, "stops"), hub.look_soon)
    hub.listeners.append(keeper.count)
    keeper.begin()
    limits = None
    if settings.team.enabled:
        serving.state.meter = Meter()
        limits = Limits(serving.state.meter)
        serving.state.tell_wrong_token = audit.wrong_token
        hub.listeners.append(limits.count)
        hub.other_listeners.append(limits.heard)
        limits.begin()
        serving.load_more = limits.look_again
    connections.close_all()
    peers = Peers(reactor._asyncioEventloop, lambda: packed(number, REGISTRY.collect())) if number else None
    if peers is not None:
        gather(peers)
        peers.share(throttle)
    server = Server(application, listeners, control, link, peers)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)  # rarer collections: only an exchange that fails leaves cycles (proxy.exchange)
    server.run()
    keeper.stop()
    if limits is not None:
        limits.stop()


def _pool_connections() -> None:
    """Let the threads in which pages are rendered share connections to a PostgreSQL.

    Each request has a thread of its own: what such a thread kept open would stay open after it. The supervisor, which
    forks, must have no pool: it has threads.
    """
    from django.db import connections

    default = connections.settings["default"]
    if default["ENGINE"] == "django.db.backends.postgresql":
        default["CONN_MAX_AGE"] = 0  # back to the pool after each request
        default["OPTIONS"] = {**default["OPTIONS"], "pool": {"min_size": 1, "max_size": POOL, "timeout": POOL_TIMEOUT}}
