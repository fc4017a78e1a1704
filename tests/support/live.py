"""A page that follows a session over the WebSocket, as static/lunaroute/live.js does, without a browser."""

import json
import re
from contextlib import suppress

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.support.server import RunningServer

_ARTICLE = re.compile(r'<article class="turn.*?</article>', re.DOTALL)


def articles_of(html: str) -> list[str]:
    """The articles of a page, in order, without differences of white space."""
    return [" ".join(article.split()) for article in _ARTICLE.findall(html)]


def open_socket(server: RunningServer, path: str, **options) -> ClientConnection:
    """Open a WebSocket to one of LunaRoute's own addresses."""
    options.setdefault("origin", server.url)
    return connect(f"ws://127.0.0.1:{server.port}{path}", proxy=None, max_size=None, legacy=True, **options)


class LivePage:
    """What a reader sees. `log` has what came, in order: (what, request id, detail)."""

    def __init__(self, server: RunningServer, session_id: str) -> None:
        self.server, self.path = server, f"/ui/live/sessions/{session_id}"
        self.have: dict[str, str] = {}
        self.turns: dict[str, dict] = {}
        self.text: dict[str, dict[int, str]] = {}
        self.figures = ""
        self.log: list[tuple[str, str, str]] = []
        self.is_ready = False
        self.socket: ClientConnection | None = None

    def open(self) -> "LivePage":
        self.is_ready = False
        self.socket = open_socket(self.server, self.path)
        self.socket.send(json.dumps({"have": self.have}))
        return self

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def cut(self) -> None:
        """Lose the connection without a word."""
        self.socket.close_socket()
        self.socket = None

    def take(self, timeout: float = 0) -> bool:
        """Take one message if there is one."""
        try:
            message = json.loads(self.socket.recv(timeout=timeout))
        except TimeoutError:
            return False
        for turn in message.get("turns", ()):
            request_id, version = turn["request_id"], turn["version"]
            assert self.have.get(request_id) != version, f"{request_id} came twice as {version}"
            self.have[request_id], self.turns[request_id] = version, turn
            if not turn["running"]:
                self.text.pop(request_id, None)
            self.log.append(("turn", request_id, version))
        if partial := message.get("partial"):
            blocks = self.text.setdefault(partial["request_id"], {})
            for piece in partial["pieces"]:
                if piece["start"]:
                    blocks[piece["index"]] = ""
                blocks[piece["index"]] += piece["text"]
                self.log.append(("text", partial["request_id"], piece["text"]))
        self.figures = message.get("figures", self.figures)
        self.is_ready = self.is_ready or "ready" in message
        return True

    def drain(self) -> "LivePage":
        """Take all that has come."""
        with suppress(ConnectionClosed):
            while self.take():
                pass
        return self

    def follow(self, until, seconds: float = 15) -> None:
        """Take messages until `until()`."""
        from tests.support.server import eventually

        eventually(lambda: self.drain() and until(), "what the page waits for", seconds)

    def html(self) -> list[str]:
        """The articles as they stand on the page, in order."""
        ordered = sorted(self.turns.values(), key=lambda turn: turn["number"])
        return [" ".join(turn["html"].split()) for turn in ordered]

    def reloaded(self) -> list[str]:
        """The articles of the page as the server gives it anew."""
        status, _, body = self.server.get(self.path.replace("/ui/live/", "/ui/"), {"accept": "text/html"})
        assert status == 200
        return articles_of(body.decode())
