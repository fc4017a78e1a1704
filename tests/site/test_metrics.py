"""`/metrics` after known traffic through a real server: the value of every family."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families
from websockets.sync.client import connect

from tests.support.raw import RawClient
from tests.support.server import ROOT, RunningServer, environment, eventually, start_server
from tests.support.upstream import FakeUpstream

CONFIG = """
providers:
  first: {provider_type: anthropic, base_url: "FIRST"}
  second: {provider_type: anthropic, base_url: "SECOND"}
  main: {provider_type: openai, base_url: "FIRST/v1"}
  spare: {provider_type: openai, base_url: "SECOND/v1"}
routing:
  circuit_breaker: {timeout_secs: 3600}
  rules:
    - {name: messages, path_pattern: "^/v1/messages", primary: first, fallbacks: [second]}
    - name: chat
      path_pattern: "^/v1/chat"
      strategy: limits_alternative
      primary_providers: [main]
      alternative_providers: [spare]
session_recording:
  pii: {enabled: true, hmac_secret: not-much-of-one}
"""
CLAUDE, GPT = "claude-sonnet-4-5", "gpt-5"
OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"}
# What spec and documentation promise.
FAMILIES = """
requests_total requests_success_total requests_failure_total request_duration_seconds ingress_duration_seconds
routing_duration_seconds egress_duration_seconds post_processing_duration_seconds proxy_overhead_seconds
circuit_breaker_state circuit_breaker_transitions_total provider_health_status provider_success_rate
fallback_triggered_total rate_limits_total rate_limit_alternatives_used_total rate_limit_backoff_seconds tokens_total
tool_calls_total tool_result_failures_total tool_duration_seconds streaming_ttft_seconds streaming_chunk_latency_seconds
streaming_duration_seconds streaming_requests_total streaming_chunks_total ws_connections_opened_total
ws_connections_closed_total ws_frames_total cost_usd_total recorder_queue_bytes recorder_dropped_total
recorder_aside recorder_lag_seconds pii_redactions_total
""".split()


@dataclass(frozen=True)
class Scrape:
    """What `/metrics` said."""

    text: str
    values: dict[tuple[str, frozenset], float]

    def __call__(self, name: str, **labels: str) -> float | None:
        return self.values.get((f"lunaroute_{name}", frozenset(labels.items())))

    def all(self, name: str) -> dict[tuple[str, ...], float]:
        """Values by their labels' values, in the order of the labels' names."""
        found = [(labels, value) for (sample, labels), value in self.values.items() if sample == f"lunaroute_{name}"]
        return {tuple(text for _, text in sorted(labels)): value for labels, value in found}


def scrape(server: RunningServer) -> Scrape:
    status, headers, body = server.get("/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=")
    samples = [s for family in text_string_to_metric_families(body.decode()) for s in family.samples]
    return Scrape(body.decode(), {(s.name, frozenset(s.labels.items())): s.value for s in samples})


def fails(status: int, *headers: tuple[str, str]) -> Callable:
    async def script(exchange) -> None:
        await exchange.read_body()
        await exchange.json({"type": "error", "error": {"type": "of_a_test", "message": "no"}}, status, *headers)

    return script


async def breaks_off(exchange) -> None:
    await exchange.read_body()
    await exchange.start_stream()
    await exchange.chunk(b"data: 1\n\n")
    exchange.keep = False


def post(server: RunningServer, said: object, path: bytes = b"/v1/messages", model: str = CLAUDE, **fields) -> int:
    messages = said if isinstance(said, list) else [{"role": "user", "content": said}]
    body = {"model": model, "max_tokens": 9, "messages": messages, **fields}
    headers = b"session_id: known\r\nx-project-id: myapp\r\n"
    with RawClient(server.port) as client:
        return client.request(target=path, body=json.dumps(body).encode(), headers=headers).status


def use_tools(server: RunningServer) -> None:
    """A stream that asks for a tool, and one that hears that the tool failed."""
    tools = [{"name": "Read", "input_schema": {"type": "object"}}]
    asked = {"role": "user", "content": "use the tool Read"}
    with RawClient(server.port) as client:
        body = {"model": CLAUDE, "max_tokens": 9, "stream": True, "tools": tools, "messages": [asked]}
        answer = client.request(body=json.dumps(body).encode(), headers=b"session_id: known\r\nx-project-id: myapp\r\n")
    call = re.search(r"toolu_\w+", answer.body.decode())[0]
    server.wait_recorded(2)
    called = {"role": "assistant", "content": [{"type": "tool_use", "id": call, "name": "Read", "input": {}}]}
    result = {"type": "tool_result", "tool_use_id": call, "content": "no such file", "is_error": True}
    assert post(server, [asked, called, {"role": "user", "content": [result]}], stream=True, tools=tools) == 200


def fail(server: RunningServer, first: FakeUpstream, second: FakeUpstream) -> None:
    """One 4xx, and three 5xx of which one is the client's; then the first is not asked any more."""
    first.script(fails(400))
    assert post(server, "bad") == 400
    first.script(fails(500))
    assert post(server, "1") == 200
    second.script(fails(502))
    assert post(server, "2") == 502
    second.script(None)
    assert post(server, "3") == 200
    assert post(server, "4") == 200
    first.script(fails(429, ("retry-after", "3600")))
    for _ in range(2):
        assert post(server, "hi", b"/v1/chat/completions", GPT) == 200
    first.script(None)


