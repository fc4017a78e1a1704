"""HTTP over a bare socket, for what a polite client would not send or would hide."""

import json
import socket
from dataclasses import dataclass, field


@dataclass
class Answer:
    """An answer: `head` as it came, `chunks` as its body was framed (one for a body with a length)."""

    status: int
    head: bytes
    headers: list[tuple[bytes, bytes]]
    chunks: list[bytes] = field(default_factory=list)
    complete: bool = True

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def json(self):
        return json.loads(self.body)

    def header(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key.lower() == name), None)


class RawClient:
    """A connection to `port`."""

    def __init__(self, port: int, timeout: float = 15) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self._buffer = b""

    def __enter__(self) -> "RawClient":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        """Close with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def request(
        self, method: bytes = b"POST", target: bytes = b"/v1/messages", body: bytes = b"{}", headers: bytes = b""
    ) -> Answer:
        """Send a request with a length and read its answer."""
        length = b"content-length: %d\r\n" % len(body) if body or method == b"POST" else b""
        self.send(b"%b %b HTTP/1.1\r\nhost: localhost\r\n%b%b\r\n%b" % (method, target, length, headers, body))
        return self.answer(method)

    def until(self, mark: bytes) -> bytes:
        """Read up to and with `mark`; what there is at the end of the connection."""
        while mark not in self._buffer:
            data = self.sock.recv(65536)
            if not data:
                found, self._buffer = self._buffer, b""
                return found
            self._buffer += data
        found, _, self._buffer = self._buffer.partition(mark)
        return found + mark

    def exactly(self, size: int) -> bytes:
        """Read `size` bytes, fewer at the end of the connection."""
        found = bytearray(self._buffer)
        while len(found) < size:
            try:
                data = self.sock.recv(1 << 20)
            except ConnectionResetError:
                data = b""
            if not data:
                break
            found += data
        self._buffer = bytes(found[size:])
        return bytes(found[:size])

    def rest(self) -> bytes:
        """Read to the end of the connection."""
        found, self._buffer = [self._buffer], b""
        while True:
            try:
                data = self.sock.recv(1 << 20)
            except ConnectionResetError:
                data = b""
            if not data:
                return b"".join(found)
            found.append(data)

    def head(self) -> Answer:
        """Read a status line and headers."""
        head = self.until(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        assert lines[0].startswith(b"HTTP/1.1 "), head
        pairs = [line.split(b": ", 1) for line in lines[1:] if line]
        headers = [(pair[0], pair[1] if len(pair) > 1 else b"") for pair in pairs]
        return Answer(int(lines[0].split(b" ")[1]), head, headers)

    def chunk(self) -> bytes | None:
        """Read one chunk of a chunked body; None where the body breaks off, empty at its end."""
        line = self.until(b"\r\n")
        if not line.endswith(b"\r\n"):
            return None
        size = int(line, 16)
        data = self.exactly(size + 2)
        return data[:-2] if len(data) == size + 2 else None

    def answer(self, method: bytes = b"POST") -> Answer:
        """Read an answer with its body."""
        answer = self.head()
        if method == b"HEAD" or answer.status in (204, 304) or answer.status < 200:
            return answer
        length = answer.header(b"content-length")
        if length is not None:
            body = self.exactly(int(length))
            answer.chunks, answer.complete = [body], len(body) == int(length)
        elif answer.header(b"transfer-encoding") == b"chunked":
            while chunk := self.chunk():
                answer.chunks.append(chunk)
            answer.complete = chunk == b""
        else:
            answer.chunks = [self.rest()]
        return answer


def assert_error(answer: Answer, dialect: str, status: int, *words: str) -> None:
    """The answer is LunaRoute's own, in the dialect's shape, and says why."""
    assert answer.status == status, answer
    assert answer.header(b"x-lunaroute-error") == b"1"
    value = answer.json
    if dialect == "anthropic":
        assert value["type"] == "error"
        assert set(value["error"]) == {"type", "message"}
    else:
        assert set(value) == {"error"}
        assert set(value["error"]) == {"message", "type", "param", "code"}
    for word in words:
        assert word in value["error"]["message"]
