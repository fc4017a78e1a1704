"""Malformed requests, answers, frames and parameters: `python -m bench.fuzz --count 100000 --seed 1`.

Everything that comes from outside is damaged by chance, the same for the same seed: heads and framing of HTTP, JSON of all
dialects and its codings, answers of the provider, WebSocket frames, and every parameter of pages and API. A server with
redaction, a rule that translates and one that rewrites takes it. Exit code 1: a 500, a traceback in the log, a process that died,
a request without an end, a sound request that did not work in between, or memory that grows.
"""

import argparse
import asyncio
import gzip
import json
import logging
import os
import random
import struct
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote

import httpx
import psutil

from bench.fuzz_samples import ANSWERS, MESSAGES, ODD_TEXTS, ODD_VALUES, PAGES, RESPONSES, SOUND, STREAMS
from tests.support.server import RunningServer, start_server

CONNECTIONS = 8
# Seconds after which a request that was sent whole has no end.
PATIENCE = 20
# By how much a process's own memory may be more at most in the second half than in the first, and what is noise.
MAX_GROWTH, NOISE = 0.05, 8 << 20
# Requests below which memory is still on its way to what it will be.
WARM = 20_000
CONFIG = """
session_recording: {{pii: {{enabled: true}}}}
providers:
  anthropic: {{base_url: "http://127.0.0.1:{port}"}}
  openai: {{base_url: "http://127.0.0.1:{port}/v1"}}
  rewriting:
    provider_type: anthropic
    base_url: "http://127.0.0.1:{port}"
    request_body: {{overrides: {{temperature: 0.5}}, prepend_messages: [{{role: user, content: hello}}]}}
routing:
  circuit_breaker: {{timeout_secs: 0.05}}
  rules:
    - {{name: translated, model_pattern: "^to-openai", primary: openai}}
    - {{name: back, model_pattern: "^to-anthropic", primary: anthropic}}
    - {{name: rewritten, model_pattern: "^rewrite", primary: rewriting, fallbacks: [anthropic]}}
ui: {{delete_enabled: true}}
"""


@dataclass
class Fuzz:
    """A run: what was sent, and what went wrong."""

    server: RunningServer
    upstream_port: int
    seed: int
    only: str = ""  # one kind alone
    sent: Counter = field(default_factory=Counter)
    statuses: Counter = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    operations: list[tuple[str, str, list[str]]] = field(default_factory=list)

    def problem(self, number: int, kind: str, words: str) -> None:
        """Note what should not have happened."""
        self.problems.append(f"request {number} ({kind}): {words}"[:400])

    async def one(self, number: int, client: httpx.AsyncClient, kind: str = "") -> None:
        """Send the request of that number; of that kind."""
        chance = random.Random(f"{self.seed}/{number}")
        kind = kind or self.only or chance.choices(list(KINDS), [3, 4, 3, 1, 2])[0]
        send = KINDS[kind]
        self.sent[kind] += 1
        try:
            await asyncio.wait_for(send(self, number, chance, client), PATIENCE)
        except TimeoutError:
            self.problem(number, kind, f"no end within {PATIENCE} s")
        except (OSError, asyncio.IncompleteReadError, httpx.HTTPError):
            self.statuses["closed"] += 1

    def status(self, number: int, kind: str, answer: bytes) -> None:
        """Look at the first line of an answer."""
        status = answer[9:12].decode("latin-1") if answer.startswith(b"HTTP/1.1 ") else "none"
        self.statuses[status] += 1
        # A provider may say 503; a page does where there is no database, and here there is one.
        if status == "500" or (status == "503" and kind not in KINDS):
            self.problem(number, kind, answer[:300].decode("latin-1"))


# -- HTTP ----------------------------------------------------------------------------------------------------------


def body_of(chance: random.Random, path: bytes) -> bytes:
    """Give a sound body for `path`, in one of the ways in which rules act on it."""
    value = dict(SOUND.get(path, MESSAGES))
    value["model"] = chance.choice([value["model"], "to-openai", "to-anthropic", "rewrite-it"])
    value["stream"] = chance.random() < 0.5
    return json.dumps(value).encode()


