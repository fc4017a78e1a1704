"""Comments in the pauses of a stream of events, for what lies between and takes silence for the end (a load balancer, a VPN)."""

import asyncio
from typing import TYPE_CHECKING

from proxy.headers import Headers, first

if TYPE_CHECKING:
    from proxy.relay import Relay

# Clients skip it: https://html.spec.whatwg.org/multipage/server-sent-events.html, section 9.2.6.
COMMENT = b": keepalive\n\n"
# Between two events; within one a comment would be a part of it.
_BETWEEN = (b"\n\n", b"\r\r", b"\r\n\r\n")


def is_commentable(headers: Headers) -> bool:
    """Tell whether an answer with these headers is a stream of events that takes more bytes than its provider sends."""
    kind = first(headers, b"content-type") or b""
    if not kind.lstrip().lower().startswith(b"text/event-stream"):
        return False
    return first(headers, b"content-encoding") is None and first(headers, b"content-length") is None


class Commented:
    """A relay's chunks, and COMMENT after each `seconds` without one. No record has the comments."""

    __slots__ = ("_coming", "_relay", "_seconds", "_tail")

    def __init__(self, relay: "Relay", seconds: float) -> None:
        self._relay, self._seconds = relay, seconds
        self._coming: asyncio.Task | None = None
        self._tail = b"\n\n"

    def __aiter__(self) -> "Commented":
        return self

    async def __anext__(self) -> bytes:
        if self._coming is None:
            self._coming = asyncio.ensure_future(self._relay.__anext__())
            self._coming.add_done_callback(_heard)
        if self._tail.endswith(_BETWEEN):
            await asyncio.wait((self._coming,), timeout=self._seconds)
            if not self._coming.done():
                return COMMENT
        try:
            chunk = await self._coming
        finally:
            self._coming = None
        self._tail = (self._tail + chunk[-4:])[-4:]
        return chunk

    def close(self) -> None:
        """End it, as a relay is ended."""
        if self._coming is not None:
            self._coming.cancel()
        self._relay.close()


def _heard(task: asyncio.Task) -> None:
    """Where nobody waits for a chunk any more, that there is none is no error to be told."""
    if not task.cancelled():
        task.exception()
