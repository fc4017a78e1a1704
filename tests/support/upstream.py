"""A provider to test against, over raw sockets, so that every byte is under control.

It answers as both vendors do (vendors.py). A test may replace the behaviour for the next requests (`script`), down to
the bytes on the wire.

Runs inside of a test (`FakeUpstream().start()`) or alone: `python -m tests.support.upstream --port 9101`.
"""

import argparse
import asyncio
import json
import socket
import ssl
import struct
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from tests.support.behaviours import BEHAVIOURS
from tests.support.vendors import answer_as_vendor


@dataclass
class Received:
    """A request as it came: `headers` are the exact pairs of bytes, `connection` counts connections."""

    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    connection: int
    body: bytes = b""
    trailers: bytes = b""

    def header(self, name: str) -> str | None:
        """The value of the first header of that name."""
        return next((v.decode("latin-1") for k, v in self.headers if k.lower() == name.lower().encode()), None)

    def headers_named(self, name: str) -> list[bytes]:
        return [v for k, v in self.headers if k.lower() == name.lower().encode()]

    @property
    def json(self):
        return json.loads(self.body)


@dataclass
class Exchange:
    """A request in the hands of a script: what came, and the means to answer."""

    request: Received
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    upstream: "FakeUpstream"
    keep: bool = True

    async def send(self, data: bytes) -> None:
        """Write bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, status: int, body: bytes, *headers: tuple[str, str], reason: str = "OK") -> None:
        """A plain answer with a length."""
        head = f"HTTP/1.1 {status} {reason}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers)
        if not any(k.lower() == "content-length" for k, v in headers):
            head += f"content-length: {len(body)}\r\n"
        await self.send(head.encode("latin-1") + b"\r\n" + (b"" if self.request.method == "HEAD" else body))

    async def json(self, value, status: int = 200, *headers: tuple[str, str]) -> None:
        await self.answer(status, json.dumps(value).encode(), ("content-type", "application/json"), *headers)

    async def start_stream(self, *headers: tuple[str, str]) -> None:
        """The head of a chunked event stream."""
        pairs = (("content-type", "text/event-stream; charset=utf-8"), ("transfer-encoding", "chunked"), *headers)
        await self.send(b"HTTP/1.1 200 OK\r\n" + "".join(f"{k}: {v}\r\n" for k, v in pairs).encode() + b"\r\n")

    async def chunk(self, data: bytes) -> None:
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def end_stream(self) -> None:
        await self.send(b"0\r\n\r\n")

    async def read_body(self) -> bytes:
        """Read the request's body (scripts that answer early leave it)."""
        return await self.upstream.read_body(self)

    def reset(self) -> None:
        """Cut the connection with a RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        self.keep = False

    async def until_gone(self) -> None:
        """Answer nothing more: wait until the other side cuts the connection, and note it in `upstream.lost`."""
        self.keep = False
        with suppress(ConnectionError):
            while await self.reader.read(1 << 16):
                pass
        self.upstream.lost.set()


Script = Callable[[Exchange], Awaitable[None]]


@dataclass
class FakeUpstream:
    """The provider.

    `requests` has what came; `lost` is set when a client goes away in the middle of an answer; `errors` has what went
    wrong in scripts, which is a test's own mistake.
    """

    tls: ssl.SSLContext | None = None
    port: int = 0
    requests: list[Received] = field(default_factory=list)
    lost: threading.Event = field(default_factory=threading.Event)
    errors: list[Exception] = field(default_factory=list)
    connections: int = 0  # since the start

    def __post_init__(self) -> None:
        self._script: Script | None = None
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def open_connections(self) -> int:
        return len(self._writers)

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    # -- life ------------------------------------------------------------------------------------------------

    def start(self) -> "FakeUpstream":
        """Serve from a thread of its own."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self.listen())
        self._ready.set()
        self._loop.run_forever()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def listen(self) -> None:
        server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=self.tls, limit=1 << 20, backlog=1024
        )
        self.port = server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def reset(self) -> None:
        """Forget what came and every script."""
        self.requests.clear()
        self.errors.clear()
        self.lost.clear()
        self._script = None

    def script(self, script: Script | str | None) -> None:
        """Answer with `script` from now on: a function, the name of one in behaviours.py, or None: as a provider does."""
        self._script = BEHAVIOURS[script] if isinstance(script, str) else script

    def event(self) -> "Gate":
        """A gate that a script waits at and a test opens."""
        return Gate(self._loop)

    def close_idle(self) -> None:
        """Close every connection, as a provider does with idle ones."""
        done = threading.Event()

        def close() -> None:
            for writer in list(self._writers):
                writer.close()
            done.set()

        self._loop.call_soon_threadsafe(close)
        assert done.wait(5)

    # -- HTTP ------------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        self._writers.add(writer)
        exchange = None
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head[:-4].split(b"\r\n")
                method, target, _ = lines[0].split(b" ", 2)
                headers = []
                for line in lines[1:]:
                    name, _, value = line.partition(b":")
                    headers.append((name, value.strip(b" \t")))
                request = Received(method.decode(), target, headers, number)
                exchange = Exchange(request, reader, writer, self)
                self.requests.append(request)
                if self._script is not None:
                    await self._script(exchange)
                else:
                    await self.read_body(exchange)
                    await answer_as_vendor(exchange)
                if not exchange.keep:
                    break
                exchange = None
        except (asyncio.IncompleteReadError, ConnectionError):
            if exchange is not None:
                self.lost.set()
        except asyncio.CancelledError:
            pass  # `stop`
        except Exception as error:
            self.errors.append(error)
        finally:
            self._writers.discard(writer)
            writer.close()

    async def read_body(self, exchange: Exchange) -> bytes:
        request, reader = exchange.request, exchange.reader
        if request.header("expect"):
            await exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if request.header("transfer-encoding") == "chunked":
            parts = []
            while True:
                size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
                if size == 0:
                    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
                        request.trailers += line
                    break
                parts.append(await reader.readexactly(size))
                await reader.readexactly(2)
            request.body = b"".join(parts)
        else:
            request.body = await reader.readexactly(int(request.header("content-length") or 0))
        return request.body


class Gate:
    """An event between a test's thread and a script."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._event = loop, asyncio.Event()

    async def wait(self) -> None:
        await asyncio.wait_for(self._event.wait(), 30)

    def is_open(self) -> bool:
        return self._event.is_set()

    def open(self) -> None:
        self._loop.call_soon_threadsafe(self._event.set)


async def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=9101)
    parser.add_argument("--behaviour", choices=sorted(BEHAVIOURS), help="misbehave on every request")
    options = parser.parse_args()
    upstream = FakeUpstream(port=options.port)
    upstream.script(options.behaviour)
    await upstream.listen()
    print(f"listening on {upstream.url}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
