"""Pages that follow the record: a real server, a real WebSocket."""

import json
import threading

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support.databases import sqlite_only
from tests.support.live import LivePage, open_socket
from tests.support.raw import RawClient
from tests.support.server import eventually

SSE = b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"%b"}}\n\n'


class Talk:
    """An answer whose text comes when the test says so."""

    def __init__(self, server, upstream, session: str, question: str = "q") -> None:
        self._gates = {name: upstream.event() for name in ("first", "second", "end")}
        upstream.script(self._answer)
        self._thread = threading.Thread(target=self._ask, args=(server.port, session, question), daemon=True)
        self._thread.start()

    def _ask(self, port: int, session: str, question: str) -> None:
        body = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": question}]}).encode()
        with RawClient(port) as client:
            client.request(body=body, headers=b"session_id: %b\r\n" % session.encode())

    async def _answer(self, exchange) -> None:
        await exchange.read_body()
        await self._gates["first"].wait()
        await exchange.start_stream()
        await exchange.chunk(b'data: {"type":"message_start","message":{"id":"a","model":"m"}}\n\n')
        await exchange.chunk(SSE % b"one <b>bold</b> ")
        await self._gates["second"].wait()
        await exchange.chunk(SSE % b"two ")
        await self._gates["end"].wait()
        await exchange.chunk(SSE % b"three")
        await exchange.chunk(b'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}\n\n')
        await exchange.chunk(b'data: {"type":"message_stop"}\n\n')
        await exchange.end_stream()

    def go(self, *names: str) -> None:
        for name in names:
            self._gates[name].open()

    def finish(self) -> None:
        self.go("first", "second", "end")
        self._thread.join(10)


def ask(server, session: str, question: str | list = "q") -> None:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": question}]}).encode()
    with RawClient(server.port) as client:
        assert client.request(body=body, headers=b"session_id: %b\r\n" % session.encode()).status == 200


def wait_session(server, session: str) -> None:
    eventually(lambda: server.rows("select 1 from sessions where session_id = ?", session), f"session {session}")


def test_an_exchange_is_seen_as_it_opens_speaks_and_ends(server, upstream):
    talk = Talk(server, upstream, "order")
    wait_session(server, "order")
    page = LivePage(server, "order").open()
    page.follow(lambda: page.is_ready)
    (request_id,) = page.have
    assert page.have == {request_id: "1-open-0"}
    talk.go("first")
    page.follow(lambda: page.text.get(request_id) == {0: "one <b>bold</b> "})
    talk.go("second")
    page.follow(lambda: page.text.get(request_id) == {0: "one <b>bold</b> two "})
    talk.finish()
    page.follow(lambda: page.have[request_id] == "1-ended-0")
    assert [what for what, _, detail in page.log if what == "text" or "answering" not in detail] == [
        "turn", "text", "text", "turn",
    ]  # fmt: skip
    assert page.html() == page.reloaded()
    assert "one &lt;b&gt;bold&lt;/b&gt; two three" in page.html()[0]
    assert 'id="figures"' in page.figures
    page.close()


def test_who_joins_late_sees_everything_from_the_start(server, upstream):
    ask(server, "late", "before")
    talk = Talk(server, upstream, "late")
    talk.go("first", "second")
    first = LivePage(server, "late")
    wait_session(server, "late")
    first.open().follow(lambda: list(first.text.values()) == [{0: "one <b>bold</b> two "}])
    late = LivePage(server, "late").open()
    late.follow(lambda: late.text == first.text)
    assert late.html() == first.html()
    assert len(late.html()) == 2
    talk.finish()
    for page in (first, late):
        page.follow(lambda page=page: not page.text and [t["running"] for t in page.turns.values()] == [False, False])
        told = "".join(text for what, _, text in page.log if what == "text")
        assert told.removesuffix("three") == "one <b>bold</b> two "  # once, though the late one had it told again
        assert page.html() == page.reloaded()
        page.close()


def test_a_tools_result_reaches_the_turn_that_asked_for_it(server, upstream):
    tool = {"name": "Read", "input_schema": {"type": "object"}}
    question = {"role": "user", "content": 'use the tool Read with {"file_path": "/a"}'}
    with RawClient(server.port) as client:
        body = {"model": "m", "tools": [tool], "messages": [question]}
        answer = json.loads(client.request(body=json.dumps(body).encode(), headers=b"session_id: tool\r\n").body)
        wait_session(server, "tool")
        page = LivePage(server, "tool").open()
        page.follow(lambda: page.is_ready and "1-ended-0" in page.have.values())
        assert "the content" not in page.html()[0]
        call = answer["content"][-1]
        result = {"type": "tool_result", "tool_use_id": call["id"], "content": "the content"}
        messages = [
            question,
            {"role": "assistant", "content": answer["content"]},
            {"role": "user", "content": [result]},
        ]
        client.request(body=json.dumps({**body, "messages": messages}).encode(), headers=b"session_id: tool\r\n")
    page.follow(lambda: sorted(page.have.values()) == ["1-ended-1", "2-ended-0"])
    assert "the content" in page.html()[0]
    assert page.html() == page.reloaded()
    page.close()


