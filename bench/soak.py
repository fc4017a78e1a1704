"""A server under a steady load for as long as you like: `python -m bench.soak --minutes 30`.

Requests come at a fixed rate, whatever the answers do; half of them are streams. Each belongs to a session of several
turns that grows as real ones do, with tools. Every answer is compared byte for byte, and in the end the record is
counted. Exit code 1: memory or descriptors grew, or something was lost.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import uuid4

import psutil

from bench.clients import percentile
from bench.servers import lunaroute, settle
from tests.support.server import RunningServer, eventually, free_port

RATE = 100
TURNS = 10
EVENTS, PAUSE = 20, 0.02  # of a stream, seconds between two
# Seconds between two looks at the processes, and after which memory should be what it will be.
EVERY, WARM = 10, 300
# Growth of memory after that which is allowed, and the smallest that counts: one look differs from the next by some pages.
MAX_GROWTH, NOISE = 0.05, 4 << 20

TOOLS = [
    {"name": name, "description": f"{name} does what its name says. " * 12, "input_schema": {"type": "object"}}
    for name in ("Bash", "Edit", "Grep", "Read", "Task", "Write")
]


def answer_to(number: int, is_stream: bool) -> list[bytes]:
    """Give the answer to the request of that number, in the pieces in which it comes."""
    usage = {"input_tokens": 1000, "output_tokens": 50}
    head = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5"}
    call = {"type": "tool_use", "id": f"t{number}", "name": TOOLS[number % 6]["name"], "input": {"path": f"/f{number}"}}
    text = f"answer {number} " * 10
    if not is_stream:
        content = [{"type": "text", "text": text}, call]
        return [json.dumps({**head, "content": content, "stop_reason": "tool_use", "usage": usage}).encode()]
    delta = {"type": "text_delta", "text": f"answer {number} "}
    values = [
        {"type": "message_start", "message": {**head, "content": [], "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for _ in range(EVENTS)),
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": call},
        {"type": "content_block_stop", "index": 1},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 50}},
        {"type": "message_stop"},
    ]
    return [f"event: {value['type']}\ndata: {json.dumps(value)}\n\n".encode() for value in values]


def bodies() -> Iterator[tuple[int, bytes, bool]]:
    """Give requests, without end: (number, body, whether it asks for a stream), of TURNS * 10 sessions side by side."""
    number = 0
    while True:
        sessions = [(str(uuid4()), []) for _ in range(TURNS)]
        for turn in range(TURNS):
            for session_id, messages in sessions:
                if turn:
                    last = messages[-1]["number"]
                    call = {
                        "type": "tool_use",
                        "id": f"t{last}",
                        "name": TOOLS[last % 6]["name"],
                        "input": {"path": f"/f{last}"},
                    }
                    said = [{"type": "text", "text": f"answer {last} " * 10}, call]
                    result = {
                        "type": "tool_result",
                        "tool_use_id": f"t{last}",
                        "content": f"line {last} of a file\n" * 60,
                    }
                    messages += [{"role": "assistant", "content": said}, {"role": "user", "content": [result]}]
                else:
                    messages.append({"role": "user", "content": f"Please look after {session_id}. " * 20})
                number += 1
                is_stream = number % 2 == 0
                body = {
                    "model": "claude-sonnet-4-5", "max_tokens": 1000, "stream": is_stream, "system": "You are careful. " * 200,
                    "tools": TOOLS, "metadata": {"user_id": f"user_x_account__session_{session_id}"},
                    "messages": [{k: v for k, v in m.items() if k != "number"} for m in messages],
                }  # fmt: skip
                messages[-1]["number"] = number
                yield number, json.dumps(body).encode(), is_stream


# -- the provider -------------------------------------------------------------------------------------------------


async def provide(port: int) -> None:
    """Serve answers until killed."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
                await reader.readexactly(int(fields["content-length"]))
                is_stream = fields["x-streams"] == "1"
                pieces = answer_to(int(fields["x-number"]), is_stream)
                if is_stream:
                    writer.write(
                        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                    )
                    for piece in pieces:
                        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                        await asyncio.sleep(PAUSE)
                    writer.write(b"0\r\n\r\n")
                else:
                    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
                    writer.write(head % len(pieces[0]) + pieces[0])
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port, limit=1 << 20)
    await server.serve_forever()


# -- the clients --------------------------------------------------------------------------------------------------


