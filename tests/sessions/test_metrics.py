"""What `/metrics` says of the record: exact counts of known traffic, as Prometheus reads them."""

import json
from pathlib import Path

import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from pii.policy import Policy
from pii.redactor import Redactor
from sessions import news
from sessions.models import Exchange
from sessions.redaction import Redaction
from sessions.store import Store
from tests.sessions.test_recorder import another_recorder
from tests.support.exchanges import compact, events
from tests.support.raw import RawClient
from tests.support.server import RunningServer, eventually

EMAIL, SSN = "john.doe@corp-mail.org", "123-45-6789"
CONFIG = """
session_recording:
  pii:
    enabled: true
    redaction_mode: tokenize
    hmac_secret: not-much-of-one
    custom_patterns: [{name: ticket, pattern: "TICKET-[0-9]{6}", placeholder: "[TICKET]"}]
"""
TYPES = {"EMAIL", "PHONE", "SSN", "CREDIT_CARD", "IP_ADDRESS", "IBAN", "SECRET", "BINARY", "FAILED", "TICKET"}


def redacted(server: RunningServer) -> dict[str, float]:
    """The counter by type."""
    status, headers, body = server.get("/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain")
    families = {family.name: family for family in text_string_to_metric_families(body.decode())}
    samples = [s for s in families["lunaroute_pii_redactions"].samples if s.name == "lunaroute_pii_redactions_total"]
    return {sample.labels["type"]: sample.value for sample in samples}


def not_zero(server: RunningServer) -> dict[str, float]:
    return {kind: value for kind, value in redacted(server).items() if value}


@pytest.fixture
def server(start, tmp_path: Path) -> RunningServer:
    path = tmp_path / "c.yaml"
    path.write_text(CONFIG)
    return start("--config", str(path))


def test_values_are_counted_once_by_type(server, upstream):
    async def script(exchange):
        await exchange.read_body()
        text = {"type": "text", "text": f"I wrote to {EMAIL} about TICKET-123456"}
        await exchange.json({"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [text]})

    upstream.script(script)
    assert set(redacted(server)) == TYPES
    assert not_zero(server) == {}
    with RawClient(server.port) as client:
        for number in range(3):
            said = f"{number}: {EMAIL} and anna{number}@corp-mail.org, SSN {SSN}"
            body = {"model": "m", "messages": [{"role": "user", "content": said}]}
            client.request(body=json.dumps(body).encode(), headers=b"session_id: s%d\r\n" % number)
    expected = {"EMAIL": 9.0, "SSN": 3.0, "TICKET": 3.0}
    eventually(lambda: not_zero(server) == expected, f"{expected}, last {not_zero(server)}")
    assert server.json("/sessions/s0")["redactions"] == {"EMAIL": 3, "SSN": 1, "TICKET": 1}


def test_a_recorder_that_dies_on_the_way_changes_no_count(server, upstream):
    gate = upstream.event()

    async def script(exchange):
        await exchange.read_body()
        await exchange.start_stream()
        await gate.wait()
        delta = {"type": "text_delta", "text": f"ask {EMAIL}"}
        event = {"type": "content_block_delta", "index": 0, "delta": delta}
        await exchange.chunk(b"data: " + json.dumps(event).encode() + b"\n\n")
        await exchange.end_stream()

    upstream.script(script)
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": f"who is {EMAIL}, {SSN}?"}]}).encode()
    with RawClient(server.port) as client:
        client.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        client.head()
        eventually(lambda: not_zero(server) == {"EMAIL": 1.0, "SSN": 1.0}, "the request's values")
        recorder = server.children()["recorder"]
        recorder.kill()
        eventually(lambda: another_recorder(server, recorder.pid), "a new recorder")
        gate.open()
        client.until(b"0\r\n\r\n")
    server.wait_recorded(1)
    expected = {"EMAIL": 2.0, "SSN": 1.0}
    eventually(lambda: not_zero(server) == expected, f"{expected}, last {not_zero(server)}")
    (exchange,) = server.json(f"/sessions/{server.json('/sessions')[0]['session_id']}/exchanges")
    assert exchange["redactions"] == {"EMAIL": 2, "SSN": 1}


def test_each_change_tells_what_no_earlier_one_told(both_databases, tmp_path):
    store = Store("test", tmp_path, True, True, Redaction(Redactor(Policy())))
    body = compact({"model": "m", "messages": [{"role": "user", "content": f"{EMAIL}, {SSN}"}]})
    answer = [b"event: x\ndata: " + compact({"type": "content_block_delta", "index": 0, "delta": delta}) + b"\n\n"
              for delta in ({"type": "text_delta", "text": f"{EMAIL} "}, {"type": "text_delta", "text": "hello"})]  # fmt: skip
    given = events(body, answer, session="s", request_id="r", answer_headers=[("content-type", "text/event-stream")])
    assert [event.what for event in given] == ["opened", "first_token", "ended"]
    told = [change.redactions for event in given for change in news.changes_of(store.apply([event]))]
    assert told == [{"EMAIL": 1, "SSN": 1}, {}, {"EMAIL": 1}]
    assert Exchange.objects.get().redactions == {"EMAIL": 2, "SSN": 1}
    assert news.changes_of(store.apply(given)) == []  # sent again
    (change,) = news.changes_of(store.apply(events(body, answer[:1], session="other")))
    assert change.redactions == {"EMAIL": 1}  # the message had been replaced before


@pytest.mark.django_db
def test_it_asks_no_database(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert Client().get("/metrics", headers={"host": "localhost"}).status_code == 200
