"""Lines to a terminal, a pipe or a file, by a thread of their own: who writes never waits for who reads."""

import os
import select
import threading
from collections import deque

# Bytes that wait for a reader; what comes beyond that is dropped.
MAX_QUEUED = 4 << 20
# Bytes written at once.
AT_ONCE = 1 << 16

_DIM, _BOLD, _RED, _OFF = "\x1b[2m", "\x1b[1m", "\x1b[31m", "\x1b[0m"


def has_colours(fd: int) -> bool:
    """Whether lines to `fd` are coloured: on a terminal, unless NO_COLOR is set (https://no-color.org)."""
    return os.isatty(fd) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painted(line: str) -> str:
    """Give a line of a box in colours."""
    if line[:1] in ("┌", "├", "└"):
        return f"{_DIM}{line}{_OFF}"
    if line[:1] != "│":
        return line
    text = line[1:]
    if text.startswith((" REQUEST to ", " STREAMING from ", " RESPONSE from ")):
        text = f"{_BOLD}{text}{_OFF}"
    elif text.startswith(" ❌"):
        text = f"{_RED}{text}{_OFF}"
    return f"{_DIM}│{_OFF}{text}"


class Terminal:
    """Writes lines to a file descriptor. Lines that nobody takes are dropped, and their number said."""

    def __init__(self, fd: int, max_queued: int = MAX_QUEUED) -> None:
        self._fd, self._max_queued, self._has_colours = fd, max_queued, has_colours(fd)
        self._queue: deque[bytes] = deque()
        self._size = self._dropped = 0
        self._is_gone = False
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="terminal", daemon=True).start()

    def write(self, lines: list[str]) -> None:
        """Queue lines and return at once."""
        shown = map(painted, lines) if self._has_colours else lines
        data = "".join(f"{line}\n" for line in shown).encode("utf-8", "replace")
        with self._changed:
            if self._is_gone:
                return
            if self._size + len(data) > self._max_queued:
                self._dropped += len(lines)
                return
            if self._dropped:
                data = f"… {self._dropped:,} lines are left out here: nobody took them in time\n\n".encode() + data
                self._dropped = 0
            self._queue.append(data)
            self._size += len(data)
            self._changed.notify_all()

    def close(self, seconds: float) -> None:
        """Wait until all is written, at most that long."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_gone or not self._size, seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue)
                data = self._queue[0]
            try:
                self._write(data)
            except OSError:  # who read is gone, or the disk is full
                with self._changed:
                    self._is_gone = True
                    self._queue.clear()
                    self._changed.notify_all()
                return
            with self._changed:
                self._queue.popleft()
                self._size -= len(data)
                self._changed.notify_all()

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._fd, rest[:AT_ONCE]) :]
            except BlockingIOError:  # another program may have made the terminal so
                select.select([], [self._fd], [])
