"""The Responses API over a WebSocket, read from the bytes of both directions, sans-io.

A client's text message of type ``response.create`` begins an exchange, the provider's messages up to the end of that
response are its answer.
"""

from dataclasses import dataclass

from websockets.exceptions import ProtocolError

from proxy.messages import Messages, Pairs, deflate_of
from sessions.dialects.openai_responses import ENDS
from sessions.dialects.parsing import loads


@dataclass(frozen=True, slots=True)
class SocketRequest:
    """A request: the text of a ``response.create`` message."""

    body: bytes


@dataclass(frozen=True, slots=True)
class SocketMessage:
    """A message of the provider."""

    data: bytes


@dataclass(frozen=True, slots=True)
class SocketEnd:
    """The answer to the last request has ended."""


class WebSocketSplitter:
    """Tells a connection's exchanges apart. Takes the heads of the upgrade; `broken` says why it gave up, if it did."""

    def __init__(self, request_headers: Pairs, response_headers: Pairs) -> None:
        self.broken = ""
        deflate = deflate_of(response_headers)
        self._client = Messages(True, deflate and deflate(is_client=False))
        self._upstream = Messages(False, deflate and deflate(is_client=True))

    def client(self, data: bytes) -> list:
        """Take bytes that the client sent."""
        found: list = []
        for message in self._messages(self._client, data):
            value = loads(message)
            if isinstance(value, dict) and value.get("type") == "response.create":
                found.append(SocketRequest(message))
        return found

    def upstream(self, data: bytes) -> list:
        """Take bytes that the provider sent."""
        found: list = []
        for message in self._messages(self._upstream, data):
            found.append(SocketMessage(message))
            value = loads(message)
            if isinstance(value, dict) and (value.get("type") in ENDS or value.get("type") == "error"):
                found.append(SocketEnd())
        return found

    def _messages(self, direction: Messages, data: bytes) -> list[bytes]:
        if self.broken:
            return []
        try:
            return direction.feed(data)
        except (ProtocolError, EOFError, ValueError) as error:
            self.broken = f"{type(error).__name__}: {error}"
            return []
        except Exception as error:  # websockets has its own for a message that is too long
            self.broken = f"{type(error).__name__}: {error}"
            return []
