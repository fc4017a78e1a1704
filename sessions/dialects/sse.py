"""Server-sent events, sans-io (WHATWG HTML, section 9.2.6): bytes in any chunking give the same events."""

import msgspec

_BOM = b"\xef\xbb\xbf"


class ServerEvent(msgspec.Struct, frozen=True):
    """An event's name ("" where it has none) and its data."""

    name: str
    data: bytes


class SseParser:
    """Feed it bytes; it gives the events that they complete."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []  # a line that has not ended
        self._name = b""
        self._data: list[bytes] = []
        self._after_cr = False
        self._at_start = True

    def feed(self, data: bytes) -> list[ServerEvent]:
        """Take bytes; give complete events."""
        if self._after_cr:  # a CR ended the last line; a LF now belongs to it
            if data[:1] == b"\n":
                data = data[1:]
            self._after_cr = not data
        if not data:
            return []
        self._after_cr = data[-1:] == b"\r"
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if b"\n" not in data:
            self._rest.append(data)
            return []
        *lines, rest = data.split(b"\n")
        if self._rest:
            lines[0] = b"".join((*self._rest, lines[0]))
        self._rest = [rest] if rest else []
        if self._at_start:
            self._at_start = False
            lines[0] = lines[0].removeprefix(_BOM)
        events: list[ServerEvent] = []
        for line in lines:
            if not line:
                if self._data:
                    events.append(ServerEvent(self._name.decode("utf-8", "replace"), b"\n".join(self._data)))
                self._name, self._data = b"", []
                continue
            field, _, value = line.partition(b":")
            if field == b"data":
                self._data.append(value.removeprefix(b" "))
            elif field == b"event":
                self._name = value.removeprefix(b" ")
        return events
