"""What the writers of all dialects share: which event is written by which method."""

from routing.translation.answers.events import (
    STOP,
    Close,
    Delta,
    End,
    Event,
    Failure,
    Open,
    Ping,
    Spent,
    Start,
    State,
    Stop,
    Usage,
)
from routing.translation.context import Context


class EventWriter:
    """Takes events one by one. A dialect's writer has a method for each that its clients see something of."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._stop = Stop(STOP)
        self._usage: Usage | None = None
        self.keeps = False  # whether the answer is kept for `whole`

    def write(self, event: Event) -> bytes:
        """Give what the client gets of an event."""
        kind = type(event)
        if kind is Delta:
            return self._delta(event.text)
        if kind is Open:
            return self._open(event)
        if kind is State:
            return self._state(event)
        if kind is Close:
            return self._close()
        if kind is Ping:
            return self.comment()
        if kind is Start:
            return self._start(event)
        if kind is Stop:
            self._stop = event
        elif kind is Spent:
            self._usage = event.usage
        elif kind is End:
            return self._end()
        elif kind is Failure:
            return self._fail(event)
        return b""

    def _start(self, event: Start) -> bytes:
        raise NotImplementedError

    def _open(self, event: Open) -> bytes:
        raise NotImplementedError

    def _delta(self, text: str) -> bytes:
        raise NotImplementedError

    def _state(self, event: State) -> bytes:
        return b""  # a dialect with no place for it

    def _close(self) -> bytes:
        raise NotImplementedError

    def _end(self) -> bytes:
        raise NotImplementedError

    def _fail(self, event: Failure) -> bytes:
        raise NotImplementedError

    def comment(self) -> bytes:
        """Give what keeps the connection alive."""
        return b": keepalive\n\n"
