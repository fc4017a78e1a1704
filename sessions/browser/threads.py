"""The tree of a session's exchanges: which of them make one conversation, and which are branches of it. Pure functions.

Clients put more than one conversation into a session: sub-agents, errands (a title, a summary), a conversation that goes
on after it was compacted, and forks where a person went back and said something else.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

MAIN, CONTINUED, AGENT, FORK, ERRAND, SIDE = "main", "continued", "agent", "fork", "errand", "side"
NAMES = {CONTINUED: "Continued", AGENT: "Sub-agent", FORK: "Fork", ERRAND: "Errand", SIDE: "Beside"}


@dataclass(frozen=True, slots=True)
class Place:
    """What is known of an exchange without its content."""

    pk: int
    parent: int | None
    kind: str  # of the exchange: model, count_tokens, …
    tool_count: int = 0
    system: bytes = b""


@dataclass(slots=True)
class Thread:
    """Exchanges that continue each other, by primary key, in order. ``origin`` is the exchange it branches off from."""

    number: int
    kind: str
    system: bytes
    origin: int | None = None
    exchanges: list[int] = field(default_factory=list)
    has_tools: bool = False

    @property
    def name(self) -> str:
        """What people call it; empty for the conversation itself."""
        name = NAMES.get(self.kind, "")
        return f"{name} {self.number}" if self.kind in (AGENT, FORK) else name


def threads_of(places: Iterable[Place]) -> list[Thread]:
    """Give a session's threads; `places` are its exchanges in the order of their start."""
    found: list[Thread] = []
    of: dict[int, Thread] = {}  # exchange → its thread
    before: int | None = None  # the model exchange before this one
    for place in places:
        thread = of.get(place.parent) if place.parent is not None else None
        if place.kind != "model":
            thread = next((t for t in found if t.kind == SIDE), None)
            if thread is None:
                thread = _new(found, SIDE, b"", None)
        elif thread is None:
            thread = _new(found, MAIN, place.system, before)
        elif thread.exchanges[-1] != place.parent:
            thread = _new(found, FORK, place.system, place.parent)
        thread.exchanges.append(place.pk)
        thread.has_tools = thread.has_tools or place.tool_count > 0
        of[place.pk] = thread
        if place.kind == "model":
            before = place.pk
    _name(found)
    return found


def _new(found: list[Thread], kind: str, system: bytes, origin: int | None) -> Thread:
    thread = Thread(len(found) + 1, kind, system, origin)
    found.append(thread)
    return thread


def _name(threads: list[Thread]) -> None:
    """Tell the roots apart: the longest with tools is the conversation, others are named for how they differ from it."""
    roots = [thread for thread in threads if thread.kind == MAIN]
    if not roots:
        return
    main = max(roots, key=lambda thread: (thread.has_tools, len(thread.exchanges), -thread.number))
    main.origin = None
    for thread in roots:
        if thread is main:
            continue
        if len(thread.exchanges) == 1 and not thread.has_tools and main.has_tools:
            thread.kind = ERRAND
        elif thread.system == main.system:
            thread.kind = CONTINUED
        else:
            thread.kind = AGENT
    for number, thread in enumerate((t for t in threads if t.kind in (AGENT, FORK)), 1):
        thread.number = number
