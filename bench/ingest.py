"""Exchanges a second that a recorder takes from a queue that is always full. `python -m bench.ingest` measures only that."""

import argparse
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil

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
            [sys.executable, "-m", "bench.ingest", "--record", str(control.fileno())],
            env=environ,
            pass_fds=[control.fileno()],
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

    def processor(self) -> float:
        """Processor time that the process has used, seconds."""
        return sum(psutil.Process(self.process.pid).cpu_times()[:2])

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *_: object) -> None:
        self.line.close()
        self._control.close()
        self.process.wait(60)
        self._directory.cleanup()


@dataclass(frozen=True, slots=True)
class Rate:
    """Exchanges acknowledged a second, by all recorders together, and the milliseconds of processor time that each
    exchange took of its recorder, and of the database's server."""

    per_second: float
    recorder_ms: float
    server_ms: float = 0.0


def rate(exchanges: list[bytes], database_url: str = "", recorders: int = 1) -> Rate:
    """Measure from the first byte sent to the last acknowledgement. Of several recorders each has sessions of its own."""
    with ExitStack() as stack:
        running = [stack.enter_context(Recorder(database_url)) for _ in range(recorders)]
        shares = [_of_sessions(exchanges, number, recorders) for number in range(recorders)]
        for recorder, share in zip(running, shares, strict=True):  # before the clock runs: all have then started
            recorder.send(share.pop(0))
            recorder.wait()
        used, served = sum(map(Recorder.processor, running)), _servers()
        began = time.perf_counter()
        with ThreadPoolExecutor(recorders) as threads:
            list(threads.map(_fill, running, shares))
        took, count = time.perf_counter() - began, sum(map(len, shares))
        used, served = sum(map(Recorder.processor, running)) - used, _servers() - served
    return Rate(count / took, used / count * 1e3, served / count * 1e3)


def _of_sessions(exchanges: list[bytes], number: int, of: int) -> list[bytes]:
    """Give the exchanges of every `of`th session."""
    return [data for at, data in enumerate(exchanges) if at % SESSIONS % of == number]


def _fill(recorder: Recorder, exchanges: list[bytes]) -> None:
    sender = Sender(recorder.line, exchanges)
    sender.start()
    acknowledged = 0
    while acknowledged < len(exchanges):
        count = recorder.acknowledged()
        acknowledged += count
        sender.acknowledge(count)
    sender.join()


def _servers() -> float:
    """Processor time of PostgreSQL's processes, seconds; of other benchmarks' as well, if some run."""
    used = 0.0
    for process in psutil.process_iter(["name", "cpu_times"]):
        if process.info["name"] == "postgres":
            used += sum(process.info["cpu_times"][:2])
    return used


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
    """Print exchanges a second on both databases, and for two recorders that share PostgreSQL."""
    exchanges = prepare()
    size = sum(map(len, exchanges)) / len(exchanges)
    table(
        f"ingest, {SESSIONS} sessions, {size / 1e3:.0f} KB an exchange",
        "exchanges a second", "recorder's processor time an exchange, ms", "PostgreSQL's, ms",
    )  # fmt: skip
    rates: dict[str, list[Rate]] = {}
    for _ in range(rounds):
        rates.setdefault("SQLite", []).append(rate(exchanges))
        for name, recorders in (("PostgreSQL", 1), ("PostgreSQL, two recorders", 2)):
            with postgres() as address:
                rates.setdefault(name, []).append(rate(exchanges, address, recorders))
    for name, found in rates.items():
        line(
            name,
            spread([one.per_second for one in found], digits=0),
            spread([one.recorder_ms for one in found]),
            spread([one.server_ms for one in found]) if found[0].server_ms else "",
        )


def _alone() -> None:
    from bench.__main__ import line, spread, table

    parser = argparse.ArgumentParser(description="Only how fast exchanges are recorded.")
    parser.add_argument("--rounds", type=int, default=5)
    bench_ingest(table, line, spread, parser.parse_args().rounds)


def _record(control: int) -> None:
    import django

    django.setup()
    from sessions.recorder import run

    run(socket.socket(fileno=control))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--record"]:
        _record(int(sys.argv[2]))
    else:
        _alone()
