"""What the web processes of one server tell each other: their metrics, when any of them is asked for all, and who guesses.

Each has a line to every other, a socket pair from the supervisor. A question and an answer are frames: a length (u32,
big-endian), the question's number (u32), and JSON; a question has none. News, which nobody answers, have a number of their own.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import msgspec
from prometheus_client import Metric
from prometheus_client.samples import Exemplar, Sample

from proxy.throttle import Throttle

logger = logging.getLogger("lunaroute.metrics")

HEADER = struct.Struct(">II")
# Seconds that another process may take: one that hangs is left out, as one that has died is.
PATIENCE = 2.0
# Bit of a number that marks an answer.
ANSWER = 1 << 31
# Number of news.
NEWS = ANSWER - 1


class Family(msgspec.Struct, frozen=True, array_like=True):
    """A family of metrics on its way."""

    name: str
    text: str
    kind: str
    samples: list[tuple[str, dict[str, str], float, tuple[dict[str, str], float, float | None] | None]]


class Guess(msgspec.Struct, frozen=True, array_like=True):
    """What the throttle of a process has found out (proxy/throttle.py)."""

    is_failure: bool
    place: str
    digest: bytes


_decode_guess = msgspec.json.Decoder(Guess).decode
_decode = msgspec.json.Decoder(tuple[str, list[Family]]).decode


def packed(number: int, metrics: Iterable[Metric]) -> bytes:
    """Give the metrics of web process `number` as JSON."""
    families = [
        Family(
            metric.name,
            metric.documentation,
            metric.type,
            [
                (s.name, s.labels, s.value, tuple(s.exemplar) if s.exemplar is not None else None)
                for s in metric.samples
            ],
        )
        for metric in metrics
    ]
    return msgspec.json.encode((str(number), families))


def merged(parts: Iterable[bytes]) -> Iterator[Metric]:
    """Give the metrics of all processes: each value with the label ``web``, the number of its process.

    They are not summed up: a process that is started again begins at 0, which Prometheus sees of one process's counter,
    and not of a sum.
    """
    found: dict[str, Metric] = {}
    for part in parts:
        number, families = _decode(part)
        for family in families:
            metric = found.get(family.name)
            if metric is None:
                metric = found[family.name] = Metric(family.name, family.text, family.kind)
            for name, labels, value, exemplar in family.samples:
                told = Exemplar(*exemplar) if exemplar is not None else None
                metric.samples.append(Sample(name, {**labels, "web": number}, value, None, told))
    yield from found.values()


class Peers:
    """This process's lines to the others. `tell` gives what this process answers; it is called in a thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tell: Callable[[], bytes]) -> None:
        self._loop, self.tell = loop, tell
        self._lines: set[_Line] = set()
        self._hear: Callable[[bool, str, bytes], object] = lambda *news: None

    async def attach(self, sock: socket.socket) -> None:
        """Take `sock` as the line to another process, until it ends."""
        sock.setblocking(False)
        _, line = await self._loop.create_unix_connection(
            partial(_Line, self._answer, self._take_news, self._lines.discard), sock=sock
        )
        self._lines.add(line)

    def share(self, throttle: Throttle) -> None:
        """Let `throttle` hear what those of the others find out, and they what it does."""
        self._hear = throttle.hear
        throttle.tell = self._tell_guess

    def _tell_guess(self, is_failure: bool, place: str, digest: bytes) -> None:
        payload = msgspec.json.encode(Guess(is_failure, place, digest))
        self._loop.call_soon_threadsafe(self._send_news, payload)  # pages run in threads

    def _send_news(self, payload: bytes) -> None:
        for line in self._lines:
            line.send(NEWS, payload)

    def _take_news(self, payload: bytes) -> None:
        guess = _decode_guess(payload)
        self._hear(guess.is_failure, guess.place, guess.digest)

    def gather(self) -> list[bytes]:
        """Give what every other process answers. For threads: it waits for them."""
        return asyncio.run_coroutine_threadsafe(self._gather(), self._loop).result()

    async def _gather(self) -> list[bytes]:
        asked = [self._loop.create_task(line.ask()) for line in self._lines]
        if not asked:
            return []
        done, late = await asyncio.wait(asked, timeout=PATIENCE)
        for task in late:
            task.cancel()
            logger.warning("a web process does not say its metrics within %d s: they are left out", PATIENCE)
        return [answer for task in done if not task.cancelled() and (answer := task.result()) is not None]

    def _answer(self, line: "_Line", number: int) -> None:
        async def answer() -> None:
            line.send(number | ANSWER, await asyncio.to_thread(self.tell))

        line.task = self._loop.create_task(answer())


class _Line(asyncio.Protocol):
    def __init__(
        self,
        answer: "Callable[[_Line, int], None]",
        take_news: Callable[[bytes], None],
        lost: "Callable[[_Line], None]",
    ) -> None:
        self._answer, self._take_news, self._lost = answer, take_news, lost
        self._transport: asyncio.Transport | None = None
        self._incoming = b""
        self._number = 0
        self._asked: dict[int, asyncio.Future] = {}
        self.task: asyncio.Task | None = None  # answers; kept so that nobody collects it

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        data = self._incoming + data
        while len(data) >= HEADER.size:
            length, number = HEADER.unpack_from(data)
            if len(data) < HEADER.size + length:
                break
            payload, data = data[HEADER.size : HEADER.size + length], data[HEADER.size + length :]
            if number & ANSWER:
                self._take(number ^ ANSWER, payload)
            elif number == NEWS:
                self._take_news(payload)
            else:
                self._answer(self, number)
        self._incoming = data

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost(self)
        for number in list(self._asked):
            self._take(number, None)

    async def ask(self) -> bytes | None:
        """Give the other's answer, None if it ends before."""
        number = self._number = (self._number + 1) % NEWS
        future = self._asked[number] = asyncio.get_running_loop().create_future()
        self.send(number, b"")
        try:
            return await future
        finally:
            self._asked.pop(number, None)

    def send(self, number: int, payload: bytes) -> None:
        """Send a frame."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(HEADER.pack(len(payload), number) + payload)

    def _take(self, number: int, payload: bytes | None) -> None:
        future = self._asked.get(number)
        if future is not None and not future.done():
            future.set_result(payload)
