"""A provider to test against: both vendors' protocols over raw sockets, so that every byte is under control.

It is deterministic. Asked with tools and told "use the tool NAME", it calls that tool, and answers in text once the
result is there. A test may replace the behaviour for the next requests (`script`), down to the bytes on the wire.

Runs inside of a test (`FakeUpstream().start()`) or alone: `python -m tests.support.upstream --port 9101`.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import re
import ssl
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


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
        sock.setsockopt(__import__("socket").SOL_SOCKET, __import__("socket").SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.writer.transport.abort()
        self.keep = False


Script = Callable[[Exchange], Awaitable[None]]


@dataclass
class FakeUpstream:
    """The provider. `requests` has what came, `lost` is set when a client goes away in the middle of an answer."""

    tls: ssl.SSLContext | None = None
    port: int = 0
    requests: list[Received] = field(default_factory=list)
    lost: threading.Event = field(default_factory=threading.Event)
    connections: int = 0

    def __post_init__(self) -> None:
        self._script: Script | None = None
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self.sent_bytes = 0

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
        self.lost.clear()
        self._script = None

    def script(self, script: Script | None) -> None:
        """Answer with `script` from now on (None: as a provider does)."""
        self._script = script

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
                    await provider(exchange)
                if not exchange.keep:
                    break
                exchange = None
        except (asyncio.IncompleteReadError, ConnectionError):
            if exchange is not None:
                self.lost.set()
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
                size = int((await reader.readline()).split(b";")[0], 16)
                if size == 0:
                    while (line := await reader.readline()) != b"\r\n":
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

    def open(self) -> None:
        self._loop.call_soon_threadsafe(self._event.set)


# -- the model ------------------------------------------------------------------------------------------------


async def provider(exchange: Exchange) -> None:
    """Answer as the vendors do."""
    request = exchange.request
    path = request.target.split(b"?")[0].decode("latin-1")
    if request.header("upgrade"):
        await websocket(exchange)
        return
    if path.endswith("/models"):
        await exchange.json({"object": "list", "data": [{"id": "gpt-5", "object": "model"}], "has_more": False})
        return
    try:
        body = json.loads(request.body or b"{}")
        if not isinstance(body, dict):
            raise ValueError
    except ValueError:
        await exchange.json(anthropic_error("invalid_request_error", "the body is no JSON"), 400)
        return
    if path.endswith("/messages/count_tokens"):
        await exchange.json({"input_tokens": 42})
    elif path.endswith("/messages"):
        await anthropic(exchange, body)
    elif path.endswith("/chat/completions"):
        await chat(exchange, body)
    elif path.endswith("/responses"):
        await responses(exchange, body)
    elif path.endswith("/embeddings"):
        usage = {"prompt_tokens": 3, "total_tokens": 3}
        data = [{"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}]
        await exchange.json({"object": "list", "data": data, "model": body.get("model"), "usage": usage})
    else:
        await exchange.json(anthropic_error("not_found_error", f"no such address: {path}"), 404)


def anthropic_error(kind: str, message: str) -> dict:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_fake"}


def openai_error(kind: str, message: str, code: str | None = None) -> dict:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


_USE = re.compile(r"use the tool (\w+)(?: with (\{.*?\}))?", re.DOTALL)


def decide(text: str, tools: list[str], has_result: bool) -> tuple[str, str, dict]:
    """Give (text, tool, arguments): a tool's name is empty where it only speaks."""
    # OpenCode quotes a prompt that holds quotes.
    found = _USE.findall(text.replace('\\"', '"'))
    for name, arguments in found:
        if name in tools and not has_result:
            return "I will use a tool.", name, json.loads(arguments) if arguments else {}
    return "Done." if has_result else f"You said: {text[-60:]}", "", {}


def sse(name: str, value: dict) -> bytes:
    return f"event: {name}\ndata: {json.dumps(value)}\n\n".encode()


def pieces(text: str, size: int = 7) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)] or [""]


