"""`/metrics`, and what is read from the data plane when it is asked for: the recorder's queue, and WebSockets."""

from collections.abc import Iterable

from django.http import HttpRequest, HttpResponse
from django_prometheus.exports import ExportToDjangoView
from prometheus_client import REGISTRY, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from proxy.state import State

# When a counter began is nothing that anybody asks for, and would be half of the lines.
disable_created_metrics()

OPENMETRICS = "application/openmetrics-text"


def metrics(request: HttpRequest) -> HttpResponse:
    """Give all metrics of this process: as OpenMetrics, with exemplars, to a scraper that accepts that."""
    accepted = request.headers.get("Accept", "")
    if OPENMETRICS not in accepted:
        return ExportToDjangoView(request)
    encode, content_type = choose_encoder(accepted)
    return HttpResponse(encode(REGISTRY), content_type=content_type)


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


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"lunaroute_{name}", text, value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"lunaroute_{name}", text, value)
