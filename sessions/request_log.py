"""The request log: requests and their answers as boxes, in an order that can be read. No terminal, no clock of its own.

One exchange has the floor: the one that began first. Its answer is told as it comes; the others wait, and what has
ended meanwhile follows whole. Who says nothing for a while, though others have something to tell, gives up the floor:
its box is closed, and goes on in another that says whose it is.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pii.redactor import Redactor
from sessions import boxes
from sessions.boxes import Answered, Asked
from sessions.digest import Live
from sessions.partial import Cursor

# Seconds for which who has the floor may say nothing while others wait.
PATIENCE = 2.0
# Characters of text that make a line, where more has come at once.
PIECE = 16
# Characters of ended answers that may wait.
MAX_WAITING = 1 << 20


@dataclass(slots=True)
class _Entry:
    """An exchange in the log. `rest` is what is left to tell of one that has ended; `live` is its source until then."""

    asked: Asked
    live: Live | None
    cursor: Cursor
    is_asked: bool = False  # its request was told
    is_open: bool = False  # the box of its answer is open
    is_apart: bool = False  # another box stands behind its last one
    has_begun: bool = False  # some of its answer was told
    called: set[int] = field(default_factory=set)  # blocks whose tool was named
    rest: list[str] | None = None

    @property
    def has_news(self) -> bool:
        return (
            not self.is_asked
            or self.rest is not None
            or (self.live is not None and self.live.has_more_for(self.cursor))
        )

    @property
    def size(self) -> int:
        """Characters that it holds by itself: those of an answer that has ended."""
        return 0 if self.rest is None else sum(map(len, self.rest)) + len(self.asked.body)


class RequestLog:
    """Takes what happens to exchanges and writes lines. `is_detailed` adds headers, times and bodies.

    What it is given is redacted already, but for the text of answers under way: that is done by `redactor`.
    """

    def __init__(
        self, write: Callable[[list[str]], None], is_detailed: bool = False, redactor: Redactor | None = None
    ) -> None:
        self._write, self._is_detailed, self._redactor = write, is_detailed, redactor
        self._entries: dict[str, _Entry] = {}  # by request id, who has the floor or gets it next first
        self._waiting = 0  # characters
        self._left_out = 0  # answers
        self._floor = ""  # whose it is, by request id
        self._spoke_at = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._entries

    def opened(self, asked: Asked, live: Live, is_known: bool = False) -> None:
        """Take a request. `is_known`: it was told by a recorder before this one."""
        entry = _Entry(asked, live, Cursor(self._redactor), is_asked=is_known, is_apart=is_known)
        self._entries.setdefault(asked.request_id, entry)

    def ended(self, request_id: str, answered: Answered) -> None:
        """Take the end of an answer."""
        entry = self._entries.get(request_id)
        if entry is None or entry.live is None:
            return
        entry.rest = [*self._ending(entry, answered), ""]
        entry.live = None  # it may hold much
        if request_id == self._floor:
            return
        if self._waiting + entry.size > MAX_WAITING:
            self._left_out += 1
            del self._entries[request_id]
        else:
            self._waiting += entry.size

    def look(self, now: float) -> None:
        """Write what there is to tell. `now` in seconds, of any clock that only goes forward."""
        out: list[str] = []
        while self._entries:
            entry = self._holder(now)
            said = self._told(entry)
            out += said
            if entry.rest is not None:
                out += self._leave(entry)
                continue
            if said:
                self._spoke_at = now
            if now < self._spoke_at + PATIENCE or not self._give_way(entry, out):
                break
        if out:
            self._write(out)

    def _holder(self, now: float) -> _Entry:
        """Give who has the floor; where nobody has, the next one gets it."""
        if self._floor not in self._entries:
            self._floor, self._spoke_at = next(iter(self._entries)), now
            self._waiting -= self._entries[self._floor].size
        return self._entries[self._floor]

    def _told(self, entry: _Entry) -> list[str]:
        """Give what an exchange has to tell now, but for its end."""
        out: list[str] = []
        if not entry.is_asked:
            entry.is_asked = True
            out += [*boxes.request_box(entry.asked, self._is_detailed), ""]
        if entry.live is not None and entry.live.is_stream:
            said = list(self._text(entry, entry.live))
            if said and not entry.is_open:
                out += self._title(entry)
                entry.is_open = True
            out += said
        return out

    def _title(self, entry: _Entry) -> list[str]:
        has_begun, entry.has_begun = entry.has_begun, True
        if entry.is_apart:
            return boxes.resumed_title(entry.asked, has_begun)
        return boxes.stream_title(entry.asked.provider)

    def _text(self, entry: _Entry, live: Live, is_over: bool = False) -> Iterator[str]:
        yield from self._lines(entry, live.told_by(entry.cursor, PIECE))
        if is_over:
            yield from self._lines(entry, live.held_by(entry.cursor))

    def _lines(self, entry: _Entry, pieces: Iterator) -> Iterator[str]:
        for piece in pieces:
            if piece.kind != "tool_call":
                yield from boxes.text_lines(piece.kind, piece.text)
            elif piece.name and piece.index not in entry.called:
                entry.called.add(piece.index)
                yield boxes.tool_line(piece.name)

    def _ending(self, entry: _Entry, answered: Answered) -> list[str]:
        """Give what is left to tell of an answer that has ended."""
        asked, out = entry.asked, []
        if answered.is_stream:
            if not entry.is_open:
                out += self._title(entry)
            out += self._text(entry, entry.live, is_over=True)
        else:
            out += boxes.response_title(asked, answered, entry.is_apart)
            out += boxes.block_lines(answered.blocks)
        return out + boxes.end_lines(asked, answered, self._is_detailed)

    def _leave(self, entry: _Entry) -> list[str]:
        """Take an exchange that has ended out of the log; gives its last lines."""
        del self._entries[entry.asked.request_id]
        out = entry.rest
        if self._left_out and not self._waiting:
            out = [*out, f"… {self._left_out:,} answers are left out here: too many ended at once", ""]
            self._left_out = 0
        return out

    def _give_way(self, entry: _Entry, out: list[str]) -> bool:
        """Let the next one that has something to tell have the floor. False where nobody has."""
        request_id = entry.asked.request_id
        others = (other for name, other in self._entries.items() if name != request_id)
        following = next((other for other in others if other.has_news), None)
        if following is None:
            return False
        if entry.is_open:
            out += [*boxes.paused(entry.asked), ""]
        entry.is_open, entry.is_apart = False, True
        # Behind all others; the one that follows before them.
        self._entries[request_id] = self._entries.pop(request_id)
        self._entries = {following.asked.request_id: following, **self._entries}
        self._floor = ""
        return True
