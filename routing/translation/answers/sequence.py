"""Blocks that come side by side are put one after another."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import msgspec

from routing.translation.answers.events import CALL, Close, Delta, Event, Open, State


@dataclass(slots=True)
class _Block:
    kind: str
    waiting: list[Event] = field(default_factory=list)
    is_closed: bool = False
    written: list[str] = field(default_factory=list)  # a call's arguments so far


class Sequence:
    """The first block streams, the others wait for their turn.

    `closes`: whether the provider says where a block ends. Where it does not, a block ends as the next begins, but for a
    call whose arguments are not complete.
    """

    def __init__(self, closes: bool) -> None:
        self._closes = closes
        self._open: dict[Any, _Block] = {}  # that may go on
        self._queue: deque[_Block] = deque()  # that are not written in full

    def has(self, key: Any) -> bool:
        """Whether the block is there and may go on."""
        return key in self._open

    def going_on(self) -> list[Any]:
        """Give the blocks that may go on."""
        return list(self._open)

    def open(self, key: Any, kind: str, id: str = "", name: str = "") -> list[Event]:
        """Begin a block."""
        events = self.close(key)
        if not self._closes:
            events += self._close_finished()
        block = self._open[key] = _Block(kind)
        self._queue.append(block)
        return [*events, *self._say(block, Open(kind, id, name))]

    def _close_finished(self) -> list[Event]:
        events: list[Event] = []
        for key, block in list(self._open.items()):
            if block.kind != CALL or _is_complete(block.written):
                events += self.close(key)
        return events

    def delta(self, key: Any, text: str) -> list[Event]:
        """Go on with a block."""
        block = self._open.get(key)
        if block is None or not text:
            return []
        if block.kind == CALL and not self._closes:
            block.written.append(text)
        return self._say(block, Delta(text))

    def state(self, key: Any, state: State) -> list[Event]:
        """Give a block its vendor's state."""
        block = self._open.get(key)
        return self._say(block, state) if block is not None else []

    def close(self, key: Any) -> list[Event]:
        """End a block; who waited behind it goes on."""
        block = self._open.pop(key, None)
        if block is None:
            return []
        block.is_closed = True
        events = self._say(block, Close())
        queue = self._queue
        while queue and queue[0].is_closed:
            queue.popleft()
            if queue:
                events += queue[0].waiting
                queue[0].waiting = []
        return events

    def close_all(self) -> list[Event]:
        """End all blocks."""
        return [event for key in self.going_on() for event in self.close(key)]

    def _say(self, block: _Block, event: Event) -> list[Event]:
        if block is self._queue[0]:
            return [event]
        block.waiting.append(event)
        return []


def _is_complete(written: list[str]) -> bool:
    if not written or not written[-1].endswith("}"):
        return False
    written[:] = ["".join(written)]
    try:
        return isinstance(msgspec.json.decode(written[0]), dict)
    except (ValueError, RecursionError):
        return False