async def anthropic(exchange: Exchange, body: dict) -> None:
    """POST /v1/messages."""
    messages = body.get("messages") or [{"role": "user", "content": ""}]
    last = messages[-1]["content"]
    blocks = [{"type": "text", "text": last}] if isinstance(last, str) else last
    has_result = any(b.get("type") == "tool_result" for b in blocks)
    text = "\n".join(b["text"] for b in blocks if b.get("type") == "text")
    said, tool, arguments = decide(text, [t.get("name") for t in body.get("tools", [])], has_result)
    number = len(exchange.upstream.requests)
    content: list[dict] = []
    if body.get("thinking", {}).get("type") in ("enabled", "adaptive"):
        content.append({"type": "thinking", "thinking": "Let me think about it.", "signature": "c2lnbmF0dXJl"})
    content.append({"type": "text", "text": said})
    if tool:
        content.append({"type": "tool_use", "id": f"toolu_{number:06}", "name": tool, "input": arguments})
    usage = {
        "input_tokens": 150, "cache_creation_input_tokens": 30, "cache_read_input_tokens": 1000,
        "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 10}, "output_tokens": 42,
        "service_tier": "standard",
    }  # fmt: skip
    stop = "tool_use" if tool else "end_turn"
    message = {
        "id": f"msg_{number:06}", "type": "message", "role": "assistant", "model": body.get("model"),
        "content": content, "stop_reason": stop, "stop_sequence": None, "usage": usage,
    }  # fmt: skip
    if not body.get("stream"):
        await exchange.json(message, 200, ("request-id", f"req_{number}"))
        return
    start = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    events = [sse("message_start", {"type": "message_start", "message": start}), sse("ping", {"type": "ping"})]
    for index, block in enumerate(content):
        kind = block["type"]
        empty = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}, "tool_use": {"input": {}}}[kind]
        events.append(
            sse(
                "content_block_start",
                {"type": "content_block_start", "index": index, "content_block": {**block, **empty}},
            )
        )
        if kind == "tool_use":
            deltas = [{"type": "input_json_delta", "partial_json": p} for p in ["", *pieces(json.dumps(arguments))]]
        elif kind == "thinking":
            deltas = [{"type": "thinking_delta", "thinking": p} for p in pieces(block["thinking"])]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        else:
            deltas = [{"type": "text_delta", "text": p} for p in pieces(said)]
        events += [
            sse("content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta})
            for delta in deltas
        ]
        events.append(sse("content_block_stop", {"type": "content_block_stop", "index": index}))
    delta = {"stop_reason": stop, "stop_sequence": None}
    events.append(sse("message_delta", {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 42}}))
    events.append(sse("message_stop", {"type": "message_stop"}))
    await exchange.start_stream(("request-id", f"req_{number}"))
    for event in events:
        await exchange.chunk(event)
    await exchange.end_stream()