def talk(server: RunningServer) -> None:
    """A request over a WebSocket."""
    with connect(f"ws://127.0.0.1:{server.port}/v1/responses", proxy=None) as socket:
        socket.send(json.dumps({"type": "response.create", "model": GPT, "input": "hello"}))
        while json.loads(socket.recv(timeout=10))["type"] != "response.completed":
            pass


@pytest.fixture(scope="module")
def upstreams() -> Iterator[tuple[FakeUpstream, FakeUpstream]]:
    first, second = FakeUpstream().start(), FakeUpstream().start()
    yield first, second
    first.stop()
    second.stop()


@pytest.fixture(scope="module")
def driven(upstreams, tmp_path_factory) -> Iterator[RunningServer]:
    """A server that has had the traffic, and heard of all of it from its recorder."""
    first, second = upstreams
    home = tmp_path_factory.mktemp("metrics")
    path = home / "c.yaml"
    path.write_text(CONFIG.replace("FIRST", first.url).replace("SECOND", second.url))
    server = start_server(home, first.url, "--config", str(path))
    empty = scrape(server)
    assert empty("requests_total") is None
    assert empty("ws_frames_total") == empty("proxy_overhead_seconds_count") == 0
    assert post(server, "write to john.doe@corp-mail.org") == 200
    use_tools(server)
    fail(server, first, second)
    talk(server)
    eventually(lambda: sum(scrape(server).all("requests_total").values()) == 11, "all that has passed")
    eventually(lambda: scrape(server)("ws_connections_closed_total") == 1, "the WebSocket's end")
    eventually(lambda: scrape(server)("recorder_queue_bytes") == 0, "the recorder to have all of it")
    yield server
    assert server.stop() == 0
    assert "Traceback" not in server.output(), server.output()


@pytest.fixture(scope="module")
def told(driven) -> Scrape:
    return scrape(driven)


def of(model: str, provider: str, listener: str = "anthropic") -> dict[str, str]:
    return {"listener": listener, "model": model, "provider": provider}


def test_every_family_is_there(told):
    for name in FAMILIES:
        kind = "counter" if name.endswith("_total") else r"(gauge|histogram)"
        assert re.search(rf"^# HELP lunaroute_{name} .+\n# TYPE lunaroute_{name} {kind}$", told.text, re.M), name
        assert re.search(rf"^lunaroute_{name}(_bucket)?(\{{| )", told.text, re.M) or name == "provider_health_status", (
            name
        )
    assert not {name for name, _ in told.values if name.startswith("lunaroute_")} - {
        f"lunaroute_{name}{more}" for name in FAMILIES for more in ("", "_bucket", "_count", "_sum")
    }


def test_requests_with_their_ends(told):
    assert told("requests_total", **of(CLAUDE, "first")) == 4
    assert told("requests_success_total", **of(CLAUDE, "first")) == 3
    assert told("requests_failure_total", **of(CLAUDE, "first"), error_type="of_a_test") == 1
    assert told("requests_total", **of(CLAUDE, "second")) == 4
    assert told("requests_success_total", **of(CLAUDE, "second")) == 3
    assert told("requests_failure_total", **of(CLAUDE, "second"), error_type="of_a_test") == 1
    assert told("requests_success_total", **of(GPT, "spare", "openai")) == 2
    assert told("requests_success_total", **of(GPT, "main", "openai")) == 1  # the WebSocket's
    assert len(told.all("requests_failure_total")) == 2


