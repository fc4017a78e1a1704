"""`/metrics`, and what is read from the data plane when it is asked for: the recorder's queue, and WebSockets."""

from collections.abc import Iterable, Iterator

from django.http import HttpRequest, HttpResponse
from django_prometheus.exports import ExportToDjangoView
from prometheus_client import REGISTRY, CollectorRegistry, disable_created_metrics
from prometheus_client import exposition as text
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from lunaroute_site.peers import Peers, merged
from proxy.state import State

# When a counter began is nothing that anybody asks for, and would be half of the lines.
disable_created_metrics()

OPENMETRICS = "application/openmetrics-text"

# The other web processes of this server, where there may be some.
peers: Peers | None = None


def metrics(request: HttpRequest) -> HttpResponse:
    """Give all metrics of this server: as OpenMetrics, with exemplars, to a scraper that accepts that."""
    accepted = request.headers.get("Accept", "")
    if peers is None and OPENMETRICS not in accepted:
        return ExportToDjangoView(request)
    registry = REGISTRY if peers is None else _Gathered([peers.tell(), *peers.gather()])
    encode, content_type = choose_encoder(accepted) if OPENMETRICS in accepted else _PLAIN
    return HttpResponse(encode(registry), content_type=content_type)


_PLAIN = (text.generate_latest, text.CONTENT_TYPE_LATEST)


class _Gathered(CollectorRegistry):
    """The metrics of several processes."""

    def __init__(self, parts: list[bytes]) -> None:
        super().__init__()
        self._parts = parts

    def collect(self) -> Iterator[Metric]:
        """Give them."""
        return merged(self._parts)


class DataPlaneCollector(Collector):
    """What `state` holds for the recorder, and its WebSockets."""

    def __init__(self, state: State) -> None:
        self._state = state

    def collect(self) -> Iterable[Metric]:
        """Give the values of this moment. Runs beside the event loop, and so only reads."""
        link, sockets = self._state.link, self._state.sockets
        if link is not None:
            yield _gauge("recorder_queue_bytes", "Bytes that wait for the recorder", link.held)
            yield _counter("recorder_dropped", "Exchanges recorded without their text, or not at all", link.dropped)
            yield _gauge(
                "recorder_aside",
                "Exchanges that cannot be written while others can, and are tried again",
                link.trouble.aside,
            )
            yield _gauge(
                "recorder_lag_seconds",
                "For how long the exchange has waited that ended first",
                link.seconds_behind(),
            )
        yield _counter("ws_connections_opened", "WebSockets that a provider accepted", sockets.opened)
        yield _counter("ws_connections_closed", "WebSockets that have ended", sockets.closed)
        yield _counter("ws_frames", "Frames on WebSockets, both ways", sockets.frames)


def watch(state: State) -> None:
    """Let `/metrics` show the data plane whose state this is. Once in a process."""
    REGISTRY.register(DataPlaneCollector(state))


def gather(of: Peers) -> None:
    """Let `/metrics` show those of the other web processes too."""
    global peers
    peers = of


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"lunaroute_{name}", text, value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"lunaroute_{name}", text, value)