async def chat(exchange: Exchange, body: dict) -> None:
    """POST /v1/chat/completions."""
    messages = body.get("messages") or [{"role": "user", "content": ""}]
    last = messages[-1]
    content = last.get("content") or ""
    text = content if isinstance(content, str) else "\n".join(p.get("text", "") for p in content)
    tools = [t["function"]["name"] for t in body.get("tools", []) if "function" in t]
    said, tool, arguments = decide(text, tools, last.get("role") == "tool")
    number = len(exchange.upstream.requests)
    usage = {
        "prompt_tokens": 1150, "completion_tokens": 57, "total_tokens": 1207,
        "prompt_tokens_details": {"cached_tokens": 1000, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 15, "audio_tokens": 0},
    }  # fmt: skip
    head = {"id": f"chatcmpl-{number:06}", "created": 1760000000, "model": body.get("model")}
    calls = []
    if tool:
        calls = [
            {
                "id": f"call_{number:06}",
                "type": "function",
                "function": {"name": tool, "arguments": json.dumps(arguments)},
            }
        ]
    stop = "tool_calls" if tool else "stop"
    if not body.get("stream"):
        message = {"role": "assistant", "content": said, "refusal": None, **({"tool_calls": calls} if calls else {})}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": stop}
        await exchange.json({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
        return
    deltas: list[dict] = [{"role": "assistant", "content": ""}, *({"content": p} for p in pieces(said))]
    for call in calls:
        function = {"name": tool, "arguments": ""}
        deltas.append({"tool_calls": [{"index": 0, "id": call["id"], "type": "function", "function": function}]})
        for piece in pieces(call["function"]["arguments"]):
            deltas.append({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
    await exchange.start_stream()
    chunk = {**head, "object": "chat.completion.chunk"}
    for delta in deltas:
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        await exchange.chunk(b"data: " + json.dumps({**chunk, "choices": [choice]}).encode() + b"\n\n")
    last_choice = {"index": 0, "delta": {}, "finish_reason": stop}
    await exchange.chunk(b"data: " + json.dumps({**chunk, "choices": [last_choice]}).encode() + b"\n\n")
    if body.get("stream_options", {}).get("include_usage"):
        await exchange.chunk(b"data: " + json.dumps({**chunk, "choices": [], "usage": usage}).encode() + b"\n\n")
    await exchange.chunk(b"data: [DONE]\n\n")
    await exchange.end_stream()


def response_events(body: dict, number: int) -> list[dict]:
    """The events of the Responses API for a request."""
    given = body.get("input") or ""
    entries = [{"role": "user", "content": given}] if isinstance(given, str) else given
    has_result = bool(entries) and str(entries[-1].get("type", "")).endswith("_output")
    texts = []
    for entry in entries:
        if entry.get("role") == "user":
            content = entry.get("content")
            texts.append(content if isinstance(content, str) else "\n".join(p.get("text", "") for p in content))
    names = [t.get("name") or t.get("function", {}).get("name") or t.get("type") for t in body.get("tools", [])]
    said, tool, arguments = decide(texts[-1] if texts else "", names, has_result)
    output: list[dict] = [
        {"id": f"rs_{number}", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Thinking it over."}]},
        {
            "id": f"msg_{number}", "type": "message", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": said, "annotations": [], "logprobs": []}],
        },
    ]  # fmt: skip
    if tool:
        call_id = f"call_{number:06}"
        output.append({
            "id": f"fc_{number}", "type": "function_call", "status": "completed", "call_id": call_id, "name": tool,
            "arguments": json.dumps(arguments),
        })  # fmt: skip
    usage = {
        "input_tokens": 1150, "input_tokens_details": {"cached_tokens": 1000}, "output_tokens": 57,
        "output_tokens_details": {"reasoning_tokens": 15}, "total_tokens": 1207,
    }  # fmt: skip
    response = {
        "id": f"resp_{number:06}", "object": "response", "created_at": 1760000000, "status": "in_progress", "error": None,
        "incomplete_details": None, "instructions": None, "model": body.get("model"), "output": [], "usage": None,
        "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "metadata": {},
        "previous_response_id": body.get("previous_response_id"),
    }  # fmt: skip
    events = [{"type": "response.created", "response": response}]
    for index, item in enumerate(output):
        place = {"output_index": index, "item_id": item["id"]}
        events.append(
            {"type": "response.output_item.added", "output_index": index, "item": {**item, "status": "in_progress"}}
        )
        if item["type"] == "message":
            empty = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            events.append({"type": "response.content_part.added", **place, "content_index": 0, "part": empty})
            for piece in pieces(said):
                events.append(
                    {"type": "response.output_text.delta", **place, "content_index": 0, "delta": piece, "logprobs": []}
                )
            events.append(
                {"type": "response.output_text.done", **place, "content_index": 0, "text": said, "logprobs": []}
            )
            events.append(
                {"type": "response.content_part.done", **place, "content_index": 0, "part": item["content"][0]}
            )
        elif item["type"] == "function_call":
            for piece in pieces(item["arguments"]):
                events.append({"type": "response.function_call_arguments.delta", **place, "delta": piece})
            done = {"type": "response.function_call_arguments.done", **place, "arguments": item["arguments"]}
            events.append({**done, "name": item["name"]})
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    final = {**response, "status": "completed", "output": output, "usage": usage}
    events.append({"type": "response.completed", "response": final})
    return [{**event, "sequence_number": place} for place, event in enumerate(events)]


async def responses(exchange: Exchange, body: dict) -> None:
    """POST /v1/responses."""
    events = response_events(body, len(exchange.upstream.requests))
    if not body.get("stream"):
        await exchange.json(events[-1]["response"])
        return
    await exchange.start_stream()
    for event in events:
        await exchange.chunk(sse(event["type"], event))
    await exchange.end_stream()


# -- WebSocket ------------------------------------------------------------------------------------------------


async def websocket(exchange: Exchange) -> None:
    """GET /v1/responses with an upgrade: each response.create is answered by its events (RFC 6455 by hand)."""
    key = (exchange.request.header("sec-websocket-key") or "").encode()
    accept = base64.b64encode(hashlib.sha1(key + WEBSOCKET_GUID).digest())
    await exchange.send(
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
        b"sec-websocket-accept: " + accept + b"\r\n\r\n"
    )
    exchange.keep = False
    exchange.upstream.requests[-1].body = b""
    count = 0
    while True:
        opcode, payload = await read_frame(exchange.reader)
        if opcode == 8:
            await exchange.send(frame(8, payload))
            return
        if opcode == 9:
            await exchange.send(frame(10, payload))
        if opcode != 1:
            continue
        message = json.loads(payload)
        exchange.request.body += payload
        if message.get("type") == "response.create":
            count += 1
            number = len(exchange.upstream.requests) * 100 + count
            for event in response_events({**message, **message.get("response", {})}, number):
                await exchange.send(frame(1, json.dumps(event).encode()))


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read one unfragmented client frame: (opcode, payload)."""
    first, second = await reader.readexactly(2)
    length = second & 127
    if length == 126:
        length = int.from_bytes(await reader.readexactly(2))
    elif length == 127:
        length = int.from_bytes(await reader.readexactly(8))
    mask = await reader.readexactly(4) if second & 128 else b"\0\0\0\0"
    data = await reader.readexactly(length)
    repeated = (mask * (length // 4 + 1))[:length]
    return first & 15, (int.from_bytes(data) ^ int.from_bytes(repeated)).to_bytes(length)


def frame(opcode: int, payload: bytes) -> bytes:
    """Make a server's frame."""
    size = len(payload)
    if size < 126:
        head = bytes((128 | opcode, size))
    elif size < 65536:
        head = bytes((128 | opcode, 126)) + size.to_bytes(2)
    else:
        head = bytes((128 | opcode, 127)) + size.to_bytes(8)
    return head + payload


async def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=9101)
    upstream = FakeUpstream(port=parser.parse_args().port)
    await upstream.listen()
    print(f"listening on {upstream.url}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
