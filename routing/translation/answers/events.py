"""An answer in no vendor's words: a short run of events, in which one block is open at a time."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

TEXT, THINKING, REFUSAL, CALL = "text", "thinking", "refusal", "call"
# Why an answer ended.
STOP, LENGTH, TOOLS, SEQUENCE, REFUSED, PAUSE = "stop", "length", "tools", "sequence", "refused", "pause"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens in classes that do not overlap, but for `thinking`, which is part of `output`."""

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    thinking: int = 0

    @property
    def prompt(self) -> int:
        return self.input + self.cache_read + self.cache_write


@dataclass(frozen=True, slots=True)
class Start:
    id: str
    model: str
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Open:
    """A block begins. `id` and `name` are a call's."""

    kind: str
    id: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Delta:
    """More of the open block."""

    text: str


@dataclass(frozen=True, slots=True)
class State:
    """The vendor's own state of the open block of thinking: what it signed, encrypted or redacted."""

    signature: str = ""
    redacted: str = ""
    item_id: str = ""
    encrypted: str = ""


@dataclass(frozen=True, slots=True)
class Close:
    """The open block ends."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Why the answer ended, and what it took. Its last event is an End."""

    reason: str
    sequence: str | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    usage: Usage


@dataclass(frozen=True, slots=True)
class End:
    pass


@dataclass(frozen=True, slots=True)
class Failure:
    """The provider says that it failed."""

    message: str
    status: int = 500


Event = Start | Open | Delta | State | Close | Stop | Spent | End | Failure


@dataclass(slots=True)
class _Block:
    kind: str
    id: str
    name: str
    waiting: list[Event] = field(default_factory=list)
    is_closed: bool = False
    written: list[str] = field(default_factory=list)  # a call's arguments so far


class Sequence:
    """Puts blocks that come side by side one after another: the first streams, the others wait for their turn."""

    def __init__(self) -> None:
        self._blocks: dict[Any, _Block] = {}  # that are not over, in order

    def has(self, key: Any) -> bool:
        """Whether the block is there and not over."""
        return key in self._blocks

    def open(self, key: Any, kind: str, id: str = "", name: str = "") -> list[Event]:
        """Begin a block."""
        events = self._finished_calls() if kind == CALL else self.close_all()
        block = self._blocks[key] = _Block(kind, id, name)
        return [*events, *self._say(block, Open(kind, id, name))]

    def _finished_calls(self) -> list[Event]:
        """Close the calls whose arguments are complete: no vendor says so, and the next call should not wait for the end."""
        events: list[Event] = []
        for key, block in list(self._blocks.items()):
            if block.kind != CALL or _is_complete("".join(block.written)):
                events += self.close(key)
        return events

    def delta(self, key: Any, text: str) -> list[Event]:
        """Go on with a block."""
        block = self._blocks.get(key)
        if block is None or not text:
            return []
        if block.kind == CALL:
            block.written.append(text)
        return self._say(block, Delta(text))

    def state(self, key: Any, state: State) -> list[Event]:
        """Give a block its vendor's state."""
        block = self._blocks.get(key)
        return self._say(block, state) if block is not None else []

    def close(self, key: Any) -> list[Event]:
        """End a block; who waited behind it goes on."""
        block = self._blocks.get(key)
        if block is None:
            return []
        block.is_closed = True
        events = self._say(block, Close())
        while self._blocks and next(iter(self._blocks.values())).is_closed:
            self._blocks.pop(next(iter(self._blocks)))
            head = next(iter(self._blocks.values()), None)
            if head is not None:
                events += head.waiting
                head.waiting = []
        return events

    def close_all(self) -> list[Event]:
        """End all blocks."""
        return [event for key in list(self._blocks) for event in self.close(key)]

    def _say(self, block: _Block, event: Event) -> list[Event]:
        if block is next(iter(self._blocks.values())):
            return [event]
        block.waiting.append(event)
        return []


def _is_complete(text: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except (ValueError, RecursionError):
        return False


def block_events(kind: str, text: str, id: str = "", name: str = "", state: State | None = None) -> Iterable[Event]:
    """Give a whole block's events."""
    yield Open(kind, id, name)
    if text:
        yield Delta(text)
    if state is not None:
        yield state
    yield Close()


def count(value: Any) -> int:
    """Give a number of tokens, whatever stands there."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def mapping(value: Any) -> dict[str, Any]:
    """Give an object, an empty one where there is none."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """Give a list's objects, none where there is none."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text_of(value: Any) -> str:
    """Give a text, an empty one where there is none."""
    return value if isinstance(value, str) else ""
