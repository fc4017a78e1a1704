"""A bad network to the provider: slow, in crumbs, broken now and then."""

import httpx
import pytest

from tests.faults.conftest import ANSWER, Traffic, answer, ask
from tests.support.faulty import PASS, REFUSE, STALL, FaultyProxy
from tests.support.server import eventually, start_server


@pytest.fixture(scope="module")
def far(provider, tmp_path_factory):
    """A server whose two providers are the same one, by a network each."""
    first, second = FaultyProxy(("127.0.0.1", provider.port)), FaultyProxy(("127.0.0.1", provider.port))
    home = tmp_path_factory.mktemp("far")
    (home / "c.yaml").write_text(f"""
providers:
  first: {{provider_type: anthropic, base_url: "http://127.0.0.1:{first.port}", http_client: {{timeout_secs: 3, max_retries: 0}}}}
  second: {{provider_type: anthropic, base_url: "http://127.0.0.1:{second.port}"}}
routing:
  rules: [{{name: both, model_pattern: ".*", primary: first, fallbacks: [second]}}]
  circuit_breaker: {{timeout_secs: 0.3}}
""")
    server = start_server(home, provider.url, LUNAROUTE_CONFIG=str(home / "c.yaml"))
    yield server, first, second
    assert server.stop() == 0, server.output()
    for proxy in (first, second):
        proxy.stop()
    assert "Traceback" not in server.output(), server.output()


@pytest.fixture
def networks(far, upstream):
    upstream.script(answer)
    yield far
    for proxy in far[1:]:
        proxy.be(PASS)
        proxy.delay, proxy.piece = 0.0, 1 << 16


def test_crumbs_and_delays_change_nothing_of_an_answer(networks):
    server, first, _ = networks
    first.piece = 7
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        assert ask(client, "crumbs", "x" * 3000).json() == ANSWER
        first.piece, first.delay = 1 << 16, 0.05
        assert ask(client, "slow", "x" * 3000).json() == ANSWER


def test_a_provider_that_comes_and_goes_costs_no_request(networks):
    server, first, _ = networks
    with Traffic(server.url, "flapping", clients=4) as traffic:
        for _ in range(6):
            first.be(REFUSE)
            traffic.more(20)
            first.be(PASS)
            traffic.more(20)
    assert traffic.failed == []
    of_session = "SELECT count(*) FROM exchanges e JOIN sessions s ON s.id = e.session_id WHERE s.session_id LIKE ? AND e.success"
    eventually(lambda: server.rows(of_session, "flapping-%") == [(traffic.asked,)], "all of them on record")
    tried = "SELECT count(*) FROM exchanges WHERE routing LIKE ?"
    assert server.rows(tried, '%"second"%')[0][0] > 0, "the other one took over"


def test_a_provider_that_says_nothing_is_given_up_in_time(networks):
    server, first, _ = networks
    with httpx.Client(base_url=server.url, trust_env=False, timeout=30) as client:
        eventually(lambda: ask(client, "loud").headers["x-lunaroute-provider"] == "first", "a closed breaker")
        first.be(STALL)
        got = ask(client, "silent")
        first.be(PASS)
        assert (got.json(), got.headers["x-lunaroute-provider"]) == (ANSWER, "second")
        (exchange,) = eventually(
            lambda: [e for e in client.get("/sessions/silent/exchanges").json() if e["success"]], "a record"
        )
        (attempt, _) = exchange["routing"]["attempts"]
        assert attempt["reason"] == "upstream_timeout"
        assert attempt["may_be_charged"], "it had the request"
