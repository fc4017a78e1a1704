"""How many frames pass on a WebSocket (RFC 6455, section 5.2), told from their heads alone."""


class FrameCounter:
    """Counts the frames of one direction. Its bytes may come in any pieces."""

    __slots__ = ("_head", "_left")

    def __init__(self) -> None:
        self._head = b""  # of a frame whose head is not complete
        self._left = 0  # bytes of a payload that are still to come

    @property
    def is_between(self) -> bool:
        """Whether the last frame is complete."""
        return not self._left and not self._head

    def feed(self, data: bytes) -> int:
        """Take what has come; give how many frames have begun with it, each counted when its head is complete."""
        if len(data) <= self._left:
            self._left -= len(data)
            return 0
        at, end, count = self._left, len(data), 0
        if self._head:
            data, self._head = self._head + data, b""
            end = len(data)
        while end - at >= 2:
            length = data[at + 1] & 127
            size = (2, 4, 10)[(length > 125) + (length > 126)] + (4 if data[at + 1] & 128 else 0)
            if end - at < size:
                break
            if length > 125:
                length = int.from_bytes(data[at + 2 : at + (4 if length == 126 else 10)])
            count += 1
            at += size + length
        self._left = max(at - end, 0)
        self._head = data[at:]
        return count
