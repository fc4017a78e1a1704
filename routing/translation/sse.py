"""Server-sent events, from bytes in any pieces. https://html.spec.whatwg.org/multipage/server-sent-events.html."""


class Events:
    """Takes a stream apart: `feed` gives the data of each event that is complete, and comments as None."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._looked = 0  # bytes of the buffer in which no line ends
        self._data: list[bytes] = []

    def feed(self, data: bytes) -> list[bytes | None]:
        """Give what has become complete."""
        if b"\r" in data or self._buffer.endswith(b"\r"):
            return self._feed_carefully(data)
        return self._feed(data)

    def _feed(self, data: bytes) -> list[bytes | None]:
        buffer = self._buffer
        buffer += data
        found: list[bytes | None] = []
        start = 0
        while (end := buffer.find(b"\n", max(start, self._looked))) >= 0:
            self._line(bytes(buffer[start:end]), found)
            start = end + 1
            self._looked = 0
        if start:
            del buffer[:start]
        self._looked = len(buffer)
        return found

    def _feed_carefully(self, data: bytes) -> list[bytes | None]:
        """Lines may end with CR LF, LF or CR; a CR at the end waits for what comes after it."""
        if self._buffer.endswith(b"\r"):
            del self._buffer[-1:]
            self._looked = min(self._looked, len(self._buffer))
            data = b"\r" + data
        held = data.endswith(b"\r")
        data = (data[:-1] if held else data).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        found = self._feed(data)
        if held:
            self._buffer += b"\r"
        return found

    def finish(self) -> list[bytes | None]:
        """Give the last event, where the stream ended without the empty line after it."""
        found: list[bytes | None] = []
        rest = bytes(self._buffer).rstrip(b"\r")
        self._buffer.clear()
        if rest:
            self._line(rest, found)
        self._line(b"", found)
        return found

    def _line(self, line: bytes, found: list[bytes | None]) -> None:
        if not line:
            if self._data:
                found.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                self._data = []
        elif line.startswith(b"data:"):
            self._data.append(line[6:] if line[5:6] == b" " else line[5:])
        elif line.startswith(b":"):
            found.append(None)