@dataclass
class Load:
    """What was asked, and how it went."""

    port: int
    sent: int = 0
    again: int = 0  # on a new connection
    wrong: list[str] = field(default_factory=list)
    times: list[tuple[float, float, bool]] = field(default_factory=list)  # when, milliseconds, a stream?
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    async def run(self, seconds: float, rate: float) -> None:
        """Ask at `rate` a second for that long, and wait for the last answers."""
        begin, running = time.monotonic(), set()
        for number, body, is_stream in bodies():
            due = begin + (number - 1) / rate
            if due > begin + seconds:
                break
            await asyncio.sleep(max(due - time.monotonic(), 0))
            self.sent += 1
            task = asyncio.create_task(self._ask(number, body, is_stream, due - begin))
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.gather(*running)
        for _, writer in self.idle:
            writer.close()

    async def _ask(self, number: int, body: bytes, is_stream: bool, at: float) -> None:
        began = time.perf_counter()
        request = (
            b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nX-Number: %d\r\n"
            b"X-Streams: %d\r\nUser-Agent: claude-cli/2\r\nContent-Length: %d\r\n\r\n" % (number, is_stream, len(body))
        ) + body
        try:
            try:
                reader, writer, head = await self._send(request, self.idle.pop() if self.idle else None)
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                # A connection that was idle may be closed just when it is used again: clients send again then.
                if getattr(error, "partial", b""):
                    raise
                self.again += 1
                reader, writer, head = await self._send(request, None)
            assert head.startswith(b"http/1.1 200"), head
            got = await (_chunks(reader) if b"chunked" in head else _counted(reader, head))
            assert got == b"".join(answer_to(number, is_stream)), "another answer"
            self.idle.append((reader, writer))
        except Exception as error:
            self.wrong.append(f"{number}: {type(error).__name__} {error}"[:200])
        self.times.append((at, (time.perf_counter() - began) * 1e3, is_stream))

    async def _send(
        self, request: bytes, connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
        reader, writer = connection or await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        return reader, writer, (await reader.readuntil(b"\r\n\r\n")).lower()


async def _counted(reader: asyncio.StreamReader, head: bytes) -> bytes:
    return await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    got = b""
    while size := int(await reader.readline(), 16):
        got += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return got


# -- the processes ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """A process at one moment."""

    at: float
    pss: int
    own: int  # bytes that are no file's: SQLite maps its database, which is the page cache's memory
    descriptors: int
    threads: int
    cpu: float  # seconds


class Watch:
    """Looks at the processes of a tree."""

    def __init__(self, server: RunningServer) -> None:
        self.begin = time.monotonic()
        supervisor = psutil.Process(server.process.pid)
        named = {"supervisor": supervisor, **server.children()}
        (named["worker"],) = set(supervisor.children()) - set(named.values())
        self.processes = named
        self.looks: dict[str, list[Look]] = {name: [] for name in named}

    def look(self) -> None:
        """Note how they are."""
        now = time.monotonic() - self.begin
        for name, process in self.processes.items():
            times = process.cpu_times()
            memory, cpu = process.memory_full_info(), times.user + times.system
            own = memory.rss - memory.shared
            self.looks[name].append(Look(now, memory.pss, own, process.num_fds(), process.num_threads(), cpu))

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(EVERY)


def report(watch: Watch, load: Load, stored: int, warm: float) -> bool:
    """Print what was seen. False where a bound was broken."""
    good = True
    print(
        "\n| process | PSS, MB | its own memory, MB, when warm | at the end | growth | descriptors | threads | CPU of a core |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, looks in watch.looks.items():
        later = [look for look in looks if look.at >= warm] or looks
        third = max(len(later) // 3, 1)
        first, last = (sum(look.own for look in part) / len(part) for part in (later[:third], later[-third:]))
        cpu = (looks[-1].cpu - looks[0].cpu) / max(looks[-1].at - looks[0].at, 1)
        descriptors = [look.descriptors for look in later]
        cells = (
            name, f"{looks[-1].pss / 1e6:.1f}", f"{first / 1e6:.1f}", f"{last / 1e6:.1f}", f"{(last / first - 1) * 100:+.1f} %",
            f"{min(descriptors)} to {max(descriptors)}, at last {descriptors[-1]}", f"{looks[0].threads} to {looks[-1].threads}",
            f"{cpu * 100:.1f} %",
        )  # fmt: skip
        print("| " + " | ".join(cells) + " |")
        good &= last - first < max(first * MAX_GROWTH, NOISE)
        good &= descriptors[-1] <= max(descriptors[:third]) + 5
    print("\n| | p50, ms | p99 | longest |\n| --- | --- | --- | --- |")
    end = max(at for at, _, _ in load.times)
    for is_stream, what in ((False, "plain"), (True, f"stream ({EVENTS + 6} events in {(EVENTS + 6) * PAUSE:.2f} s)")):
        for part, low, high in (("first third", 0, end / 3), ("last third", end * 2 / 3, end + 1)):
            times = [took for at, took, streams in load.times if streams is is_stream and low <= at < high]
            if times:
                print(
                    f"| {what}, {part} | {percentile(times, 50):.2f} | {percentile(times, 99):.2f} | {max(times):.1f} |"
                )
    again = f"{load.again} of them sent again because an idle connection was closed"
    print(f"\n{load.sent} requests, {again}; {len(load.wrong)} answers wrong or missing; {stored} exchanges on record.")
    for line in load.wrong[:10]:
        print(f"  {line}")
    return good and not load.wrong and stored == load.sent


def soak(minutes: float, rate: float, warm: float = WARM, config: str = "") -> bool:
    """Run a server under load for so long, and report. False where a bound was broken."""
    port = free_port()
    provider = subprocess.Popen([sys.executable, "-m", "bench.soak", "--provide", str(port)])
    try:
        with lunaroute(port, port, config) as server:
            watch, load = Watch(server), Load(server.port)

            async def run() -> None:
                watching = asyncio.create_task(watch.run())
                await load.run(minutes * 60, rate)
                watching.cancel()

            asyncio.run(run())
            watch.look()
            settle(server)
            count = "select count(*) from exchanges where success"
            eventually(lambda: server.rows(count)[0][0] >= load.sent - len(load.wrong), "the record", 60)
            size = sum(path.stat().st_size for path in server.home.rglob("*") if path.is_file())
            good = report(watch, load, server.rows(count)[0][0], min(warm, minutes * 60 / 3))
            print(f"The home has {size / 1e6:.0f} MB: {size / load.sent / 1e3:.2f} KB for each exchange.", flush=True)
            return good
    finally:
        provider.terminate()


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=float, default=RATE, help="requests a second")
    parser.add_argument("--provide", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.provide:
        asyncio.run(provide(options.provide))
    return 0 if soak(options.minutes, options.rate) else 1


if __name__ == "__main__":
    sys.exit(main())
