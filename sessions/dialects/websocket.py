"""The Responses API over a WebSocket, read from the bytes of both directions, sans-io.

A client's text message of type ``response.create`` begins an exchange, the provider's messages up to the end of that
response are its answer. Frames (RFC 6455) and permessage-deflate (RFC 7692) are read by `websockets`.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from websockets.exceptions import ProtocolError
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.streams import StreamReader

from sessions.dialects.openai_responses import ENDS
from sessions.dialects.parsing import loads

# A message longer than this is not read; nothing of the connection is then recorded any more.
MAX_MESSAGE = 32 << 20

Pairs = list[tuple[str, str]]


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
        deflate = _deflate_of(response_headers)
        self._client = _Direction(True, deflate and deflate(is_client=False))
        self._upstream = _Direction(False, deflate and deflate(is_client=True))

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

    def _messages(self, direction: "_Direction", data: bytes) -> list[bytes]:
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


class _Direction:
    """Frames of one direction, put together to text messages."""

    def __init__(self, masked: bool, deflate: PerMessageDeflate | None) -> None:
        self._masked = masked
        self._extensions = [deflate] if deflate else []
        self._reader = StreamReader()
        self._parser: Generator | None = None
        self._parts: list[bytes] = []
        self._is_text = False

    def feed(self, data: bytes) -> list[bytes]:
        self._reader.feed_data(data)
        messages: list[bytes] = []
        while True:
            if self._parser is None:
                self._parser = Frame.parse(
                    self._reader.read_exact, mask=self._masked, max_size=MAX_MESSAGE, extensions=self._extensions
                )
            try:
                next(self._parser)
                return messages  # it needs more bytes
            except StopIteration as done:
                self._parser = None
                self._frame(done.value, messages)

    def _frame(self, frame: Frame, messages: list[bytes]) -> None:
        if frame.opcode not in DATA_OPCODES:
            return
        if frame.opcode is not Opcode.CONT:
            self._parts, self._is_text = [], frame.opcode is Opcode.TEXT
        self._parts.append(bytes(frame.data))
        if frame.fin:
            if self._is_text:
                messages.append(b"".join(self._parts))
            self._parts = []


def _deflate_of(headers: Pairs) -> Callable[..., Any] | None:
    """Read what was agreed about compression from the answer to the upgrade."""
    for name, value in headers:
        if name.lower() != "sec-websocket-extensions" or "permessage-deflate" not in value:
            continue
        parameters = {
            key.strip(): value.strip().strip('"')
            for key, _, value in (part.partition("=") for part in value.split(",")[0].split(";")[1:])
        }

        def make(is_client: bool, parameters: dict[str, str] = parameters) -> PerMessageDeflate:
            # The reader of a direction decodes what the other end of it encoded.
            mine, other = ("client", "server") if is_client else ("server", "client")
            return PerMessageDeflate(
                remote_no_context_takeover=f"{other}_no_context_takeover" in parameters,
                local_no_context_takeover=f"{mine}_no_context_takeover" in parameters,
                remote_max_window_bits=int(parameters.get(f"{other}_max_window_bits") or 15),
                local_max_window_bits=int(parameters.get(f"{mine}_max_window_bits") or 15),
            )

        return make
    return None
