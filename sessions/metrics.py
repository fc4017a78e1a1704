"""What this process counts for `/metrics` of what its recorder tells. Nothing here asks the database.

An exchange is counted once, when its end is on record: then its model, tokens and cost are known. What no recorder hears
of is counted by `count_unrecorded`, as far as it is known without reading what passed.
"""

import re
from collections.abc import Iterable
from functools import cached_property
from itertools import accumulate

from prometheus_client import REGISTRY, Counter, Histogram
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from pii.policy import RESERVED, Policy
from proxy.capture import PAUSES, End
from sessions.news import Change

# Different values of a label that clients or providers choose; what comes after them is "other".
MAX_MODELS = MAX_TOOLS = MAX_PROJECTS = 200
MAX_ERRORS = 50
MAX_LENGTH = 128
OTHER, UNKNOWN = "other", "unknown"

_OWN = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_PROVIDER = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_TOOL = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0)
_ALL, _PAIR = ["listener", "model", "provider"], ["provider", "model"]

_requests = Counter("lunaroute_requests", "Requests that have ended", _ALL)
_successes = Counter("lunaroute_requests_success", "Requests with a complete answer that is no error", _ALL)
_failures = Counter("lunaroute_requests_failure", "Requests that failed, by why", [*_ALL, "error_type"])
_durations = Histogram(
    "lunaroute_request_duration_seconds", "First byte of the request to last of the answer", _ALL, buckets=_PROVIDER
)
_ingress = Histogram(
    "lunaroute_ingress_duration_seconds", "A request's head to as much of its body as goes out with it", buckets=_OWN
)
_routing = Histogram(
    "lunaroute_routing_duration_seconds", "To choose providers, and to make the request that goes out", buckets=_OWN
)
_egress = Histogram(
    "lunaroute_egress_duration_seconds", "Request sent to last byte of the answer", _PAIR, buckets=_PROVIDER
)
_post = Histogram(
    "lunaroute_post_processing_duration_seconds", "First piece of the answer's body: in to out", buckets=_OWN
)
_overhead = Histogram(
    "lunaroute_proxy_overhead_seconds",
    "All that the proxy added to a request: before it went out, connecting included, and to the answer",
    buckets=_OWN,
)
_tokens = Counter("lunaroute_tokens", "Tokens by class; classes do not overlap", ["type", "model", "provider"])
_costs = Counter("lunaroute_cost_usd", "USD, of requests whose price is known", ["model", "project"])
_calls = Counter("lunaroute_tool_calls", "Calls of tools that answers ask for", ["tool", "model", "provider"])
_tool_failures = Counter("lunaroute_tool_result_failures", "Results of tools that say that they failed", ["tool"])
_tool_durations = Histogram(
    "lunaroute_tool_duration_seconds",
    "End of the answer that calls a tool to the request with its result: a person's consent included",
    ["tool"],
    buckets=_TOOL,
)
_first_tokens = Histogram(
    "lunaroute_streaming_ttft_seconds", "Request to the first piece of content", _PAIR, buckets=_PROVIDER
)
_streams = Counter("lunaroute_streaming_requests", "Requests that are answered by a stream", _PAIR)
_stream_durations = Histogram(
    "lunaroute_streaming_duration_seconds", "First chunk of a stream to its last", _PAIR, buckets=_PROVIDER
)
_chunks = Counter("lunaroute_streaming_chunks", "Chunks of streams, on a WebSocket messages", _PAIR)
_redactions = Counter(
    "lunaroute_pii_redactions", "Values that redaction replaced in what is recorded, by type", ["type"]
)


class Few:
    """Gives a label's value for a name: the first `most` names have their own, the others share one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def __call__(self, name: str) -> str:
        """Give the value."""
        if name in self._known:
            return name
        if not name:
            return UNKNOWN
        if len(self._known) >= self._most or len(name) > MAX_LENGTH:
            return OTHER
        self._known.add(name)
        return name


_model, _tool, _project, _error = Few(MAX_MODELS), Few(MAX_TOOLS), Few(MAX_PROJECTS), Few(MAX_ERRORS)
_ERROR_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


def error_type(error: str) -> str:
    """Give the type of a recorded error: what stands before its message, if that is a name."""
    kind = error.partition(":")[0]
    return _error(kind) if _ERROR_TYPE.fullmatch(kind) else OTHER


class Pauses(Collector):
    """The pauses between chunks of streams. The data plane has put them into classes: one by one they would cost more."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], tuple[list[int], list[float]]] = {}  # counts, sum

    def add(self, provider: str, model: str, counts: list[int], seconds: float) -> None:
        """Add the pauses of a stream (``End.pauses``)."""
        found = self._found.get((provider, model))
        if found is None:
            found = self._found[provider, model] = ([0] * (len(PAUSES) + 1), [0.0])
        for place, count in enumerate(counts):
            found[0][place] += count
        found[1][0] += seconds

    def describe(self) -> Iterable[Metric]:
        """Give the family without values."""
        return [self._family()]

    def collect(self) -> Iterable[Metric]:
        """Give the values of this moment."""
        family = self._family()
        bounds = [*map(str, PAUSES), "+Inf"]
        for labels, (counts, (seconds,)) in list(self._found.items()):
            family.add_metric(labels, list(zip(bounds, accumulate(counts), strict=True)), seconds)
        return [family]

    @staticmethod
    def _family() -> HistogramMetricFamily:
        return HistogramMetricFamily(
            "lunaroute_streaming_chunk_latency_seconds", "Pauses between the chunks of a stream", labels=_PAIR
        )


