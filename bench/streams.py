"""An upstream that streams: 500 events, two milliseconds apart, each with the time of its sending."""

import asyncio
import sys
import time

EVENTS, PAUSE = 500, 0.002


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
            )
            await reader.readexactly(length)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            for _ in range(EVENTS):
                await asyncio.sleep(PAUSE)
                event = b"data: %d\n\n" % time.monotonic_ns()
                writer.write(b"%x\r\n%b\r\n" % (len(event), event))
            writer.write(b"b\r\ndata: end\n\n\r\n0\r\n\r\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=256)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
