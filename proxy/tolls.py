"""Requests on a WebSocket, where limits or budgets hold: each is counted, and one that is not let in never reaches the provider.

The upgrade is one request for HTTP, and any number for the provider: a client asks for each answer with a message of the type
``response.create``, and a voice model begins answers by itself (https://platform.openai.com/docs/api-reference/realtime).
Where nothing limits anybody a connection has none of this, and its messages are not read.
"""

import re
from collections.abc import Callable
from time import time

import msgspec
import orjson

from proxy.errors import error_body
from proxy.messages import MAX_MESSAGE, Messages, Pairs, deflate_of
from proxy.stops import MAX_WAIT, Stop

# RFC 6455, section 7.4.1: policy violation; and a message that is no message.
POLICY, MALFORMED = 1008, 1007
UNREADABLE = "LunaRoute counts the requests on this connection, and cannot read what was sent."
_REASON = 123  # bytes of a close frame's reason (RFC 6455, section 5.5)


class _Typed(msgspec.Struct):
    type: object = None


# Within a string of JSON no such quotes stand.
_CREATE = re.compile(rb'"type"\s*:\s*"response\.create"', re.IGNORECASE)
_CREATED = re.compile(rb'"type"\s*:\s*"response\.created"', re.IGNORECASE)
_type = msgspec.json.Decoder(_Typed)


class Toll:
    """Holds back what a client sends until it is a whole message that is let in. `admit` lets a request in, or says why not."""

    def __init__(self, headers: Pairs, admit: Callable[[], Stop | None]) -> None:
        deflate = deflate_of(headers)
        self._client = Messages(True, deflate and deflate(is_client=False), binary=True)
        self._provider = Messages(False, deflate and deflate(is_client=True), binary=True)
        self._admit = admit
        self._held = bytearray()
        self._passed = 0
        self._asked = 0  # answers that the client asked for and the provider has not begun

    def client(self, data: bytes) -> tuple[bytes, Stop | None]:
        """Take bytes of the client. Gives those that go on, and why no more does, or None."""
        self._held += data
        stop = None
        try:
            for message in self._client.feed(data):
                if _is(message, _CREATE, "response.create"):
                    stop = self._admit()
                    if stop is not None:
                        return b"", stop
                    self._asked += 1
        except Exception:  # of three kinds, one of which is websockets' own for what is too long
            return b"", Stop(UNREADABLE, 0.0)
        if len(self._held) > 2 * MAX_MESSAGE:
            return b"", Stop(UNREADABLE, 0.0)
        size = self._client.whole - self._passed
        self._passed = self._client.whole
        passed = bytes(self._held[:size])
        del self._held[:size]
        return passed, None

    def provider(self, data: bytes) -> Stop | None:
        """Look at bytes of the provider: an answer that nobody asked for counts, too. Gives why there may be no more."""
        try:
            messages = self._provider.feed(data)
        except Exception:  # as above
            return Stop(UNREADABLE, 0.0)
        stop = None
        for message in messages:
            if _is(message, _CREATED, "response.created"):
                if self._asked:
                    self._asked -= 1
                else:
                    stop = self._admit() or stop
        return stop


def farewell(stop: Stop) -> bytes:
    """Give the frames that end a connection for a client: the error as the Responses API has it, and the reason once more."""
    if stop.until:
        wait = min(max(int(stop.until - time()), 1), MAX_WAIT)
        error = orjson.loads(error_body("openai", 429, stop.message))
        headers = {"retry-after": str(wait), "x-should-retry": "false"}
        event = orjson.dumps({"type": "error", "status": 429, **error, "headers": headers})
        return _frame(1, event) + _frame(8, POLICY.to_bytes(2) + _shortened(stop.message))
    return _frame(8, MALFORMED.to_bytes(2) + _shortened(stop.message))


def _shortened(text: str) -> bytes:
    return text.encode()[:_REASON].decode(errors="ignore").encode()


def _is(message: bytes, kind: re.Pattern[bytes], wanted: str) -> bool:
    """Tell whether a message may be of that type for a provider, however it reads JSON: with a name twice, say, or with NaN."""
    if kind.search(message):
        return True
    if b"\\" not in message:
        return False
    try:
        return _type.decode(message).type == wanted
    except (ValueError, RecursionError):
        return True


def _frame(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    length = bytes((size,)) if size < 126 else bytes((126,)) + size.to_bytes(2)
    return bytes((0x80 | opcode,)) + length + payload
