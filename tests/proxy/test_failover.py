"""A provider fails, and another one answers: who is asked, what the client gets, what is on record."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.raw import RawClient, assert_error
from tests.support.server import eventually, free_port

CONFIG = """
providers:
  first: {provider_type: anthropic, base_url: "FIRST", http_client: {max_retries: 0}}
  second: {provider_type: anthropic, base_url: "SECOND"}
routing:
  circuit_breaker: {timeout_secs: 0.3}
  rules:
    - {name: with-fallback, model_pattern: "^claude-", primary: first, fallbacks: [second]}
"""
BODY = b'{"model":"claude-sonnet-4-5",  "max_tokens": 10, "messages":[{"role":"user","content":"hi \xc3\xbc"}]}'


def fails(status: int, *headers: tuple[str, str], body: bytes = b'{"type":"error","error":{"type":"x","message":"y"}}'):
    async def script(exchange) -> None:
        await exchange.read_body()
        await exchange.answer(status, body, ("content-type", "application/json"), *headers)

    return script


def ask(server, body: bytes = BODY, **options):
    with RawClient(server.port) as client:
        return client.request(body=body, **options)


def routing_of(server, count: int = 1) -> list[dict]:
    """What the record says of routing, in the order of the requests."""
    server.wait_recorded(count)
    return [json.loads(row[0]) for row in server.rows("select routing from exchanges order by id")]


def test_the_first_provider_is_asked_and_nobody_else(routed, first, second):
    server = routed(CONFIG)
    answer = ask(server)
    assert answer.status == 200
    assert answer.header(b"x-lunaroute-provider") == b"first"
    assert [request.body for request in first.requests] == [BODY]
    assert not second.requests
    (routing,) = routing_of(server)
    assert routing["rule"] == "with-fallback"
    assert "attempts" not in routing


@pytest.mark.parametrize(
    ("status", "reason"), [(500, "server_error"), (502, "server_error"), (529, "overloaded"), (429, "rate_limited")]
)
def test_a_failing_answer_is_given_by_the_next(routed, first, second, status, reason):
    server = routed(CONFIG)
    first.script(fails(status))
    answer = ask(server)
    assert answer.status == 200
    assert answer.header(b"x-lunaroute-provider") == b"second"
    assert [request.body for request in second.requests] == [BODY]
    (routing,) = routing_of(server)
    failed, answered = routing["attempts"]
    assert (failed["provider"], failed["status"], failed["reason"]) == ("first", status, reason)
    assert (answered["provider"], answered["status"]) == ("second", 200)
    assert server.rows("select provider, success from exchanges") == [("second", 1)]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413])
def test_what_is_the_clients_own_mistake_is_no_reason_to_ask_another(routed, first, second, status):
    server = routed(CONFIG)
    first.script(fails(status))
    assert ask(server).status == status
    assert not second.requests


def test_a_provider_that_cannot_be_reached_is_passed_over(start, second, tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text(CONFIG.replace("FIRST", f"http://127.0.0.1:{free_port()}").replace("SECOND", second.url))
    server = start("--config", str(config))
    assert ask(server).status == 200
    (routing,) = routing_of(server)
    failed = routing["attempts"][0]
    assert failed["reason"] == "upstream_connect"
    assert "may_be_charged" not in failed


def test_a_reset_before_the_answer_is_passed_over_and_may_have_been_charged(routed, first, second):
    server = routed(CONFIG)
    first.script("reset")
    assert ask(server).status == 200
    assert routing_of(server)[0]["attempts"][0]["may_be_charged"]


def test_nothing_is_asked_again_after_the_first_byte(routed, first, second):
    async def breaks(exchange):
        await exchange.read_body()
        await exchange.start_stream()
        await exchange.chunk(b"event: ping\ndata: {}\n\n")
        exchange.reset()

    server = routed(CONFIG)
    first.script(breaks)
    answer = ask(server)
    assert not answer.complete
    assert not second.requests


def test_the_last_answer_reaches_the_client_unchanged(routed, first, second):
    body = b'{"type":"error",   "error":{"type":"overloaded_error","message":"\xc3\xbc"}}'
    server = routed(CONFIG)
    first.script(fails(500))
    second.script(fails(529, ("retry-after", "7"), ("x-odd", "kept"), body=body))
    answer = ask(server)
    assert (answer.status, answer.body) == (529, body)
    assert answer.header(b"retry-after") == b"7"
    assert answer.header(b"x-odd") == b"kept"


def test_an_answer_beats_a_failed_connection(routed, first, second):
    server = routed(CONFIG)
    first.script(fails(500, body=b"broken, but an answer"))
    second.script("reset")
    answer = ask(server)
    assert (answer.status, answer.body) == (500, b"broken, but an answer")


def test_when_nobody_can_be_reached_the_client_is_told_so(start, tmp_path):
    config = tmp_path / "c.yaml"
    nobody = f"http://127.0.0.1:{free_port()}"
    config.write_text(CONFIG.replace("FIRST", nobody).replace("SECOND", nobody))
    server = start("--config", str(config))
    assert_error(ask(server), "anthropic", 502, "provider second", "refused")


def test_a_limited_provider_rests_as_long_as_it_asked_for(routed, first, second):
    server = routed(CONFIG)
    first.script(fails(429, ("retry-after", "3600")))
    for _ in range(3):
        assert ask(server).status == 200
    assert len(first.requests) == 1
    assert len(second.requests) == 3
    assert [r["attempts"][0]["reason"] for r in routing_of(server, 3)] == ["rate_limited", "resting", "resting"]


def test_when_all_rest_the_one_that_is_back_first_is_asked(routed, first, second):
    server = routed(CONFIG)
    first.script(fails(429, ("retry-after", "60")))
    second.script(fails(429, ("retry-after", "3600")))
    assert ask(server).status == 429
    assert ask(server).status == 429
    assert (len(first.requests), len(second.requests)) == (2, 1)


def test_a_breaker_opens_after_three_failures_and_closes_after_two_probes(routed, first, second):
    server = routed(CONFIG)
    first.script(fails(500))
    for _ in range(5):
        assert ask(server).status == 200
    assert len(first.requests) == 3
    first.script(None)
    eventually(lambda: ask(server).status == 200 and len(first.requests) >= 6, "the first provider is back")
    assert routing_of(server, 6)[4]["attempts"][0]["reason"] == "breaker_open"


def test_sixty_four_clients_get_the_fallbacks_answer(routed, first, second):
    server = routed(CONFIG.replace("timeout_secs: 0.3", "timeout_secs: 3600"))
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


def test_a_client_that_leaves_while_the_first_provider_works_ends_it_all(routed, first, second):
    server = routed(CONFIG)
    first.script("hang")
    client = RawClient(server.port)
    client.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY))
    eventually(lambda: first.requests, "the request at the first provider")
    client.close()
    assert first.lost.wait(5)
    server.wait_recorded(1)
    assert not second.requests
    assert server.rows("select error from exchanges")[0][0].startswith("client_disconnected")


def test_a_large_body_reaches_the_next_provider_byte_for_byte(routed, first, second):
    server = routed(CONFIG)
    first.script(fails(500))
    body = BODY[:-2] + b',{"role":"user","content":"' + b"x" * 3_000_000 + b'"}]}'
    answer = ask(server, body)
    assert answer.status == 200
    assert second.requests[0].body == body
