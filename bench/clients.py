"""Clients that cost little themselves: bare sockets, prepared bytes."""

import select
import socket
import threading
import time
from collections.abc import Callable
from statistics import median, quantiles


def request(size: int, target: str = "/v1/messages", head: str = "") -> bytes:
    """A request of `size` bytes of JSON body."""
    start, end = b'{"model":"claude-sonnet-4-5","messages":[{"role":"user","content":"', b'"}]}'
    body = start + b"x" * (size - len(start) - len(end)) + end
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"POST {target} HTTP/1.1\r\nHost: localhost\r\n{head}\r\n".encode() + body


def connect(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def receive(sock: socket.socket) -> bytes:
    """Bytes that have come, at least one. Raises ConnectionError where the other side has closed."""
    data = sock.recv(65536)
    if not data:
        raise ConnectionError(f"port {sock.getpeername()[1]} closed the connection in the middle of an answer")
    return data


def answer_size(sock: socket.socket, data: bytes) -> int:
    """The bytes of an answer, which are the same each time (a Date header has one length)."""
    sock.sendall(data)
    head = b""
    while b"\r\n\r\n" not in head:
        head += receive(sock)
    head, _, body = head.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    assert head.startswith(b"HTTP/1.1 200"), head
    while len(body) < length:
        body += receive(sock)
    return len(head) + 4 + length


def latencies(
    ports: dict[str, int], size: int, count: int, block: int = 25, targets: dict[str, str] | None = None,
    settle: dict[str, Callable[[], None]] | None = None,
) -> dict[str, list[float]]:  # fmt: skip
    """Milliseconds of `count` requests to each port on one connection each, in turns of `block`.

    `targets` names the path for a port where it is not that of Anthropic's messages; `settle` waits, after a port's turn, for
    what it has left to do, which would else slow down the next one's.
    """
    requests = {name: request(size, (targets or {}).get(name, "/v1/messages")) for name in ports}
    sockets = {name: connect(port) for name, port in ports.items()}
    sizes = {name: answer_size(sock, requests[name]) for name, sock in sockets.items()}
    found: dict[str, list[float]] = {name: [] for name in ports}
    for _ in range(count // block):
        for name, port in ports.items():
            for _ in range(block):
                began = time.perf_counter()
                try:
                    sockets[name].sendall(requests[name])
                    left = sizes[name]
                    while left > 0:
                        left -= len(receive(sockets[name]))
                except ConnectionError:  # the upstream answers before it has read: a connection may end with that
                    sockets[name] = connect(port)
                    continue
                found[name].append((time.perf_counter() - began) * 1e3)
            if settle and name in settle:
                settle[name]()
    for sock in sockets.values():
        sock.close()
    return found


def statuses(port: int, connections: int, each: int, size: int = 20_000) -> list[int]:
    """The status of `each` requests on every one of `connections`."""
    found: list[int] = []

    def ask() -> None:
        data, sock = request(size), connect(port)
        for _ in range(each):
            sock.sendall(data)
            head = b""
            while b"\r\n\r\n" not in head:
                head += receive(sock)
            head, _, body = head.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            while len(body) < length:
                body += receive(sock)
            found.append(int(head[9:12]))
        sock.close()

    threads = [threading.Thread(target=ask) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def throughput(port: int, connections: int, seconds: float, size: int = 20_000) -> float:
    """Requests a second over `connections`, each with one request under way."""
    data = request(size)
    sockets = {}
    poll = select.epoll()
    for _ in range(connections):
        sock = connect(port)
        length = answer_size(sock, data)
        sock.setblocking(False)
        sockets[sock.fileno()] = [sock, length]
        poll.register(sock.fileno(), select.EPOLLIN)
    done, began = 0, time.perf_counter()
    for sock, _ in sockets.values():
        sock.send(data)
    while (now := time.perf_counter()) - began < seconds:
        for descriptor, _ in poll.poll(1):
            entry = sockets[descriptor]
            received = entry[0].recv(65536)
            if not received:
                raise ConnectionError("a connection was closed under load")
            entry[1] -= len(received)
            if entry[1] == 0:
                entry[1] = length
                done += 1
                entry[0].send(data)
    for sock, _ in sockets.values():
        sock.close()
    return done / (now - began)


def stream_delays(port: int, streams: int) -> list[list[float]]:
    """Milliseconds from the sending of each event to its arrival, for `streams` streams at once."""
    found: list[list[float]] = [[] for _ in range(streams)]

    def read(number: int) -> None:
        sock = connect(port)
        sock.sendall(request(2000, "/v1/responses"))
        rest = b""
        while b"data: end" not in rest:
            data = sock.recv(65536)
            now = time.monotonic_ns()
            if not data:
                raise ConnectionError("a stream broke off")
            *lines, rest = (rest + data).split(b"\n")
            found[number] += [
                (now - int(line[6:])) / 1e6 for line in lines if line.startswith(b"data: ") and line[6:7].isdigit()
            ]
            rest = b"data: end" if any(line.startswith(b"data: end") for line in lines) else rest
        sock.close()

    threads = [threading.Thread(target=read, args=(number,)) for number in range(streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def percentile(values: list[float], percent: int) -> float:
    return median(values) if percent == 50 else quantiles(values, n=100)[percent - 1]