def test_who_has_something_is_told_only_the_rest(server):
    ask(server, "rest", "one")
    wait_session(server, "rest")
    page = LivePage(server, "rest").open()
    page.follow(lambda: page.is_ready and "1-ended-0" in page.have.values())
    page.close()
    ask(server, "rest", "two")
    page.log.clear()
    page.open().follow(lambda: any(version.startswith("2-ended-0") for version in page.have.values()))
    assert {version[0] for _, _, version in page.log} == {"2"}
    assert page.html() == page.reloaded()
    page.close()


def test_an_earlier_page_is_told_what_changes_on_it_and_nothing_new(server):
    for number in range(3):
        ask(server, "pages", str(number))
    eventually(lambda: server.rows("select 1 from sessions where session_id = 'pages' and requests = 3"), "the record")
    with open_socket(server, "/ui/live/sessions/pages") as socket:
        socket.send(json.dumps({"first": 2, "last": 2}))
        numbers = []
        while "ready" not in (message := json.loads(socket.recv(timeout=10))):
            numbers += [turn["number"] for turn in message.get("turns", ())]
    assert numbers == [2]


def test_the_list_hears_which_sessions_change(server, upstream):
    ask(server, "listed-before")
    wait_session(server, "listed-before")
    with open_socket(server, "/ui/live") as socket:
        socket.send("{}")
        rows: dict[str, dict] = {}

        def hear(session: str, **facts) -> bool:
            try:
                message = json.loads(socket.recv(timeout=0))
            except TimeoutError:
                return False
            if row := message.get("session"):
                assert rows.get(row["session_id"]) != row
                rows[row["session_id"]] = row
            return all(rows.get(session, {}).get(name) == value for name, value in facts.items())

        eventually(lambda: hear("listed-before", requests=1, running=False), "the session that was there")
        talk = Talk(server, upstream, "listed", "what is new")
        eventually(lambda: hear("listed", running=True), "the new session")
        talk.finish()
        eventually(lambda: hear("listed", running=False, requests=1), "its end")
    row = rows["listed"]
    assert (row["title"], row["client"], row["model"]) == ("what is new", "other", "m")
    assert {"total_tokens", "cost_usd", "duration_ms", "version"} <= row.keys()


@sqlite_only
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://localhost"])
def test_another_sites_page_is_refused(server, origin):
    for path in ("/ui/live", "/ui/live/sessions/x"):
        with pytest.raises(InvalidStatus) as refused:
            open_socket(server, path, origin=origin)
        assert refused.value.response.status_code == 403


@sqlite_only
def test_a_name_that_is_not_ours_is_refused(server):
    with RawClient(server.port) as client:
        client.send(
            b"GET /ui/live HTTP/1.1\r\nhost: evil.example\r\norigin: http://evil.example\r\nupgrade: websocket\r\n"
            b"connection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert client.until(b"\r\n").startswith(b"HTTP/1.1 403")


@sqlite_only
def test_an_address_that_does_not_exist_is_refused(server):
    with pytest.raises(InvalidStatus) as refused:
        open_socket(server, "/ui/nothing")
    assert refused.value.response.status_code == 403


@sqlite_only
@pytest.mark.parametrize(
    ("message", "reason"),
    [("no JSON", "JSON is malformed"), ('{"have": 1}', "Expected `object`"), ('{"a": 1}', "unknown field `a`")],
)
def test_a_message_that_makes_no_sense_closes_with_the_reason(server, message, reason):
    with open_socket(server, "/ui/live") as socket:
        socket.send(message)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=10)
    assert closed.value.rcvd.code == 4400
    assert reason in closed.value.rcvd.reason


@sqlite_only
def test_a_message_that_is_too_long_ends_the_connection(server):
    with open_socket(server, "/ui/live") as socket:
        socket.send('{"have": {"a": "%s"}}' % ("x" * (1 << 20)))
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=10)
    assert closed.value.rcvd is None or closed.value.rcvd.code == 1009


def test_a_session_that_does_not_exist_says_so(server):
    with open_socket(server, "/ui/live/sessions/nobody") as socket:
        socket.send("{}")
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=10)
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4404, "no such session")


@sqlite_only
def test_the_switched_off_browser_has_no_sockets(start):
    server = start(LUNAROUTE_UI_ENABLED="false")
    with pytest.raises(InvalidStatus) as refused:
        open_socket(server, "/ui/live")
    assert refused.value.response.status_code == 403


def test_sigterm_closes_sockets_at_once_and_ends_well(start, upstream):
    server = start()
    ask(server, "s")
    wait_session(server, "s")
    page = LivePage(server, "s").open()
    page.follow(lambda: page.is_ready)
    talk = Talk(server, upstream, "s")
    talk.go("first")
    page.follow(lambda: page.text)
    server.process.terminate()
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            page.socket.recv(timeout=10)
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1001, "LunaRoute is stopping")
    assert server.process.poll() is None, "the stream under way goes on"
    talk.finish()
    assert server.stop() == 0, server.output()
    assert "Traceback" not in server.output()
