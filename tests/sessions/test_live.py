"""Pages that follow the record: a real server, a real WebSocket."""

import json
import threading

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

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


def ask(server, session: str, question: str = "q") -> None:
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
