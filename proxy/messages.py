"""The messages of one direction of a WebSocket, read from its bytes, sans-io.

Frames (RFC 6455) and permessage-deflate (RFC 7692) are read by `websockets`.
"""

from collections.abc import Callable, Generator
from typing import Any

from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.streams import StreamReader

# A message longer than this is not read.
MAX_MESSAGE = 32 << 20

Pairs = list[tuple[str, str]]


class Messages:
    """Frames of one direction, put together to text messages. `masked`: it is the client's; `binary`: others count as well.

    `whole` tells how many bytes of all that were fed belong to whole messages, and to frames between them.
    """

    def __init__(self, masked: bool, deflate: PerMessageDeflate | None, binary: bool = False) -> None:
        self._masked, self._kinds = masked, (Opcode.TEXT, Opcode.BINARY) if binary else (Opcode.TEXT,)
        self._extensions = [deflate] if deflate else []
        self._reader = StreamReader()
        self._parser: Generator | None = None
        self._parts: list[bytes] = []
        self._size = 0  # of all parts
        self._counts = self._is_open = False
        self._fed = self.whole = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes; gives the text messages that are whole by now. Raises ProtocolError, EOFError, ValueError and
        what `websockets` has for a message that is too long."""
        self._reader.feed_data(data)
        self._fed += len(data)
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
                if not self._is_open:
                    self.whole = self._fed - len(self._reader.buffer)

    def _frame(self, frame: Frame, messages: list[bytes]) -> None:
        if frame.opcode not in DATA_OPCODES:
            return
        if frame.opcode is not Opcode.CONT:
            self._parts, self._size, self._counts = [], 0, frame.opcode in self._kinds
        if frame.data:  # else it would cost memory that no limit counts
            self._parts.append(bytes(frame.data))
            self._size += len(frame.data)
        self._is_open = not frame.fin
        if frame.fin:
            if self._counts:
                messages.append(b"".join(self._parts))
            self._parts, self._size = [], 0
        elif self._size > MAX_MESSAGE:
            raise ValueError("the message is too long")


def deflate_of(headers: Pairs) -> Callable[..., Any] | None:
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
