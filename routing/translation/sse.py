"""Server-sent events, from bytes in any pieces. https://html.spec.whatwg.org/multipage/server-sent-events.html."""

_BOM = b"\xef\xbb\xbf"


class Events:
    """Takes a stream apart: `feed` gives the data of each event that is complete, and comments as None."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._looked = 0  # bytes of the buffer in which no line ends
        self._data: list[bytes] = []
        self._is_after_cr = False  # a LF that comes now belongs to the line end before it
        self._is_first = True

    def feed(self, data: bytes) -> list[bytes | None]:
        """Give what has become complete."""
        if not data:
            return []
        if self._is_after_cr and data[0] == 10:
            data = data[1:]
            self._is_after_cr = False
        if b"\r" in data:
            self._is_after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        elif data:
            self._is_after_cr = False
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

    def finish(self) -> list[bytes | None]:
        """Give the last event, where the stream ended without the empty line after it."""
        found: list[bytes | None] = []
        rest = bytes(self._buffer)
        self._buffer.clear()
        if rest:
            self._line(rest, found)
        self._line(b"", found)
        return found

    def _line(self, line: bytes, found: list[bytes | None]) -> None:
        if self._is_first:
            self._is_first = False
            line = line.removeprefix(_BOM)
        if not line:
            if self._data:
                found.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                self._data = []
        elif line.startswith(b"data:"):
            self._data.append(line[6:] if line[5:6] == b" " else line[5:])
        elif line == b"data":
            self._data.append(b"")
        elif line.startswith(b":"):
            found.append(None)
