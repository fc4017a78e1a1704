"""What this process counts for `/metrics` of what its recorder tells. Nothing here asks the database.

An exchange is counted once, when its end is on record: then its model, tokens and cost are known. What no recorder hears
of is counted by `count_unrecorded`, as far as it is known without reading what passed.
"""

import re
from functools import cached_property

from pii.policy import RESERVED, Policy
from proxy.capture import PAUSES, End
from sessions.news import Change
from sessions.tally import Count, Counts, Spread, Spreads

# Different values of a label that clients or providers choose; what comes after them is "other".
MAX_MODELS = MAX_TOOLS = MAX_PROJECTS = 200
MAX_ERRORS = 50
MAX_LENGTH = 128
OTHER, UNKNOWN = "other", "unknown"

# Seconds: what the proxy itself takes, what a provider does, and what tools do.
_OWN = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_PROVIDER = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_TOOL = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0)
_ALL, _PAIR = ("listener", "model", "provider"), ("provider", "model")

_requests = Counts("requests", "Requests that have ended", _ALL)
_successes = Counts("requests_success", "Requests with a complete answer that is no error", _ALL)
_failures = Counts("requests_failure", "Requests that failed, by why", (*_ALL, "error_type"))
_durations = Spreads(
    "request_duration_seconds", "First byte of the request to last of the answer", _ALL, bounds=_PROVIDER
)
_ingress = Spreads(
    "ingress_duration_seconds", "A request's head to as much of its body as goes out with it", bounds=_OWN
).of()
_routing = Spreads(
    "routing_duration_seconds", "To choose providers, and to make the request that goes out", bounds=_OWN
).of()
_egress = Spreads("egress_duration_seconds", "Request sent to last byte of the answer", _PAIR, bounds=_PROVIDER)
_post = Spreads("post_processing_duration_seconds", "First piece of the answer's body: in to out", bounds=_OWN).of()
_overhead = Spreads(
    "proxy_overhead_seconds",
    "All that the proxy added to a request: before it went out, connecting included, and to the answer",
    bounds=_OWN,
).of()
_tokens = Counts("tokens", "Tokens by class; classes do not overlap", ("type", "model", "provider"))
_costs = Counts("cost_usd", "USD, of requests whose price is known", ("model", "project"))
_calls = Counts("tool_calls", "Calls of tools that answers ask for", ("tool", "model", "provider"))
_tool_failures = Counts("tool_result_failures", "Results of tools that say that they failed", ("tool",))
_tool_durations = Spreads(
    "tool_duration_seconds",
    "End of the answer that calls a tool to the request with its result: a person's consent included",
    ("tool",),
    bounds=_TOOL,
)
_first_tokens = Spreads("streaming_ttft_seconds", "Request to the first piece of content", _PAIR, bounds=_PROVIDER)
_pauses = Spreads("streaming_chunk_latency_seconds", "Pauses between the chunks of a stream", _PAIR, bounds=PAUSES)
_stream_durations = Spreads(
    "streaming_duration_seconds", "First chunk of a stream to its last", _PAIR, bounds=_PROVIDER
)
_streams = Counts("streaming_requests", "Requests that were answered by a stream", _PAIR)
_chunks = Counts("streaming_chunks", "Chunks of streams, on a WebSocket messages", _PAIR)
_redactions = Counts("pii_redactions", "Values that redaction replaced in what is recorded, by type", ("type",))


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


class _Series:
    """The counters of one listener, provider and model: to find each by its labels would cost more than to count."""

    def __init__(self, listener: str, provider: str, model: str) -> None:
        self.labels, self.pair = (listener, model, provider), (provider, model)
        self.requests = _requests.of(*self.labels)
        self.successes = _successes.of(*self.labels)
        self.durations = _durations.of(*self.labels)
        self.egress = _egress.of(*self.pair)
        self.tokens: dict[str, Count] = {}
        self.calls: dict[str, Count] = {}

    # What only a stream has is made with the first one.
    @cached_property
    def streams(self) -> Count:
        return _streams.of(*self.pair)

    @cached_property
    def chunks(self) -> Count:
        return _chunks.of(*self.pair)

    @cached_property
    def first_tokens(self) -> Spread:
        return _first_tokens.of(*self.pair)

    @cached_property
    def pauses(self) -> Spread:
        return _pauses.of(*self.pair)

    @cached_property
    def stream_durations(self) -> Spread:
        return _stream_durations.of(*self.pair)


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
        _redactions.of(kind)


def count(change: Change) -> None:
    """Count what has changed in the record (a listener of sessions.live_hub)."""
    for kind, number in change.redactions.items():  # types are those of the policy, so few
        _redactions.of(kind).value += number
    for name, milliseconds, is_error in change.results:
        tool = _tool(name)
        _tool_durations.of(tool).add(milliseconds / 1e3)
        failures = _tool_failures.of(tool)  # 0 is an answer, too
        if is_error:
            failures.value += 1
    if change.what == "ended":
        series = _series_of(change.listener, change.provider, change.model)
        _count_end(series, change.error, change.request_id, change.duration_ms or 0.0)
        if change.end is not None:
            _count_readings(series, change.end)
            if change.is_streaming and change.end.chunk_count:
                _count_stream(series, change, change.end)
        if change.kind == "model":
            _count_use(series, change)


def count_unrecorded(listener: str, provider: str, request_id: str, status: int, end: End) -> None:
    """Count an exchange that no recorder hears of (``proxy.state.State.tell_unrecorded``)."""
    series = _series_of(listener, provider, "")
    _count_end(series, end.error or (f"http_{status}" if status >= 400 else ""), request_id, end.duration_ms)
    _count_readings(series, end)


def _count_end(series: _Series, error: str, request_id: str, milliseconds: float) -> None:
    series.requests.value += 1
    if error:
        _failures.of(*series.labels, error_type(error)).value += 1
    else:
        series.successes.value += 1
    series.durations.add_of(request_id, milliseconds / 1e3)


def _count_readings(series: _Series, end: End) -> None:
    """Count where the time went; where nobody was asked, or for a WebSocket's exchange, there are no such readings."""
    if end.provider_latency_ms is None:
        return
    series.egress.add(end.provider_latency_ms / 1e3)
    if end.ingress_ms is None or end.routing_ms is None:
        return
    _ingress.add(end.ingress_ms / 1e3)
    _routing.add(end.routing_ms / 1e3)
    _post.add(end.overhead_after_ms / 1e3)
    _overhead.add((end.overhead_before_ms + end.overhead_after_ms) / 1e3)


def _count_stream(series: _Series, change: Change, end: End) -> None:
    series.streams.value += 1
    series.chunks.value += end.chunk_count
    milliseconds = (change.streaming_ms or 0.0) if change.is_socket else end.pauses_ms
    series.stream_durations.add(milliseconds / 1e3)
    if change.time_to_first_token_ms is not None:
        series.first_tokens.add(change.time_to_first_token_ms / 1e3)
    if end.pauses:
        series.pauses.add_many(end.pauses, end.pauses_ms / 1e3)


def _count_use(series: _Series, change: Change) -> None:
    _, model, provider = series.labels
    for kind, number in change.tokens.items():
        counter = series.tokens.get(kind)
        if counter is None:
            counter = series.tokens[kind] = _tokens.of(kind, model, provider)
        counter.value += number
    for name in change.tools:
        tool = _tool(name)
        counter = series.calls.get(tool)
        if counter is None:
            counter = series.calls[tool] = _calls.of(tool, model, provider)
        counter.value += 1
    if change.cost_usd:
        _costs.of(model, _project(change.project) if change.project else "").value += change.cost_usd
