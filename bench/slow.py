"""A thousand slow streams at once through one web process: `python -m bench.slow --streams 1000`.

Each is a request of 20 KB whose answer comes in events, one every 0.2 to 0.5 seconds for half a minute. Meanwhile other requests
come at a fixed rate. Reported: whether all streams were complete and as they were sent, what each took of memory, and how long
the other requests took, beside the same with no streams.
"""

import argparse
import asyncio
import json
import random
import resource
import subprocess
import sys
import time

from bench.clients import percentile
from bench.servers import lunaroute, settle
from tests.support.server import RunningServer, free_port

RATE = 20
SECONDS = 30


def events(number: int) -> list[tuple[float, bytes]]:
    """Give the events of a stream, each with the seconds before it."""
    chance = random.Random(number)
    head = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": []}
    values: list[tuple[float, dict]] = [
        (0.0, {"type": "message_start", "message": {**head, "usage": {"input_tokens": 5000}}}),
        (0.0, {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
    ]
    left = SECONDS * chance.uniform(0.7, 1.0)
    while left > 0:
        pause = chance.uniform(0.2, 0.5)
        left -= pause
        delta = {"type": "text_delta", "text": f"stream {number} says {left:.3f} and goes on. "}
        values.append((pause, {"type": "content_block_delta", "index": 0, "delta": delta}))
    values += [
        (0.0, {"type": "content_block_stop", "index": 0}),
        (0.0, {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 500}}),
        (0.0, {"type": "message_stop"}),
    ]
    return [(pause, f"event: {v['type']}\ndata: {json.dumps(v)}\n\n".encode()) for pause, v in values]


def body(number: int) -> bytes:
    """Give a request of some 20 KB."""
    text = f"request {number} " + "please look at this file again, and say what is new in it. " * 330
    messages = [{"role": "user", "content": text}]
    return json.dumps({"model": "claude-sonnet-4-5", "max_tokens": 999, "stream": True, "messages": messages}).encode()


async def provide(port: int) -> None:
    """Serve until killed: a stream where the header x-stream names one, else a short answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
                if b"x-stream: " not in head:
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
                    continue
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                )
                for pause, event in events(int(head.split(b"x-stream: ")[1].split(b"\r\n")[0])):
                    if pause:
                        await asyncio.sleep(pause)
                    writer.write(b"%x\r\n%b\r\n" % (len(event), event))
                writer.write(b"0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port, limit=1 << 18, backlog=2048)
    await server.serve_forever()


async def stream(port: int, number: int) -> bool:
    """Ask for a stream; tells whether it came whole."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    data = body(number)
    head = f"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nX-Stream: {number}\r\n"
    writer.write(f"{head}X-Session-Id: slow-{number}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
    await reader.readuntil(b"\r\n\r\n")
    got = b""
    while size := int(await reader.readline(), 16):
        got += (await reader.readexactly(size + 2))[:-2]
    writer.close()
    return got == b"".join(event for _, event in events(number))


async def others(port: int, seconds: float) -> list[float]:
    """Ask at a fixed rate, each on a connection of its own; gives milliseconds from when it was due."""
    times: list[float] = []
    data = body(0).replace(b'"stream": true', b'"stream": false')
    request = (
        b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        % len(data)
    ) + data

    async def one(due: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(2)
        times.append((time.monotonic() - due) * 1e3)
        writer.close()

    begin, running = time.monotonic(), []
    for number in range(int(seconds * RATE)):
        due = begin + number / RATE
        await asyncio.sleep(max(due - time.monotonic(), 0))
        running.append(asyncio.create_task(one(due)))
    await asyncio.gather(*running)
    return times


def memory(server: RunningServer) -> dict[str, int]:
    """Give what web process and recorder have for themselves, bytes."""
    found = {}
    for name in ("web", "recorder"):
        info = server.children()[name].memory_info()
        found[name] = info.rss - info.shared
    return found


def bench_slow(count: int) -> bool:
    """Run it. False where a stream was not whole."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    port = free_port()
    provider = subprocess.Popen([sys.executable, "-m", "bench.slow", "--provide", str(port)])
    try:
        with lunaroute(port, port) as server:

            async def run() -> tuple[list[float], list[float], dict[str, int], dict[str, int], list[bool]]:
                await others(server.port, 2)
                alone = await others(server.port, 10)
                before = memory(server)
                streams = []
                for number in range(1, count + 1):
                    streams.append(asyncio.create_task(stream(server.port, number)))
                    if number % 50 == 0:
                        await asyncio.sleep(0.1)
                await asyncio.sleep(3)
                beside = await others(server.port, SECONDS * 0.7 - 8)
                during = memory(server)
                return alone, beside, before, during, await asyncio.gather(*streams)

            alone, beside, before, during, whole = asyncio.run(run())
            settle(server)
            recorded = server.rows("SELECT count(*) FROM exchanges e WHERE success AND is_streaming")[0][0]
            each = {name: (during[name] - before[name]) / count / 1e3 for name in before}
            print(f"\n{sum(whole)} of {count} streams came whole; {recorded} are on record.")
            print(f"Memory for each: web {each['web']:.0f} KB, recorder {each['recorder']:.0f} KB.")
            print("\n| other requests, ms | p50 | p99 | longest |\n| --- | --- | --- | --- |")
            for what, times in (("with no streams", alone), (f"beside {count} streams", beside)):
                print(f"| {what} | {percentile(times, 50):.2f} | {percentile(times, 99):.2f} | {max(times):.1f} |")
            cpu = server.children()["web"].cpu_times()
            print(f"(web process: {cpu.user + cpu.system:.1f} s of processor time in all)", flush=True)
            return all(whole) and recorded == count
    finally:
        provider.terminate()


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.slow")
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--provide", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.provide:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
        asyncio.run(provide(options.provide))
    return 0 if bench_slow(options.streams) else 1


if __name__ == "__main__":
    sys.exit(main())
