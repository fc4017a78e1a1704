"""The provider's side of a WebSocket (RFC 6455), by hand, so that every byte of a frame is under control."""

import asyncio
import base64
import hashlib
import json
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.upstream import Exchange

WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
# The first bit reserved for extensions: with permessage-deflate, a compressed message (RFC 7692, section 6).
COMPRESSED = 0x40


async def accept(exchange: "Exchange", *headers: tuple[str, str]) -> None:
    """Answer the handshake."""
    exchange.keep = False
    key = (exchange.request.header("sec-websocket-key") or "").encode()
    accepted = base64.b64encode(hashlib.sha1(key + WEBSOCKET_GUID).digest()).decode()
    pairs = (("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-accept", accepted), *headers)
    lines = "".join(f"{name}: {value}\r\n" for name, value in pairs)
    await exchange.send(f"HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n".encode())


async def websocket(exchange: "Exchange", events_of: Callable[[dict, int], list[dict]]) -> None:
    """Answer each response.create with its events."""
    await accept(exchange)
    count = 0
    while True:
        opcode, payload = await read_frame(exchange.reader)
        if opcode == CLOSE:
            await exchange.send(frame(CLOSE, payload))
            return
        if opcode == PING:
            await exchange.send(frame(PONG, payload))
        if opcode != TEXT:
            continue
        message = json.loads(payload)
        exchange.request.body += payload
        if message.get("type") == "response.create":
            count += 1
            number = len(exchange.upstream.requests) * 100 + count
            for event in events_of({**message, **message.get("response", {})}, number):
                await exchange.send(frame(TEXT, json.dumps(event).encode()))


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read one unfragmented client frame: (first byte without FIN, payload as it came, unmasked)."""
    first, second = await reader.readexactly(2)
    length = second & 127
    if length == 126:
        length = int.from_bytes(await reader.readexactly(2))
    elif length == 127:
        length = int.from_bytes(await reader.readexactly(8))
    mask = await reader.readexactly(4) if second & 128 else b"\0\0\0\0"
    data = await reader.readexactly(length)
    repeated = (mask * (length // 4 + 1))[:length]
    return first & 127, (int.from_bytes(data) ^ int.from_bytes(repeated)).to_bytes(length)


def frame(first: int, payload: bytes) -> bytes:
    """Make a server's frame; `first` is its opcode, with COMPRESSED where that is meant."""
    size = len(payload)
    if size < 126:
        head = bytes((128 | first, size))
    elif size < 65536:
        head = bytes((128 | first, 126)) + size.to_bytes(2)
    else:
        head = bytes((128 | first, 127)) + size.to_bytes(8)
    return head + payload


def deflate(data: bytes) -> bytes:
    """Compress a message as permessage-deflate has it (RFC 7692, section 7.2.1)."""
    compressor = zlib.compressobj(wbits=-15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
