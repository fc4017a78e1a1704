"""A provider fails, and another one answers: who is asked, what the client gets, what is on record."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.support.raw import RawClient, assert_error
from tests.support.server import RunningServer, eventually, free_port, start_server

CONFIG = """
providers:
  first: {provider_type: anthropic, base_url: "FIRST", http_client: {max_retries: 0}}
  second: {provider_type: anthropic, base_url: "SECOND"}
routing:
  circuit_breaker: {timeout_secs: 3600}
  rules:
    - {name: with-fallback, model_pattern: "^claude-", primary: first, fallbacks: [second]}
"""
BODY = b'{"model":"claude-sonnet-4-5",  "max_tokens": 10, "messages":[{"role":"user","content":"hi \xc3\xbc"}]}'
# Pairs of providers at the same two addresses, a rule and a model for each: a test that takes one finds it untouched.
PAIRS = 40
# Of these, the first provider cannot be reached; neither can.
ALONE, NOBODY = PAIRS - 2, PAIRS - 1


def fails(status: int, *headers: tuple[str, str], body: bytes = b'{"type":"error","error":{"type":"x","message":"y"}}'):
    """A provider that answers so."""

    async def script(exchange) -> None:
        await exchange.read_body()
        await exchange.answer(status, body, ("content-type", "application/json"), *headers)

    return script


def ask(server, body: bytes = BODY, **options):
    """Send a request, on a connection of its own."""
    with RawClient(server.port) as client:
        return client.request(body=body, **options)


@dataclass
class Pair:
    """A rule with two providers of its own."""

    server: RunningServer
    number: int
    count: int = 0

    def body(self, more: bytes = b"") -> bytes:
        """A request that the rule takes."""
        return BODY.replace(b"claude-sonnet-4-5", b"pair-%d" % self.number).replace(b'"}]}', b'"}' + more + b"]}")

    def ask(self, more: bytes = b""):
        """Send it."""
        self.count += 1
        return ask(self.server, self.body(more))

    def rows(self, columns: str) -> list[tuple]:
        """What is on record of its requests, in order, once all have ended."""
        query = f"select {columns} from exchanges where model_requested = 'pair-{self.number}' and success is not null order by id"
        return eventually(
            lambda: (found := self.server.rows(query)) and len(found) >= self.count and found, "the record"
        )

    def routing(self) -> list[dict]:
        """What the record says of routing."""
        return [json.loads(row[0]) for row in self.rows("routing")]


@pytest.fixture(scope="module")
def pairs(two_providers, tmp_path_factory) -> Iterator[RunningServer]:
    one, two = two_providers
    providers, rules = {}, []
    nobody = f"http://127.0.0.1:{free_port()}"
    for number in range(PAIRS):
        once = {"provider_type": "anthropic", "http_client": {"max_retries": 0}}
        providers[f"first{number}"] = {**once, "base_url": nobody if number in (ALONE, NOBODY) else one.url}
        providers[f"second{number}"] = {**once, "base_url": nobody if number == NOBODY else two.url}
        chain = {"primary": f"first{number}", "fallbacks": [f"second{number}"]}
        rules.append({"name": f"rule{number}", "model_pattern": f"^pair-{number}$", **chain})
    home = tmp_path_factory.mktemp("home")
    breaker = {"timeout_secs": 1.5}
    path = home / "pairs.json"
    path.write_text(json.dumps({"providers": providers, "routing": {"circuit_breaker": breaker, "rules": rules}}))
    server = start_server(home, one.url, "--config", str(path))
    yield server
    assert server.stop() == 0, server.output()
    assert "Traceback" not in server.output(), server.output()


@pytest.fixture
def pair(pairs: RunningServer, numbers: Iterator[int], first, second) -> Pair:
    return Pair(pairs, next(numbers))


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    return iter(range(PAIRS))


def test_the_first_provider_is_asked_and_nobody_else(pair, first, second):
    answer = pair.ask()
    assert answer.status == 200
    assert answer.header(b"x-lunaroute-provider") == b"first%d" % pair.number
    assert [request.body for request in first.requests] == [pair.body()]
    assert not second.requests
    (routing,) = pair.routing()
    assert routing["rule"] == f"rule{pair.number}"
    assert "attempts" not in routing


@pytest.mark.parametrize(
    ("status", "reason"), [(500, "server_error"), (502, "server_error"), (529, "overloaded"), (429, "rate_limited")]
)
def test_a_failing_answer_is_given_by_the_next(pair, first, second, status, reason):
    first.script(fails(status))
    answer = pair.ask()
    assert answer.status == 200
    assert answer.header(b"x-lunaroute-provider") == b"second%d" % pair.number
    assert [request.body for request in second.requests] == [pair.body()]
    (routing,) = pair.routing()
    failed, answered = routing["attempts"]
    assert (failed["provider"], failed["status"], failed["reason"]) == (f"first{pair.number}", status, reason)
    assert (answered["provider"], answered["status"]) == (f"second{pair.number}", 200)
    assert pair.rows("provider, success") == [(f"second{pair.number}", 1)]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413])
def test_what_is_the_clients_own_mistake_is_no_reason_to_ask_another(pair, first, second, status):
    first.script(fails(status))
    assert pair.ask().status == status
    assert not second.requests


def test_a_provider_that_cannot_be_reached_is_passed_over(pairs, second):
    pair = Pair(pairs, ALONE)
    assert pair.ask().status == 200
    (routing,) = pair.routing()
    failed = routing["attempts"][0]
    assert failed["reason"] == "upstream_connect"
    assert "may_be_charged" not in failed


def test_a_reset_before_the_answer_is_passed_over_and_may_have_been_charged(pair, first, second):
    first.script("reset")
    assert pair.ask().status == 200
    assert pair.routing()[0]["attempts"][0]["may_be_charged"]


def test_nothing_is_asked_again_after_the_first_byte(pair, first, second):
    async def breaks(exchange):
        await exchange.read_body()
        await exchange.start_stream()
        await exchange.chunk(b"event: ping\ndata: {}\n\n")
        exchange.reset()

    first.script(breaks)
    answer = pair.ask()
    assert not answer.complete
    assert not second.requests


def test_the_last_answer_reaches_the_client_unchanged(pair, first, second):
    body = b'{"type":"error",   "error":{"type":"overloaded_error","message":"\xc3\xbc"}}'
    first.script(fails(500))
    second.script(fails(529, ("retry-after", "7"), ("x-odd", "kept"), body=body))
    answer = pair.ask()
    assert (answer.status, answer.body) == (529, body)
    assert answer.header(b"retry-after") == b"7"
    assert answer.header(b"x-odd") == b"kept"


def test_an_answer_beats_a_failed_connection(pair, first, second):
    first.script(fails(500, body=b"broken, but an answer"))
    second.script("reset")
    answer = pair.ask()
    assert (answer.status, answer.body) == (500, b"broken, but an answer")


def test_when_nobody_can_be_reached_the_client_is_told_so(pairs):
    pair = Pair(pairs, NOBODY)
    assert_error(pair.ask(), "anthropic", 502, f"provider second{NOBODY}", "refused")


def test_a_limited_provider_rests_as_long_as_it_asked_for(pair, first, second):
    first.script(fails(429, ("retry-after", "3600")))
    for _ in range(3):
        assert pair.ask().status == 200
    assert len(first.requests) == 1
    assert len(second.requests) == 3
    assert [r["attempts"][0]["reason"] for r in pair.routing()] == ["rate_limited", "resting", "resting"]


def test_when_all_rest_the_one_that_is_back_first_is_asked(pair, first, second):
    first.script(fails(429, ("retry-after", "60")))
    second.script(fails(429, ("retry-after", "3600")))
    assert pair.ask().status == 429
    assert pair.ask().status == 429
    assert (len(first.requests), len(second.requests)) == (2, 1)


def test_a_breaker_opens_after_three_failures_and_closes_after_two_probes(pair, first, second):
    first.script(fails(500))
    for _ in range(5):
        assert pair.ask().status == 200
    assert len(first.requests) == 3
    first.script(None)
    eventually(lambda: pair.ask().status == 200 and len(first.requests) >= 6, "the first provider is back")
    assert pair.routing()[4]["attempts"][0]["reason"] == "breaker_open"


def test_sixty_four_clients_get_the_fallbacks_answer(routed, first, second):
    server = routed(CONFIG)
    first.script(fails(503))

    def several(_: int) -> list[int]:
        with RawClient(server.port) as client:
            return [client.request(body=BODY).status for _ in range(10)]

    with ThreadPoolExecutor(64) as pool:
        statuses = [status for some in pool.map(several, range(64)) for status in some]
    assert statuses == [200] * 640
    # Those that were under way as it opened were asked too; nobody after them.
    asked = len(first.requests)
    assert asked <= 64 + 3
    assert ask(server).status == 200
    assert len(first.requests) == asked


def test_a_client_that_leaves_while_the_first_provider_works_ends_it_all(pair, first, second):
    first.script("hang")
    client = RawClient(pair.server.port)
    body = pair.body()
    client.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    pair.count += 1
    eventually(lambda: first.requests, "the request at the first provider")
    client.close()
    assert first.lost.wait(5)
    assert pair.rows("error")[0][0].startswith("client_disconnected")
    assert not second.requests


def test_a_large_body_reaches_the_next_provider_byte_for_byte(pair, first, second):
    first.script(fails(500))
    more = b',{"role":"user","content":"' + b"x" * 3_000_000 + b'"}'
    assert pair.ask(more).status == 200
    assert second.requests[0].body == pair.body(more)