def test_durations(told):
    assert told("request_duration_seconds_count", **of(CLAUDE, "first")) == 4
    assert told("egress_duration_seconds_count", model=CLAUDE, provider="second") == 4
    assert (
        0
        < told("egress_duration_seconds_sum", model=CLAUDE, provider="first")
        < told("request_duration_seconds_sum", **of(CLAUDE, "first"))
    )
    names = ["ingress_duration", "routing_duration", "post_processing_duration", "proxy_overhead"]
    assert [told(f"{name}_seconds_count") for name in names] == [10] * 4
    ingress, routing, post, overhead = (told(f"{name}_seconds_sum") for name in names)
    assert min(ingress, routing, post) > 0
    assert ingress + routing + post <= overhead
    assert told("proxy_overhead_seconds_bucket", le="5e-05") is not None


def test_states_of_providers(told):
    assert told("circuit_breaker_state", provider="first") == 1
    assert told("circuit_breaker_state", provider="second") == 0
    assert told("circuit_breaker_transitions_total", provider="first", from_state="closed", to_state="open") == 1
    assert told("provider_success_rate", provider="second") == 0.75


def test_fallbacks_and_limits(told):
    onward = {"from_provider": "first", "to_provider": "second"}
    assert told("fallback_triggered_total", **onward, reason="server_error") == 3
    assert told("fallback_triggered_total", **onward, reason="breaker_open") == 1
    assert told("rate_limits_total", provider="main") == 1
    assert told("rate_limit_alternatives_used_total", from_provider="main", to_provider="spare") == 2
    assert told("rate_limit_backoff_seconds_sum", provider="main") == 3600


def test_tokens_by_class(told):
    def tokens(kind: str, model: str, provider: str) -> float | None:
        return told("tokens_total", type=kind, model=model, provider=provider)

    assert (tokens("input", CLAUDE, "first"), tokens("output", CLAUDE, "first")) == (450, 126)
    assert tokens("cache_read", CLAUDE, "first") == 3000
    assert (tokens("cache_creation_5m", CLAUDE, "first"), tokens("cache_creation_1h", CLAUDE, "first")) == (60, 30)
    assert (tokens("output", GPT, "main"), tokens("thinking", GPT, "main")) == (42, 15)


def test_tools(told):
    assert told.all("tool_calls_total") == {(CLAUDE, "first", "Read"): 1}
    assert told("tool_result_failures_total", tool="Read") == 1
    assert told("tool_duration_seconds_count", tool="Read") == 1
    assert told("tool_duration_seconds_sum", tool="Read") > 0


def test_streams(told):
    pair = {"model": CLAUDE, "provider": "first"}
    assert told("streaming_requests_total", **pair) == 2
    chunks = told("streaming_chunks_total", **pair)
    assert chunks >= 2
    assert told("streaming_chunk_latency_seconds_count", **pair) == chunks - 2
    assert told("streaming_chunk_latency_seconds_sum", **pair) == pytest.approx(
        told("streaming_duration_seconds_sum", **pair)
    )
    assert told("streaming_ttft_seconds_count", **pair) == told("streaming_duration_seconds_count", **pair) == 2
    assert told("streaming_requests_total", model=GPT, provider="main") == 1


def test_websockets(told):
    assert told("ws_connections_opened_total") == told("ws_connections_closed_total") == 1
    # One of the client, a close each way, and the provider's events, which it counts as messages.
    assert told("ws_frames_total") == told("streaming_chunks_total", model=GPT, provider="main") + 3


def test_cost_and_redactions(driven, told):
    spent = sum(row[0] for row in driven.rows("select cost_usd from exchanges where cost_usd is not null"))
    assert sum(told.all("cost_usd_total").values()) == pytest.approx(spent)
    assert told("cost_usd_total", model=CLAUDE, project="myapp") > 0
    assert told("pii_redactions_total", type="EMAIL") == 2  # in the request, and where the answer repeats it


def test_the_recorder(told):
    assert told("recorder_dropped_total") == 0
    assert told("recorder_lag_seconds") == 0
    assert told("recorder_queue_bytes") == 0


