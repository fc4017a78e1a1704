"""What changes while a server runs: rules and providers of the database, who rests over a restart, what a person resets."""

import json

import pytest

from tests.proxy.test_failover import BODY, ask, fails
from tests.support import zygote
from tests.support.server import RunningServer, environment, eventually

CONFIG = """
providers:
  first: {provider_type: anthropic, base_url: "FIRST"}
  second: {provider_type: anthropic, base_url: "SECOND"}
"""
FALLBACK = CONFIG + "routing: {rules: [{name: with-fallback, primary: first, fallbacks: [second]}]}\n"
RULE = "Rule.objects.create(name='to-second', model_pattern='^claude-', providers=['second'])"


@pytest.fixture
def database(request) -> str:
    return getattr(request, "param", "sqlite")


both_databases = pytest.mark.parametrize("database", ["sqlite", "postgres"], indirect=True)


def in_another_process(server: RunningServer, code: str) -> str:
    """Run Python with the routing models in a process of its own, on the server's database."""
    environ = environment(server.home.parent, LUNAROUTE_CONFIG=str(server.home.parent / "routed.yaml"))
    if server.database_url:
        environ["DATABASE_URL"] = server.database_url
    code = f"from routing.models import Provider, Rule\nfrom routing import sources\n{code}"
    done = zygote.run("manage.py", ["shell", "-c", code], environ)
    assert done.returncode == 0, done.stderr
    return done.stdout


@both_databases
def test_the_next_request_goes_by_a_rule_that_was_just_made_and_by_none_that_is_gone(routed, first, second):
    server = routed(CONFIG)
    ask(server)
    in_another_process(server, RULE)
    ask(server)
    assert (len(first.requests), len(second.requests)) == (1, 1)
    in_another_process(server, "Rule.objects.update(enabled=False)")
    ask(server)
    in_another_process(server, "Rule.objects.update(enabled=True)")
    ask(server)
    in_another_process(server, "Rule.objects.all().delete()")
    ask(server)
    assert (len(first.requests), len(second.requests)) == (3, 2)


def test_a_provider_with_a_key_of_its_own_serves_at_once(routed, first, second, database):
    server = routed(CONFIG)
    in_another_process(
        server,
        f"p = Provider(name='third', provider_type='anthropic', base_url='{second.url}')\n"
        "p.set_key('sk-ant-of-the-admin'); p.save()\n"
        "Rule.objects.create(name='to-third', providers=['third'])",
    )
    assert ask(server).header(b"x-lunaroute-provider") == b"third"
    assert second.requests[0].header("x-api-key") == "sk-ant-of-the-admin"
    key_file = server.home / "provider_keys.key"
    assert key_file.stat().st_mode & 0o777 == 0o600
    stored = json.dumps(server.rows("select * from routing_providers"), default=str)
    assert "sk-ant-of-the-admin" not in stored + server.output()


def test_requests_under_way_end_as_they_began(routed, first, second):
    server = routed(CONFIG)
    gate = first.event()

    async def waits(exchange):
        await exchange.read_body()
        await exchange.start_stream()
        await exchange.chunk(b"data: 1\n\n")
        await gate.wait()
        await exchange.chunk(b"data: 2\n\n")
        await exchange.end_stream()

    first.script(waits)
    from tests.support.raw import RawClient

    with RawClient(server.port) as client:
        client.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY))
        client.head()
        assert client.chunk() == b"data: 1\n\n"
        in_another_process(server, RULE)
        assert ask(server).header(b"x-lunaroute-provider") == b"second"
        gate.open()
        assert client.chunk() == b"data: 2\n\n"
        assert client.chunk() == b""


@both_databases
def test_a_rest_outlives_a_restart(routed, first, second):
    server = routed(FALLBACK)
    first.script(fails(429, ("retry-after", "3600")))
    ask(server)
    eventually(lambda: server.rows("select 1 from routing_rests"), "the rest, written down")
    assert server.stop() == 0
    server = routed(FALLBACK)
    ask(server)
    assert len(first.requests) == 1
    assert len(second.requests) == 2


def test_a_person_ends_a_rest_at_once(routed, first, second):
    server = routed(FALLBACK)
    first.script(fails(429, ("retry-after", "3600")))
    ask(server)
    first.script(None)
    in_another_process(server, "sources.reset('first')")
    assert ask(server).header(b"x-lunaroute-provider") == b"first"


def test_the_states_are_at_metrics_and_by_the_api(routed, first, second):
    server = routed(FALLBACK)
    first.script(fails(500))
    for _ in range(4):
        ask(server)
    _, _, metrics = server.get("/metrics")
    text = metrics.decode()
    assert 'lunaroute_circuit_breaker_state{provider="first"} 1.0' in text
    assert (
        'lunaroute_circuit_breaker_transitions_total{from_state="closed",provider="first",to_state="open"} 1.0' in text
    )
    assert (
        'lunaroute_fallback_triggered_total{from_provider="first",reason="server_error",to_provider="second"} 3.0'
        in text
    )
    assert 'reason="breaker_open"' in text
    providers = {provider["name"]: provider for provider in server.json("/api/providers")}
    assert providers["first"]["now"]["breaker"] == "open"
    assert providers["second"]["now"]["breaker"] == "closed"
