"""An answer in one dialect becomes one in another: in JSON, or event by event."""

import json
from typing import Any

import msgspec

from routing.translation.answers.events import BROKE_OFF, End, Event, Failure, Ping, Start
from routing.translation.answers.reading import READERS
from routing.translation.answers.writing import WRITERS
from routing.translation.context import Context
from routing.translation.errors import message_of
from routing.translation.sse import Events

# How a body begins that is a stream, though JSON was asked for.
_STREAMS = (b"event:", b"data:", b":", b"id:", b"retry:")


class WrongDialect(Exception):
    """What came is no answer of the provider's dialect. The text ends a sentence that begins with the provider."""


def translate_answer(context: Context, body: bytes, created: int = 0) -> bytes:
    """Give a whole answer in the client's dialect; `created` as for StreamTranslator. Raises WrongDialect."""
    writer = WRITERS[context.client](context, created)
    writer.keeps = True
    for event in _whole(context, body):
        if isinstance(event, Failure):
            raise WrongDialect(f"failed: {event.message}")
        writer.write(event)
    return writer.whole()


class StreamTranslator:
    """Translates a stream. `created`: seconds since the epoch, for dialects that tell when an answer was made."""

    def __init__(self, context: Context, created: int) -> None:
        self._context = context
        self._stream = _Stream(context)
        self._writer = WRITERS[context.client](context, created)

    def feed(self, data: bytes) -> bytes:
        """Give what the client gets of the provider's next bytes."""
        return self._write(self._stream.feed(data))

    def whole(self, body: bytes) -> bytes:
        """Give the stream for an answer that came as JSON. Raises WrongDialect."""
        return self._write(_whole(self._context, body))

    def close(self, broken: bool) -> bytes:
        """End the stream: a `broken` one, or one that did not say that it was complete, ends in an error."""
        return self._write(self._stream.close(broken))

    def _write(self, events: list[Event]) -> bytes:
        if len(events) == 1:
            return self._writer.write(events[0])
        return b"".join([self._writer.write(event) for event in events])


class _Stream:
    """A provider's stream as events: a Start comes first, an End or a Failure last."""

    def __init__(self, context: Context) -> None:
        self._reader = READERS[context.provider](context)
        self._events = Events()
        self._has_started = False
        self._is_over = False

    def feed(self, data: bytes) -> list[Event]:
        """Give the events that are complete."""
        if self._is_over:
            return []
        out: list[Event] = []
        for found in self._events.feed(data):
            self._add(self._read(found), out)
        return out

    def close(self, broken: bool) -> list[Event]:
        """Give the last events."""
        out: list[Event] = []
        if not broken:
            for found in self._events.finish():
                self._add(self._read(found), out)
            if self._reader.is_over():
                self._add(self._reader.done(), out)
        self._add([Failure(BROKE_OFF)], out)
        return out

    def _read(self, data: bytes | None) -> list[Event]:
        if data is None:
            return [Ping()]
        if data == b"[DONE]":
            return self._reader.done()
        value = _decoded(data)
        if isinstance(value, dict):
            return self._reader.event(value)
        # Left out of the middle of an answer, it would not be noticed.
        return [Failure("The provider sent an event that cannot be read.")] if data.startswith(b"{") else []

    def _add(self, events: list[Event], out: list[Event]) -> None:
        for event in events:
            kind = type(event)
            if self._is_over:
                return
            if kind is End or kind is Failure:
                self._is_over = True
            if kind is Start:
                if self._has_started:
                    continue
                self._has_started = True
            elif not self._has_started and kind is not Failure and kind is not Ping:
                self._has_started = True
                out.append(Start("", ""))
            out.append(event)


def _whole(context: Context, body: bytes) -> list[Event]:
    if body.lstrip().startswith(_STREAMS):
        stream = _Stream(context)
        return [*stream.feed(body), *stream.close(broken=False)]
    value = _decoded(body)
    events = READERS[context.provider](context).whole(value) if isinstance(value, dict) else None
    if events is None:
        begin = message_of(body)[:200]
        raise WrongDialect(f"answered with what is no answer in {context.provider}: {begin!r}")
    return events


def _decoded(data: bytes) -> Any:
    """Give the JSON, or None. Some servers escape half a character, or cut one in the middle."""
    try:
        return msgspec.json.decode(data)
    except (ValueError, RecursionError):
        pass
    try:
        value = json.loads(data.decode("utf-8", "replace"), strict=False)
        return msgspec.json.decode(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