def test_samples_of_the_guide_come_out_as_printed(told):
    """Their labels' order is of no matter; where the guide leaves labels out, more than those it prints are there."""
    for start, *labels in (
        ("lunaroute_requests_total{", 'listener="anthropic"', f'model="{CLAUDE}"', 'provider="first"'),
        ("lunaroute_request_duration_seconds_bucket{", 'le="0.5"'),
        ("lunaroute_request_duration_seconds_bucket{", 'le="1.0"'),
        ("lunaroute_tokens_total{", 'type="input"', f'model="{CLAUDE}"'),
        ("lunaroute_tokens_total{", 'type="output"', f'model="{CLAUDE}"'),
        ("lunaroute_tokens_total{", 'type="thinking"', f'model="{GPT}"'),
        ("lunaroute_tool_calls_total{", 'tool="Read"'),
        ("lunaroute_streaming_ttft_seconds_bucket{", 'le="0.5"'),
        ("lunaroute_streaming_chunk_latency_seconds_bucket{", 'le="0.1"'),
    ):
        lines = [line for line in told.text.splitlines() if line.startswith(start)]
        assert any(all(label in line for label in labels) for line in lines), (start, labels)


def test_a_scraper_that_reads_openmetrics_gets_it_with_exemplars(driven):
    status, headers, body = driven.get("/metrics", OPENMETRICS)
    assert status == 200
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family for family in parse_openmetrics(body.decode())}
    exemplars = [s.exemplar for s in families["lunaroute_request_duration_seconds"].samples if s.exemplar]
    known = {row[0] for row in driven.rows("select request_id from exchanges")}
    assert exemplars
    assert {exemplar.labels["request_id"] for exemplar in exemplars} <= known


def test_what_nobody_reads_still_counts_as_requests(upstreams, tmp_path):
    first, _ = upstreams
    first.script(None)
    path = tmp_path / "c.yaml"
    path.write_text("session_recording: {enabled: false, counting: false}\n")
    server = start_server(tmp_path, first.url, "--config", str(path))
    try:
        assert post(server, "hi") == 200
        first.script(fails(404))
        assert post(server, "hi") == 404
        first.script(breaks_off)
        assert post(server, "hi") == 200
        told = eventually(
            lambda: (t := scrape(server))("requests_total", **of("unknown", "anthropic")) == 3 and t, "all three"
        )
        assert told("requests_failure_total", **of("unknown", "anthropic"), error_type="http_404") == 1
        assert told("requests_failure_total", **of("unknown", "anthropic"), error_type="upstream_broken") == 1
        assert told("request_duration_seconds_count", **of("unknown", "anthropic")) == 3
        assert told("routing_duration_seconds_count") == 3
        assert told("recorder_dropped_total") is None
    finally:
        first.script(None)
        assert server.stop() == 0


def test_a_recorder_that_does_not_come_after_is_seen(upstreams, tmp_path):
    first, _ = upstreams
    first.script(None)
    server = start_server(tmp_path, first.url)
    try:
        recorder = server.children()["recorder"]
        recorder.suspend()
        assert post(server, "hi") == 200
        eventually(lambda: scrape(server)("recorder_lag_seconds") > 0, "a lag")
        assert scrape(server)("recorder_queue_bytes") > 0
        recorder.resume()
        eventually(lambda: scrape(server)("recorder_queue_bytes") == 0, "an empty queue")
        assert scrape(server)("recorder_lag_seconds") == 0
    finally:
        server.stop()


MILLION = """
import os, time, django
django.setup()
from django.test import Client
from proxy.capture import PAUSES, End
from sessions import metrics
from sessions.news import Change
end = End(0, 1.0, 1.0, 1.0, 1.0, 1.0, 1, 1, 60, 1, ingress_ms=1.0, routing_ms=1.0, pauses=[4] * (len(PAUSES) + 1), pauses_ms=9.0)
changes = [Change("s", 1, 1, "r", "ended", listener="anthropic", provider=provider, model=f"m{number}", is_streaming=True,
                  duration_ms=1.0, time_to_first_token_ms=1.0, end=end, tokens={"input": 1, "output": 2})
           for provider in ("anthropic", "backup") for number in range(4)]
def fastest():
    took = []
    for _ in range(20):
        began = time.perf_counter()
        answer = Client().get("/metrics", headers={"host": "localhost", "accept": os.environ["ACCEPT"]})
        took.append(time.perf_counter() - began)
        assert answer.status_code == 200
    return min(took)
for change in changes:
    metrics.count(change)
before = fastest()
for _ in range(2000):  # 68 observations each
    for change in changes:
        metrics.count(change)
print(fastest() / before)
"""


@pytest.mark.alone
@pytest.mark.parametrize("accept", ["", OPENMETRICS["Accept"]])
def test_it_answers_after_a_million_observations_as_quickly_as_before(accept, tmp_path):
    environ = environment(tmp_path, DJANGO_SETTINGS_MODULE="lunaroute_site.settings", ACCEPT=accept)
    done = subprocess.run(
        [sys.executable, "-c", MILLION], cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1.7
