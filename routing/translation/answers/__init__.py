"""An answer in one dialect becomes one in another: in JSON, or event by event."""

from typing import Any

import msgspec

from routing.translation.answers import chat, messages, responses
from routing.translation.answers.events import End, Event, Failure
from routing.translation.context import CHAT, MESSAGES, RESPONSES, Context
from routing.translation.errors import message_of
from routing.translation.sse import Events

_DIALECTS: dict[str, Any] = {MESSAGES: messages, CHAT: chat, RESPONSES: responses}
BROKE_OFF = "The provider's answer broke off before it was complete."


class WrongDialect(Exception):
    """What came is no answer of the provider's dialect. The text ends a sentence that begins with the provider."""


def translate_answer(context: Context, body: bytes) -> bytes:
    """Give a whole answer in the client's dialect. Raises WrongDialect."""
    writer = _DIALECTS[context.client].Writer(context, 0)
    writer.keeps = True
    for event in _whole(context, body):
        if isinstance(event, Failure):
            raise WrongDialect(f"failed: {event.message}")
        writer.write(event)
    return writer.whole()


def _whole(context: Context, body: bytes) -> list[Event]:
    try:
        value = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        value = None
    events = _DIALECTS[context.provider].Reader(context).whole(value) if isinstance(value, dict) else None
    if events is None:
        begin = message_of(body)[:200]
        raise WrongDialect(f"answered with what is no answer in {context.provider}: {begin!r}")
    return events


class StreamTranslator:
    """Translates a stream. `created`: seconds since the epoch, for dialects that tell when an answer was made."""

    def __init__(self, context: Context, created: int) -> None:
        self._context = context
        self._reader = _DIALECTS[context.provider].Reader(context)
        self._writer = _DIALECTS[context.client].Writer(context, created)
        self._events = Events()
        self._is_over = False

    def feed(self, data: bytes) -> bytes:
        """Give what the client gets of the provider's next bytes."""
        out = []
        for found in self._events.feed(data):
            out.append(self._take(found))
        return out[0] if len(out) == 1 else b"".join(out)

    def whole(self, body: bytes) -> bytes:
        """Give the stream for an answer that came as JSON. Raises WrongDialect."""
        return self._write(_whole(self._context, body))

    def _take(self, data: bytes | None) -> bytes:
        if self._is_over:
            return b""
        if data is None:
            return self._writer.comment()
        if data == b"[DONE]":
            done = getattr(self._reader, "done", None)
            return self._write(done()) if done is not None else b""
        try:
            value = msgspec.json.decode(data)
        except (ValueError, RecursionError):
            return b""
        return self._write(self._reader.event(value)) if isinstance(value, dict) else b""

    def _write(self, events: list[Event]) -> bytes:
        out = []
        for event in events:
            if self._is_over:
                break
            out.append(self._writer.write(event))
            self._is_over = isinstance(event, End | Failure)
        return out[0] if len(out) == 1 else b"".join(out)

    def close(self, broken: bool) -> bytes:
        """End the stream: a `broken` one, or one that did not say that it was complete, ends in an error."""
        out = b"" if broken else b"".join([self._take(found) for found in self._events.finish()])
        if self._is_over:
            return out
        if not broken and self._reader.is_over():
            return out + self._write(self._reader.done())
        return out + self._write([Failure(BROKE_OFF)])
