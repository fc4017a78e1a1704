"""Limits and refusing budgets count each request of a WebSocket, and what is not let in does not reach the provider."""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.support.server import eventually
from tests.team.conftest import CONFIG, Team, answer, make_team
from tests.team.test_limits import limit


@pytest.fixture(scope="module")
def sockets(provider, tmp_path_factory) -> Iterator[Team]:
    team = make_team(tmp_path_factory.mktemp("sockets"), CONFIG, provider)
    for who, many in (("alice", "3"), ("bob", "2")):
        limit(team, user=who, requests_per_minute=many)
    yield team
    assert team.server.stop() == 0, team.server.output()
    assert "Traceback" not in team.server.output(), team.server.output()


def opened(team: Team, who: str, **options):
    headers = {"x-lunaroute-token": team.tokens[who], "session_id": f"socket-{who}"}
    return connect(f"ws://127.0.0.1:{team.server.port}/v1/responses", additional_headers=headers, proxy=None, **options)


def answer_to(socket, message: str) -> str:
    socket.send(message)
    while True:
        event = json.loads(socket.recv(timeout=10))
        if event["type"] in ("response.completed", "error"):
            return event["type"]


def asked(upstream) -> int:
    return sum(request.body.count(b"response.create") for request in upstream.requests)


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_each_response_counts_and_the_one_too_many_is_not_sent(sockets, upstream, compression):
    who = "alice" if compression else "bob"
    many = 3 if compression else 2
    message = json.dumps({"type": "response.create", "model": "gpt-5", "input": "hi " * 60})
    with opened(sockets, who, compression=compression) as socket:
        for _ in range(many):
            assert answer_to(socket, message) == "response.completed"
        before = asked(upstream)
        socket.send(message)
        error = json.loads(socket.recv(timeout=10))
        assert (error["type"], error["status"]) == ("error", 429)
        assert f"{many} requests a minute" in error["error"]["message"]
        assert int(error["headers"]["retry-after"]) >= 1
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=10)
        assert closed.value.rcvd.code == 1008
        assert "requests a minute" in closed.value.rcvd.reason
    assert asked(upstream) == before == many
    with pytest.raises(InvalidStatus) as refused, opened(sockets, who):
        pass
    assert refused.value.response.status_code == 429
    rows = lambda: sockets.server.rows(  # noqa: E731
        "SELECT e.success, e.error FROM exchanges e JOIN sessions s ON s.id = e.session_id WHERE s.session_id = ?"
        " AND e.success IS NOT NULL ORDER BY e.id", f"socket-{who}",
    )  # fmt: skip
    found = eventually(lambda: rows() if len(rows()) == many + 2 else None, "the record of all")
    assert [row[0] for row in found] == [1] * many + [0, 0]
    assert all(row[1].startswith("budget") for row in found[-2:])


def test_a_limit_counts_from_the_next_request_on_for_any_number_at_once(sockets, upstream):
    upstream.script(answer)
    limit(sockets, user="dora", requests_per_minute="5")
    with ThreadPoolExecutor(30) as pool:
        statuses = Counter(pool.map(lambda _: sockets.ask("dora", "hello", "of-dora").status_code, range(30)))
    assert statuses == {200: 5, 429: 25}