_pauses = Pauses()
REGISTRY.register(_pauses)


class _Series:
    """The counters of one listener, provider and model: to find each by its labels would cost more than to count."""

    def __init__(self, listener: str, provider: str, model: str) -> None:
        self.labels, self.pair = (listener, model, provider), (provider, model)
        self.requests = _requests.labels(*self.labels)
        self.successes = _successes.labels(*self.labels)
        self.durations = _durations.labels(*self.labels)
        self.egress = _egress.labels(*self.pair)
        self.tokens: dict[str, Counter] = {}

    # What only a stream has is made with the first one.
    @cached_property
    def streams(self) -> Counter:
        return _streams.labels(*self.pair)

    @cached_property
    def chunks(self) -> Counter:
        return _chunks.labels(*self.pair)

    @cached_property
    def first_tokens(self) -> Histogram:
        return _first_tokens.labels(*self.pair)

    @cached_property
    def stream_durations(self) -> Histogram:
        return _stream_durations.labels(*self.pair)


_series: dict[tuple[str, str, str], _Series] = {}


def _series_of(listener: str, provider: str, model: str) -> _Series:
    key = listener, provider, _model(model)
    found = _series.get(key)
    if found is None:
        found = _series[key] = _Series(*key)
    return found


def expect(policy: Policy) -> None:
    """Let the types that `policy` finds be there from the beginning: a rate needs the 0 before the first value."""
    for kind in (*RESERVED, *(pattern.name for pattern in policy.custom_patterns)):
        _redactions.labels(kind)


def count(change: Change) -> None:
    """Count what has changed in the record (a listener of sessions.live_hub)."""
    for kind, number in change.redactions.items():  # types are those of the policy, so few
        _redactions.labels(kind).inc(number)
    for name, milliseconds, is_error in change.results:
        tool = _tool(name)
        _tool_durations.labels(tool).observe(milliseconds / 1e3)
        if is_error:
            _tool_failures.labels(tool).inc()
    if change.what == "ended":
        series = _series_of(change.listener, change.provider, change.model)
        _count_request(series, change)
        if change.end is not None:
            _count_readings(series, change.end, change.is_socket)
            if change.is_streaming and change.end.chunk_count:
                _count_stream(series, change, change.end)
        if change.kind == "model":
            _count_use(series, change)


def count_unrecorded(listener: str, provider: str, status: int, end: End) -> None:
    """Count an exchange that no recorder hears of (``proxy.state.State.tell_unrecorded``)."""
    series = _series_of(listener, provider, "")
    error = end.error or (f"http_{status}" if status >= 400 else "")
    _count_end(series, error, end.duration_ms)
    _count_readings(series, end, status == 101)


def _count_request(series: _Series, change: Change) -> None:
    _count_end(series, change.error, change.duration_ms or 0.0, {"request_id": change.request_id})


def _count_end(series: _Series, error: str, milliseconds: float, exemplar: dict[str, str] | None = None) -> None:
    series.requests.inc()
    if error:
        _failures.labels(*series.labels, error_type(error)).inc()
    else:
        series.successes.inc()
    series.durations.observe(milliseconds / 1e3, exemplar)


def _count_readings(series: _Series, end: End, is_socket: bool) -> None:
    """Count where the time went; where nobody was asked, or on a socket, the proxy has no such readings."""
    if end.provider_latency_ms is None:
        return
    series.egress.observe(end.provider_latency_ms / 1e3)
    if end.ingress_ms is None or end.routing_ms is None or is_socket:
        return
    _ingress.observe(end.ingress_ms / 1e3)
    _routing.observe(end.routing_ms / 1e3)
    _post.observe(end.overhead_after_ms / 1e3)
    _overhead.observe((end.overhead_before_ms + end.overhead_after_ms) / 1e3)


def _count_stream(series: _Series, change: Change, end: End) -> None:
    series.streams.inc()
    series.chunks.inc(end.chunk_count)
    milliseconds = (change.streaming_ms or 0.0) if change.is_socket else end.pauses_ms
    series.stream_durations.observe(milliseconds / 1e3)
    if change.time_to_first_token_ms is not None:
        series.first_tokens.observe(change.time_to_first_token_ms / 1e3)
    if end.pauses:
        _pauses.add(*series.pair, end.pauses, end.pauses_ms / 1e3)


def _count_use(series: _Series, change: Change) -> None:
    _, model, provider = series.labels
    for kind, number in change.tokens.items():
        counter = series.tokens.get(kind)
        if counter is None:
            counter = series.tokens[kind] = _tokens.labels(kind, model, provider)
        counter.inc(number)
    for name in change.tools:
        _calls.labels(_tool(name), model, provider).inc()
    if change.cost_usd:
        _costs.labels(model, _project(change.project) if change.project else "").inc(change.cost_usd)
