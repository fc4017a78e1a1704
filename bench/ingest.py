"""Exchanges a second that a recorder takes from a queue that is always full."""

import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from pathlib import Path

from bench.conversations import REQUEST_HEADERS, Conversation, answer_headers
from proxy.capture import ACK, HEADER
from tests.support.databases import postgres
from tests.support.exchanges import frames, packed
from tests.support.server import environment

SESSIONS, TURNS = 40, 36
# What the proxy holds for a recorder: more is not sent before something is acknowledged.
IN_FLIGHT = 64 << 20
# Exchanges after which what the recorder says is read: while nobody reads, it does not read either.
MAX_UNREAD = 50


def prepare(sessions: int = SESSIONS, turns: int = TURNS) -> list[bytes]:
    """Give the frames of each exchange, the sessions' exchanges interleaved as if all ran at once."""
    running = [Conversation(1000 + number, 18_000, 2_200).turns(turns) for number in range(sessions)]
    found: list[bytes] = []
    for _ in range(turns):
        for conversation in running:
            given, number = next(conversation), len(found) + 1
            some = frames(
                given.body, [b"".join(given.events[at : at + 12]) for at in range(0, len(given.events), 12)],
                headers=[*REQUEST_HEADERS, ("content-length", str(len(given.body)))],
                answer_headers=answer_headers(number),
            )  # fmt: skip
            found.append(packed(number, some))
    return found


class Recorder:
    """A recorder process with a home of its own, and the socket that takes frames."""

    def __init__(self, database_url: str = "") -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="lunaroute-bench-", ignore_cleanup_errors=True)
        self.home = Path(self._directory.name)
        more = {"DATABASE_URL": database_url} if database_url else {}
        environ = {**environment(self.home, **more), "DJANGO_SETTINGS_MODULE": "lunaroute_site.settings"}
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], env=environ, check=True)
        self._control, control = socket.socketpair()
        self.line, line = socket.socketpair()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.ingest", str(control.fileno())], env=environ, pass_fds=[control.fileno()]
        )
        self._sent, self._rest = 0, b""
        control.close()
        socket.send_fds(self._control, [b"x"], [line.fileno()])
        line.close()

    def send(self, data: bytes) -> None:
        """Hand over an exchange's frames."""
        self.line.sendall(data)
        self._sent += 1
        if self._sent >= MAX_UNREAD:
            self.wait()

    def wait(self) -> None:
        """Wait until all that was sent is stored."""
        while self._sent:
            self._sent -= self.acknowledged()

    def acknowledged(self) -> int:
        """Wait for what the recorder says; gives how many exchanges it has acknowledged with that."""
        data = self._rest + self.line.recv(1 << 16)
        count = at = 0
        while len(data) - at >= HEADER.size:
            length, kind, _, _ = HEADER.unpack_from(data, at)
            if len(data) - at < HEADER.size + length:
                break
            at += HEADER.size + length
            count += kind == ACK
        self._rest = data[at:]
        return count

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *_: object) -> None:
        self.line.close()
        self._control.close()
        self.process.wait(60)
        self._directory.cleanup()


def rate(exchanges: list[bytes], database_url: str = "") -> float:
    """Exchanges acknowledged a second, from the first byte sent to the last acknowledgement."""
    with Recorder(database_url) as recorder:
        recorder.send(exchanges[0])
        recorder.wait()  # before the clock runs: the recorder has then started
        sender = Sender(recorder.line, exchanges[1:])
        began = time.perf_counter()
        sender.start()
        acknowledged = 1
        while acknowledged < len(exchanges):
            count = recorder.acknowledged()
            acknowledged += count
            sender.acknowledge(count)
        took = time.perf_counter() - began
        sender.join()
    return (len(exchanges) - 1) / took


class Sender(threading.Thread):
    """Sends exchanges as fast as they are taken, at most `IN_FLIGHT` bytes before they are acknowledged."""

    def __init__(self, line: socket.socket, exchanges: list[bytes]) -> None:
        super().__init__(daemon=True)
        self._line, self._exchanges = line, exchanges
        self._sent: deque[int] = deque()
        self._room = threading.Condition()
        self._held = 0

    def run(self) -> None:
        for data in self._exchanges:
            with self._room:
                self._room.wait_for(lambda: self._held < IN_FLIGHT)
                self._held += len(data)
                self._sent.append(len(data))
            self._line.sendall(data)

    def acknowledge(self, count: int) -> None:
        """Note that `count` more exchanges are stored."""
        with self._room:
            self._held -= sum(self._sent.popleft() for _ in range(count))
            self._room.notify()


def bench_ingest(table, line, spread, rounds: int) -> None:
    """Print exchanges a second on both databases."""
    exchanges = prepare()
    size = sum(map(len, exchanges)) / len(exchanges)
    table(f"ingest, {SESSIONS} sessions, {size / 1e3:.0f} KB an exchange", "exchanges a second")
    line("SQLite", spread([rate(exchanges) for _ in range(rounds)], digits=0))
    rates = []
    for _ in range(rounds):
        with postgres() as address:
            rates.append(rate(exchanges, address))
    line("PostgreSQL", spread(rates, digits=0))


def _record(control: int) -> None:
    import django

    django.setup()
    from sessions.recorder import run

    run(socket.socket(fileno=control))


if __name__ == "__main__":
    _record(int(sys.argv[1]))