def damage(chance: random.Random, data: bytes, times: int = 3) -> bytes:
    """Change, leave out, repeat or insert some bytes."""
    out = bytearray(data)
    for _ in range(chance.randint(1, times)):
        at = chance.randrange(len(out) + 1)
        what = chance.randrange(5)
        if what == 0 and at < len(out):
            out[at] = chance.randrange(256)
        elif what == 1:
            del out[at : at + chance.randint(1, 20)]
        elif what == 2:
            out[at:at] = out[at : at + chance.randint(1, 30)]
        elif what == 3:
            out[at:at] = chance.choice([b"\r\n", b"\n", b"\0", b"\r", b"  ", b"\xff\xfe", b":", b"%", b"\x1b[31m"])
        else:
            out[at:at] = chance.randbytes(chance.randint(1, 12))
    return bytes(out)


async def raw_http(run: Fuzz, number: int, chance: random.Random, client: httpx.AsyncClient) -> None:
    """Heads and framing."""
    path = chance.choice(
        [*SOUND, b"/v1/models", b"/", b"/ui/", b"/sessions", b"/metrics", b"/t/x/v1/messages", b"/nowhere"]
    )
    body = body_of(chance, path)
    headers = [(b"Host", b"localhost"), (b"Content-Type", b"application/json"), (b"anthropic-version", b"2023-06-01")]
    framing = chance.randrange(6)
    if framing == 0:
        headers.append(
            (
                b"Transfer-Encoding",
                chance.choice([b"chunked", b"gzip, chunked", b"identity", b" chunked", b"chunked\t"]),
            )
        )
        size = chance.choice([b"%x" % len(body), b"%x;ext=1" % len(body), b"-1", b"ffffffffffffffffff", b"0x10", b""])
        body = (
            size
            + b"\r\n"
            + body
            + chance.choice([b"\r\n0\r\n\r\n", b"\r\n0\r\nTrailer: x\r\n\r\n", b"0\r\n\r\n", b"\r\nzz\r\n"])
        )
    elif framing == 1:
        headers += [
            (b"Content-Length", b"%d" % len(body)),
            (b"Content-Length", chance.choice([b"0", b"%d" % len(body), b"+5", b"1 1"])),
        ]
    else:
        length = chance.choice([len(body)] * 4 + [0, 10**12, len(body) + 7, len(body) - 7])
        headers.append((b"Content-Length", b"%d" % length))
    for _ in range(chance.randrange(3)):
        name = chance.choice(
            [
                b"Expect",
                b"Connection",
                b"Upgrade",
                b"X-Session-Id",
                b"X-Project-ID",
                b"Content-Encoding",
                b"Accept",
                b"Origin",
                b"Sec-Fetch-Site",
                b"Cookie",
                b"x-" + b"n" * chance.randint(1, 300),
                b"bad name",
                b"x\0y",
                b"\xe9",
            ]
        )
        value = chance.choice(ODD_TEXTS).encode("utf-8", "surrogatepass")
        headers.append(
            (
                name,
                chance.choice(
                    [value, b"100-continue", b"close", b"h2c", b"websocket", b"\t folded\r\n more", b"v" * 9000]
                ),
            )
        )
    method = chance.choice(
        [b"POST"] * 5 + [b"GET", b"DELETE", b"OPTIONS", b"CONNECT", b"PRI", b"po st", b"\x16\x03\x01"]
    )
    target = chance.choice(
        [path] * 5 + [path + b"?a=%zz&\xff", b"http://localhost" + path, b"*", path + b"/../" * 20, path + b"%00"]
    )
    version = chance.choice([b"HTTP/1.1"] * 8 + [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.1 x", b"HTTX/1.1"])
    chance.shuffle(headers)
    data = (
        b"%b %b %b\r\n" % (method, target, version)
        + b"".join(b"%b: %b\r\n" % pair for pair in headers)
        + b"\r\n"
        + body
    )
    if chance.random() < 0.6:
        data = damage(chance, data)
    if chance.random() < 0.2:
        data *= chance.randint(2, 5)
    reader, writer = await asyncio.open_connection("127.0.0.1", run.server.port)
    try:
        for start in range(0, len(data), step := chance.choice([1 << 20, 1 << 20, 700, 61])):
            writer.write(data[start : start + step])
        await writer.drain()
        writer.write_eof()  # who waits for more sees that none comes
        answer = await reader.read(65536)
        run.status(number, "http", answer)
    finally:
        writer.close()


# -- JSON ----------------------------------------------------------------------------------------------------------


def damaged_json(chance: random.Random, value: Any) -> Any:
    """Give a copy of `value` with a few of its parts replaced, left out or repeated."""
    places: list[tuple[Any, Any]] = []

    def walk(part: Any) -> None:
        for key in part if isinstance(part, dict) else range(len(part)):
            places.append((part, key))
            if isinstance(part[key], dict | list):
                walk(part[key])

    copy = json.loads(json.dumps(value))
    walk(copy)
    for part, key in chance.sample(places, min(len(places), chance.randint(1, 3))):
        what = chance.randrange(6)
        try:
            if what < 3:
                part[key] = chance.choice(ODD_VALUES)
            elif what == 3:
                del part[key]
            elif what == 4 and isinstance(part, list):
                part += [part[key]] * chance.randint(1, 50)
            else:
                part[key] = chance.choice(ODD_TEXTS)
        except (KeyError, IndexError):
            continue
    return copy


async def odd_json(run: Fuzz, number: int, chance: random.Random, client: httpx.AsyncClient) -> None:
    """Bodies in all dialects, with and without a rule that reads them."""
    path = chance.choice(list(SOUND))
    value = damaged_json(chance, SOUND[path])
    if isinstance(value, dict) and chance.random() < 0.6:
        value["model"] = chance.choice(["to-openai", "to-anthropic", "rewrite-it"])
    body = json.dumps(value).encode()
    what = chance.randrange(10)
    headers = {"content-type": "application/json", "x-fuzz": "sound", "anthropic-version": "2023-06-01"}
    if what == 0:
        body = damage(chance, body)
    elif what == 1:
        body = body[: chance.randrange(len(body) + 1)]
    elif what == 2:
        depth = chance.choice([100, 5000, 200_000])
        body = b'{"model":"rewrite-it","messages":' + b"[" * depth + b"]" * depth + b"}"
    elif what == 3:
        coding = chance.choice(["gzip", "br", "zstd", "deflate", "gzip, gzip", "nonsense"])
        headers["content-encoding"] = coding
        body = chance.choice(
            [body, gzip.compress(body), damage(chance, gzip.compress(body)), zlib.compress(b"0" * 3_000_000)]
        )
    elif what == 4:
        body = b'{"model":"rewrite-it","model":1,"messages":[],"messages":{},"stream":true,"stream":"x"}'
    elif what == 5:
        body = body.decode().encode("utf-16")
    got = await client.post(run.server.url + path.decode(), content=body, headers=headers)
    run.status(number, "json", b"HTTP/1.1 %d " % got.status_code + got.content)


# -- answers -------------------------------------------------------------------------------------------------------


def sound_answer(chance: random.Random, stream: bool) -> bytes:
    """Give an answer in one of the dialects."""
    if not stream:
        return json.dumps(chance.choice(ANSWERS)).encode()
    events = chance.choice(STREAMS)
    if chance.random() < 0.7:
        events = damaged_json(chance, events)
    lines = [f"event: {e.get('type', 'x') if isinstance(e, dict) else 'x'}\ndata: {json.dumps(e)}\n\n" for e in events]
    return "".join(lines).encode() + chance.choice(
        [b"", b"data: [DONE]\n\n", b"data:", b": comment\n\n", b"\r\rdata: x\r\r"]
    )


def odd_answer(seed: str) -> tuple[bytes, bool]:
    """Give the bytes of the answer for a seed, and whether the connection then stays open for a moment."""
    chance = random.Random(seed)
    stream = chance.random() < 0.6
    body = sound_answer(chance, stream)
    if chance.random() < 0.4:
        body = damage(chance, body)
    headers = [
        b"content-type: "
        + (b"text/event-stream" if stream else chance.choice([b"application/json", b"text/html", b"\xff"]))
    ]
    coding = chance.randrange(8)
    if coding == 0:
        headers.append(b"content-encoding: gzip")
        body = chance.choice(
            [gzip.compress(body), damage(chance, gzip.compress(body)), body, gzip.compress(b"0" * 3_000_000)]
        )
    elif coding == 1:
        headers.append(b"content-encoding: " + chance.choice([b"br", b"zstd", b"deflate", b"x"]))
    status = chance.choice(
        [b"200 OK"] * 12
        + [b"429 Too Many", b"503 Busy", b"529 Over", b"404 No", b"204 None", b"304 Not", b"302 Found", b"999 X"]
    )
    if chance.random() < 0.5:
        headers.append(b"transfer-encoding: chunked")
        step = chance.choice([1 << 20, 100, 17])
        parts = [body[at : at + step] for at in range(0, len(body), step)]
        body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + chance.choice(
            [b"0\r\n\r\n"] * 6 + [b"", b"0\r\n", b"zz\r\n", b"-1\r\n\r\n"]
        )
    else:
        length = chance.choice([len(body)] * 6 + [len(body) + 9, max(len(body) - 9, 0)])
        headers.append(b"content-length: %d" % length)
    if chance.random() < 0.2:
        headers.append(
            chance.choice(
                [
                    b"retry-after: " + chance.choice([b"x", b"-5", b"99999999999", b"Fri, 99 Foo 2026"]),
                    b"bad header",
                    b"x: " + b"y" * 9000,
                    b"anthropic-ratelimit-tokens-remaining: x",
                ]
            )
        )
    head = b"HTTP/1.1 " + status + b"\r\n" + b"\r\n".join(headers) + b"\r\n\r\n"
    if chance.random() < 0.15:
        head = damage(chance, head, 1)
    return head + body, chance.random() < 0.2


async def serve_upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The provider: what it says is told by the request's header x-fuzz."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            fields = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in head.split("\r\n")[1:]}
            if "chunked" in fields.get("transfer-encoding", ""):
                while size := int((await reader.readline()).split(b";")[0] or b"0", 16):
                    await reader.readexactly(size + 2)
                await reader.readuntil(b"\r\n")
            else:
                await reader.readexactly(int(fields.get("content-length") or 0))
            seed = fields.get("x-fuzz", "sound")
            if seed.startswith("ws"):
                await _serve_frames(random.Random(seed), fields, reader, writer)
                return
            if seed == "sound":
                body = sound_answer(random.Random(head), False)
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
                    + body
                )
                continue
            data, stays = odd_answer(seed)
            writer.write(data)
            await writer.drain()
            if stays:
                await asyncio.sleep(0.3)  # what is not complete stays so for a while
            break
    except (
        asyncio.IncompleteReadError,
        asyncio.LimitOverrunError,
        asyncio.CancelledError,
        ConnectionError,
        ValueError,
    ):
        pass
    writer.close()


async def odd_answers(run: Fuzz, number: int, chance: random.Random, client: httpx.AsyncClient) -> None:
    """What the provider says."""
    path = chance.choice(list(SOUND))
    got = await client.post(
        run.server.url + path.decode(),
        content=body_of(chance, path),
        headers={"x-fuzz": f"{run.seed}-{number}", "anthropic-version": "2023-06-01"},
    )
    run.status(number, "answer", b"HTTP/1.1 %d " % got.status_code + got.content)


# -- WebSocket -----------------------------------------------------------------------------------------------------


def frame(chance: random.Random, payload: bytes, masked: bool) -> bytes:
    """Give a frame that may break every rule of RFC 6455, section 5.2."""
    first = chance.choice([0x81, 0x81, 0x81, 0x01, 0x80, 0x82, 0x88, 0x89, 0x8A, 0xC1, 0xF1, 0x83, 0x8F, 0x09])
    size = chance.choice([len(payload)] * 6 + [2**62, 0, len(payload) + 5])
    flag = 0x80 if masked and chance.random() < 0.95 else 0
    head = bytes([first]) + (bytes([flag | size]) if size < 126 else bytes([flag | 127]) + struct.pack(">Q", size))
    return head + (b"\0\0\0\0" if flag else b"") + payload


async def _serve_frames(
    chance: random.Random, fields: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    import base64
    import hashlib

    key = fields.get("sec-websocket-key", "") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n"
        % accept.encode()
    )
    for _ in range(chance.randint(0, 4)):
        event = json.dumps(
            damaged_json(
                chance, [{"type": "response.completed", "response": {"id": "r", "usage": {"input_tokens": 1}}}]
            )[:1]
        )[1:-1]
        writer.write(frame(chance, chance.choice([event.encode(), chance.randbytes(50), b"\xff\xff"]), False))
    await writer.drain()
    try:
        await asyncio.wait_for(reader.read(4096), 0.2)
    except TimeoutError:
        pass
    writer.close()


async def odd_frames(run: Fuzz, number: int, chance: random.Random, client: httpx.AsyncClient) -> None:
    """Handshakes and frames, to the provider and to LunaRoute's own live pages."""
    path = chance.choice(
        [b"/v1/responses", b"/v1/responses", b"/ui/live", b"/ui/live/sessions/x", b"/ui/live/" + b"y" * 300]
    )
    lines = [
        b"GET %b HTTP/1.1" % path,
        b"Host: localhost",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"x-fuzz: ws%d" % number,
        b"Sec-WebSocket-Version: " + chance.choice([b"13"] * 9 + [b"99"]),
        b"Sec-WebSocket-Key: " + chance.choice([b"dGhlIHNhbXBsZSBub25jZQ=="] * 9 + [b"x"]),
    ]
    if chance.random() < 0.3:
        lines.append(
            b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits="
            + chance.choice([b"15", b"99", b"x"])
        )
    head = b"\r\n".join(lines) + b"\r\n\r\n"
    if chance.random() < 0.15:
        head = damage(chance, head, 1)
    reader, writer = await asyncio.open_connection("127.0.0.1", run.server.port)
    try:
        writer.write(head)
        answer = await asyncio.wait_for(reader.read(4096), 5)
        for _ in range(chance.randint(1, 5)):
            text = json.dumps(
                damaged_json(chance, {"type": "response.create", "have": {"a": "b"}, "first": 1, "response": RESPONSES})
            ).encode()
            writer.write(frame(chance, chance.choice([text, text, chance.randbytes(90), b"\xc3\x28"]), True))
        await writer.drain()
        writer.write_eof()
        run.status(number, "frames", answer)
        await asyncio.wait_for(reader.read(4096), 1)
    except TimeoutError:
        pass
    finally:
        writer.close()


# -- pages and API -------------------------------------------------------------------------------------------------


async def odd_parameters(run: Fuzz, number: int, chance: random.Random, client: httpx.AsyncClient) -> None:
    """Every parameter of every address."""
    method, path, names = chance.choice(run.operations)

    def text() -> str:
        return chance.choice(
            [*ODD_TEXTS, str(chance.randrange(-5, 10**6)), damage(chance, b"session-1").decode("latin-1")]
        )

    while "{" in path:
        before, _, rest = path.partition("{")
        path = (
            before
            + quote(text().encode("utf-8", "surrogatepass"), safe=chance.choice(["", "/", "/.%"]))
            + rest.partition("}")[2]
        )
    given = [(name, text()) for name in names if chance.random() < 0.5]
    if chance.random() < 0.1:
        given.append((text()[:50], text()))
    query = "&".join(
        f"{quote(n.encode('utf-8', 'surrogatepass'))}={quote(v.encode('utf-8', 'surrogatepass'))}" for n, v in given
    )
    headers = {
        "accept": chance.choice(["text/html", "application/json", "*/*", "application/openmetrics-text", "x"]),
        "hx-request": chance.choice(["true", "x"]),
    }
    url = run.server.url + (path.replace("\0", "%00") if not path.startswith("//") else "/" + path.lstrip("/"))
    try:
        if method == "POST":
            got = await client.post(
                url,
                content=query.encode(),
                headers={
                    **headers,
                    "content-type": chance.choice(
                        ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json"]
                    ),
                },
            )
        else:
            got = await client.request(method, f"{url}?{query}", headers=headers)
    except (httpx.InvalidURL, UnicodeError, ValueError):
        self_made = "no URL"  # what httpx itself refuses to send
        run.statuses[self_made] += 1
        return
    run.status(number, f"{method} {url}?{query}", b"HTTP/1.1 %d " % got.status_code + got.content)


KINDS: dict[str, Callable[..., Awaitable[None]]] = {
    "http": raw_http,
    "json": odd_json,
    "answer": odd_answers,
    "frames": odd_frames,
    "parameters": odd_parameters,
}


# -- the run -------------------------------------------------------------------------------------------------------


def _memory(pids: dict[str, int]) -> dict[str, int]:
    """Give what each process has for itself, bytes."""
    found = {}
    for name, pid in pids.items():
        info = psutil.Process(pid).memory_info()
        found[name] = info.rss - info.shared
    return found


def _processes(server: RunningServer) -> dict[str, int]:
    told = json.loads((server.home / "processes.json").read_text())
    return {name: of["pid"] for name, of in told.items() if name != "worker"}


async def _drained(client: httpx.AsyncClient, url: str) -> None:
    """Wait until the recorder has taken what was sent: until then the web process holds it."""
    for _ in range(600):
        if b"lunaroute_recorder_queue_bytes 0" in (await client.get(f"{url}/metrics")).content:
            return
        await asyncio.sleep(0.1)


async def _run(run: Fuzz, count: int) -> list[dict[str, int]]:
    upstream = await asyncio.start_server(serve_upstream, "127.0.0.1", run.upstream_port, limit=4 << 20)
    pids, looks = _processes(run.server), []
    limits = httpx.Limits(max_connections=CONNECTIONS * 2, max_keepalive_connections=CONNECTIONS)
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE, limits=limits) as client:
        described = (await client.get(f"{run.server.url}/api/openapi.json")).json()
        run.operations = list(PAGES)
        for path, methods in described["paths"].items():
            for method, of in methods.items():
                names = [p["name"] for p in of.get("parameters", ()) if p["in"] == "query"]
                run.operations.append((method.upper(), path, names))
        numbers, going = iter(range(1, count + 1)), asyncio.Event()
        going.set()

        async def work() -> None:
            for number in numbers:
                await going.wait()
                await run.one(number, client)
                if number % 1000 == 0:
                    sound = await client.post(f"{run.server.url}/v1/messages", json={"model": "m", "messages": []})
                    if sound.status_code != 200:
                        run.problem(number, "sound", f"{sound.status_code} {sound.text[:200]}")
                if number % max(count // 10, 1) == 0:
                    going.clear()  # the others wait, too
                    await _drained(client, run.server.url)
                    looks.append(_memory(pids))
                    going.set()

        # Pages leave the process larger than it was, up to a certain size: that is over before one looks.
        early = iter(range(-count // 10 if count >= WARM else 0, 0))

        async def warm() -> None:
            for number in early:
                await run.one(number, client, "parameters")

        await asyncio.gather(*(warm() for _ in range(CONNECTIONS)))
        await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
        await _drained(client, run.server.url)
        is_alive = _processes(run.server) == pids
    upstream.close()
    return looks if is_alive else []


def fuzz(count: int, seed: int, only: str = "") -> bool:
    """Send `count` requests, and report. False where something is wrong."""
    from tests.support.server import free_port

    port = free_port()
    with tempfile.TemporaryDirectory(prefix="lunaroute-fuzz-") as folder:
        home = Path(folder)
        (home / "c.yaml").write_text(CONFIG.format(port=port))
        server = start_server(home / "home", f"http://127.0.0.1:{port}", LUNAROUTE_CONFIG=str(home / "c.yaml"))
        run = Fuzz(server, port, seed, only)
        began = time.monotonic()
        try:
            looks = asyncio.run(_run(run, count))
            if not looks:
                run.problems.append("a process has died and was started again")
        finally:
            code = server.stop()
        output = server.output()
        if "Traceback" in output:
            run.problems.append("a traceback: " + output[output.index("Traceback") - 300 :][:3000])
        if code != 0:
            run.problems.append(f"the server ended with {code}")
        took = time.monotonic() - began
        for name in looks[0] if looks else ():
            sizes = [look[name] / 1e6 for look in looks]
            print(f"{name}, MB of its own after each tenth: {', '.join(f'{size:.1f}' for size in sizes)}")
            # It goes up and down, by what is under way; and until the middle caches fill that have bounds.
            first, second = median(sizes[: len(sizes) // 2]), median(sizes[len(sizes) // 2 :])
            if count >= WARM and second - first > max(second * MAX_GROWTH, NOISE / 1e6):
                run.problems.append(f"{name}: its memory grows")
        print(
            f"{count} requests in {took:.0f} s (seed {seed}): {dict(run.sent)}; answered {dict(run.statuses.most_common(14))}"
        )
        print(f"{len(run.problems)} problems")
        for words in run.problems[:20]:
            print("  ", words)
        return not run.problems


def main() -> int:
    """Read the command line."""
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of each connection that the server has closed
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=list(KINDS), default="")
    options = parser.parse_args()
    os.nice(5)
    return 0 if fuzz(options.count, options.seed, options.only) else 1


if __name__ == "__main__":
    sys.exit(main())
