"""What is counted of changes: labels that others choose stay few, and each end counts once."""

from itertools import count
from timeit import repeat

import pytest
from prometheus_client import REGISTRY

from proxy.capture import PAUSES, End
from sessions import metrics
from sessions.news import Change

_number = count()
READINGS = {"ingress_ms": 0.04, "routing_ms": 0.2, "pauses": [0] * len(PAUSES) + [2], "pauses_ms": 70_000.0}


@pytest.fixture
def provider() -> str:
    """A provider that nothing was counted of."""
    return f"provider-{next(_number)}"


def ended(provider: str, **fields) -> Change:
    end = End(0, 2000.0, 0.5, 0.25, 1500.0, 400.0, 10, 20, 3, 1, **fields.pop("end", {}))
    base = {
        "session_id": "s", "session": 1, "exchange": 1, "request_id": "r", "what": "ended", "listener": "anthropic",
        "model": "m", "provider": provider, "success": True, "duration_ms": 2000.0, "end": end,
    }  # fmt: skip
    return Change(**{**base, **fields})


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"lunaroute_{name}", labels)


def test_an_exchange_counts_when_it_has_ended(provider):
    labels = {"listener": "anthropic", "model": "m", "provider": provider}
    for what in ("opened", "first_token"):
        metrics.count(ended(provider, what=what, end={}))
    assert value("requests_total", **labels) is None
    metrics.count(ended(provider))
    assert value("requests_total", **labels) == value("requests_success_total", **labels) == 1
    assert value("request_duration_seconds_sum", **labels) == 2
    assert value("egress_duration_seconds_sum", model="m", provider=provider) == 1.5


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("http_503", "http_503"),
        ("rate_limit_error: slow down: now", "rate_limit_error"),
        ("upstream_connect: refused", "upstream_connect"),
        ("The server had an error", "other"),
        ("x" * 65, "other"),
        ("é: y", "other"),
    ],
)
def test_the_type_of_an_error_is_its_name(error, kind):
    assert metrics.error_type(error) == kind


def test_a_failure_is_no_success(provider):
    metrics.count(ended(provider, success=False, error="http_500"))
    labels = {"listener": "anthropic", "model": "m", "provider": provider}
    assert value("requests_failure_total", **labels, error_type="http_500") == 1
    assert value("requests_total", **labels) == 1
    assert value("requests_success_total", **labels) == 0


def test_values_that_clients_choose_stay_few():
    few = metrics.Few(2)
    assert [few(name) for name in ("a", "b", "c", "a", "", "d")] == ["a", "b", "other", "a", "unknown", "other"]
    assert metrics.Few(2)("x" * 500) == "other"


def test_a_thousand_models_are_200_and_others(provider, monkeypatch):
    monkeypatch.setattr(metrics, "_model", metrics.Few(metrics.MAX_MODELS))
    for number in range(1000):
        metrics.count(ended(provider, model=f"model-{number}"))
    assert value("requests_total", listener="anthropic", model="model-199", provider=provider) == 1
    assert value("requests_total", listener="anthropic", model="model-200", provider=provider) is None
    assert value("requests_total", listener="anthropic", model="other", provider=provider) == 800


def test_the_time_in_the_proxy_is_counted_where_it_was_measured(provider):
    names = ["ingress_duration", "routing_duration", "post_processing_duration", "proxy_overhead"]

    def sums() -> list[float]:
        return [value(f"{name}_seconds_sum") for name in names]

    before = sums()
    metrics.count(ended(provider))  # as a WebSocket's exchange
    assert sums() == before
    metrics.count(ended(provider, end=READINGS))
    took = [after - earlier for after, earlier in zip(sums(), before, strict=True)]
    assert took == pytest.approx([0.00004, 0.0002, 0.00025, 0.00075])
    assert value("ingress_duration_seconds_bucket", le="5e-05") >= 1


def test_a_stream_has_its_pauses_by_class(provider):
    pair = {"model": "m", "provider": provider}
    metrics.count(ended(provider, end=READINGS))
    assert value("streaming_requests_total", **pair) is None
    metrics.count(ended(provider, end=READINGS, is_streaming=True, time_to_first_token_ms=300.0))
    assert value("streaming_requests_total", **pair) == 1
    assert value("streaming_chunks_total", **pair) == 3
    assert value("streaming_ttft_seconds_sum", **pair) == 0.3
    assert value("streaming_duration_seconds_sum", **pair) == value("streaming_chunk_latency_seconds_sum", **pair) == 70
    assert value("streaming_chunk_latency_seconds_bucket", le="30.0", **pair) == 0
    assert value("streaming_chunk_latency_seconds_count", **pair) == 2


def test_what_makes_no_model_speak_spends_nothing(provider):
    used = {"tokens": {"input": 5}, "cost_usd": 0.5, "project": "p-none", "tools": ["Bash"]}
    metrics.count(ended(provider, kind="count_tokens", **used))
    assert value("tokens_total", type="input", model="m", provider=provider) is None
    metrics.count(ended(provider, **used))
    assert value("tokens_total", type="input", model="m", provider=provider) == 5
    assert value("tool_calls_total", tool="Bash", model="m", provider=provider) == 1
    assert value("cost_usd_total", model="m", project="p-none") == 0.5


def test_results_of_tools_count_when_they_come(provider):
    name = f"tool-of-{provider}"
    metrics.count(ended(provider, what="opened", results=[(name, 1500.0, False), (name, 500.0, True)]))
    assert value("tool_duration_seconds_sum", tool=name) == 2
    assert value("tool_result_failures_total", tool=name) == 1


def test_what_no_recorder_hears_of_is_counted_without_its_model(provider):
    labels = {"listener": "openai", "model": "unknown", "provider": provider}
    for status, error in ((200, None), (429, None), (200, "upstream_broken")):
        metrics.count_unrecorded("openai", provider, "r", status, End(0, 10.0, 0, 0, None, None, 0, 0, 0, 0, error))
    assert value("requests_total", **labels) == 3
    assert value("requests_success_total", **labels) == 1
    assert value("requests_failure_total", **labels, error_type="http_429") == 1
    assert value("requests_failure_total", **labels, error_type="upstream_broken") == 1


@pytest.mark.alone
def test_a_request_costs_little(provider):
    change = ended(
        provider, end=READINGS, is_streaming=True, time_to_first_token_ms=300.0, tools=["Bash"], cost_usd=0.1,
        tokens={"input": 1, "output": 2, "thinking": 3, "cache_read": 4},
    )  # fmt: skip
    best = min(repeat(lambda: metrics.count(change), number=1000, repeat=20)) / 1000
    assert best < 30e-6  # 7 µs as a rule; a machine may be slow
