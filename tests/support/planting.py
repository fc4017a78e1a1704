"""Clients and a provider in whose every word something is planted: all dialects, and everything that goes wrong."""

import base64
import gzip
import json
import zlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import pairwise
from urllib.parse import quote
from uuid import uuid4

import anthropic
import brotli
import httpx
import openai
import zstandard
from websockets.sync.client import connect

from tests.pii.test_events import STREAMS, framed
from tests.support.frames import TEXT, accept, frame, read_frame
from tests.support.plants import Plants
from tests.support.raw import RawClient
from tests.support.server import RunningServer
from tests.support.upstream import Exchange, FakeUpstream

PATHS = {"anthropic": "/v1/messages", "openai-chat": "/v1/chat/completions", "openai-responses": "/v1/responses"}
PACKERS = {"gzip": gzip.compress, "zstd": zstandard.compress, "br": brotli.compress, "deflate": zlib.compress}
TOOL = "Bash"
# Bytes of a body that is longer than what is recorded of one (32 MiB).
TOO_MUCH = 33 << 20


class Planting:
    """Asks a server everything. `upstream` answers by the header `x-do` of a request, see `answers`."""

    def __init__(self, plants: Plants, upstream: FakeUpstream) -> None:
        self.plants, self.upstream = plants, upstream
        self.answers: dict[str, Callable[[Exchange], Awaitable[None]]] = {}
        self.session = "first"  # of requests that name no other
        upstream.script(self._answer)

    async def _answer(self, exchange: Exchange) -> None:
        await exchange.read_body()
        await self.answers[exchange.request.header("x-do")](exchange)

    # -- what passes ---------------------------------------------------------------------------------------

    def request(self, dialect: str, place: str, session: str = "") -> dict:
        """Give a request with something planted in each of its places."""
        said, plant = self.plants.text, f"{dialect}, {place}"
        tool = {"name": TOOL, "description": said(f"{plant}: a tool's description")}
        schema = {"type": "object", "properties": {said(f"{plant}: a parameter's name"): {"type": "string"}}}
        text = said(f"{plant}: the title") + "\n" + self.plants.private_key(f"{plant}: a key in a message")
        call = json.dumps({"file_path": f"/home/{self.plants.email(f'{plant}: a file name')}/a.txt",
                           "command": said(f"{plant}: arguments"), said(f"{plant}: an argument's name"): 1})  # fmt: skip
        result, system = said(f"{plant}: a result"), said(f"{plant}: the system prompt")
        if dialect == "anthropic":
            return {
                "model": "claude-opus-4-8", "max_tokens": 100, "system": system,
                "tools": [{**tool, "input_schema": schema}],
                "metadata": {"user_id": f"user_{self.plants.email(f'{plant}: metadata')}_session_{session or self.session}"},
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": text}, _image(said(f"{plant}: a picture"))]},
                    {"role": "assistant", "content": [
                        {"type": "thinking", "thinking": said(f"{plant}: thoughts"), "signature": "c2ln"},
                        {"type": "tool_use", "id": "toolu_1", "name": TOOL, "input": json.loads(call)}]},
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": result}]},
                ],
            }  # fmt: skip
        if dialect == "openai-chat":
            return {
                "model": "gpt-5", "user": said(f"{plant}: the user"),
                "tools": [{"type": "function", "function": {**tool, "parameters": schema}}],
                "messages": [
                    {"role": "system", "content": system},
                    {"role": "user", "content": text},
                    {"role": "assistant", "content": None, "tool_calls": [
                        {"id": "call_1", "type": "function", "function": {"name": TOOL, "arguments": call}}]},
                    {"role": "tool", "tool_call_id": "call_1", "content": result},
                ],
            }  # fmt: skip
        return {
            "model": "gpt-5", "instructions": system, "metadata": {"who": said(f"{plant}: metadata")},
            "tools": [{"type": "function", **tool, "parameters": schema}],
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": text}]},
                {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": said(f"{plant}: thoughts")}]},
                {"type": "function_call", "call_id": "call_1", "name": TOOL, "arguments": call},
                {"type": "function_call_output", "call_id": "call_1", "output": result},
            ],
        }  # fmt: skip

    def headers(self, place: str, do: str) -> dict[str, str]:
        """Give a request's headers, and say what the provider does."""
        names = ("x-note", "user-agent", "x-project-id", "x-session-tags", "referer")
        return {
            "x-do": do,
            "x-session-id": self.session,
            self.plants.ssn(f"{place}: the name of a header"): "1",
            **{name: self.plants.text(f"{place}: the header {name}") for name in names},
        }

    def stream(self, dialect: str, place: str) -> bytes:
        """Give a streamed answer: text, thoughts and arguments in pieces of a few characters."""
        said = self.plants.text
        arguments = json.dumps({"command": said(f"{place}: arguments under way"), "é\U0001f600": 1}, ensure_ascii=False)
        text = said(f"{place}: text under way") + " é\U0001f600 "
        events = STREAMS[dialect](text, arguments, seed=len(self.answers))
        return framed([json.loads(json.dumps(event, ensure_ascii=False)) for event in events])

    def whole(self, dialect: str, place: str) -> dict:
        """Give an answer in one piece."""
        text, arguments = self.plants.text(f"{place}: text"), {"command": self.plants.text(f"{place}: arguments")}
        usage = {"input_tokens": 5, "output_tokens": 2}
        if dialect == "anthropic":
            content = [{"type": "thinking", "thinking": self.plants.text(f"{place}: thoughts"), "signature": "c2ln"},
                       {"type": "text", "text": text},
                       {"type": "tool_use", "id": "toolu_9", "name": TOOL, "input": arguments}]  # fmt: skip
            return {"id": "msg_9", "type": "message", "role": "assistant", "model": "claude-opus-4-8",
                    "content": content, "stop_reason": "tool_use", "usage": usage}  # fmt: skip
        if dialect == "openai-chat":
            call = {"id": "call_9", "type": "function", "function": {"name": TOOL, "arguments": json.dumps(arguments)}}
            message = {"role": "assistant", "content": text, "tool_calls": [call]}
            return {"id": "chatcmpl-9", "object": "chat.completion", "model": "gpt-5", "created": 1,
                    "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}  # fmt: skip
        output = [{"type": "message", "id": "msg_9", "role": "assistant", "status": "completed",
                   "content": [{"type": "output_text", "text": text, "annotations": []}]},
                  {"type": "function_call", "id": "fc_9", "call_id": "call_9", "name": TOOL,
                   "arguments": json.dumps(arguments), "status": "completed"}]  # fmt: skip
        return {"id": f"resp_{uuid4().hex}", "object": "response", "created_at": 1, "model": "gpt-5",
                "status": "completed", "output": output, "usage": {**usage, "total_tokens": 7}}  # fmt: skip

    def quoted_text(self, place: str) -> str:
        """Give a line as a part of an address."""
        return _quoted(self.plants.text(place))

    # -- what the provider does ------------------------------------------------------------------------------

    def does(self, name: str, script: Callable[[Exchange], Awaitable[None]]) -> str:
        """Let the provider answer so; gives the name."""
        self.answers[name] = script
        return name

    def streams(self, raw: bytes, *gates: object, name: str = "", ends: bool = True) -> str:
        """Let it stream `raw` in chunks that cut characters, wait at each of `gates` on the way, and perhaps break off."""

        async def script(exchange: Exchange) -> None:
            await exchange.start_stream(("x-answer", self.plants.text("a header of an answer")))
            cuts = [len(raw) * n // (len(gates) + 1) for n in range(len(gates) + 2)]
            for number, (start, end) in enumerate(pairwise(cuts)):
                if number:
                    await gates[number - 1].wait()
                size = 1021 if not gates else max(min(1021, end - start), 1)
                for at in range(start, end, size):
                    await exchange.chunk(raw[at : min(at + size, end)])
            if ends:
                await exchange.end_stream()
            else:
                exchange.reset()

        return self.does(name or f"streams {len(self.answers)}", script)

    def answers_with(self, status: int, body: bytes, *headers: tuple[str, str]) -> str:
        """Let it answer in one piece."""

        async def script(exchange: Exchange) -> None:
            await exchange.answer(status, body, *headers)

        return self.does(f"answers {len(self.answers)}", script)

    # -- what clients do -------------------------------------------------------------------------------------

    def ask(self, server: RunningServer, path: str, body: bytes, headers: dict[str, str], method: str = "POST") -> None:
        """Ask, and take what comes, whatever that is."""
        ways = {"content": body, "headers": headers, "timeout": 20, "trust_env": False}
        with suppress(httpx.TransportError), httpx.stream(method, server.url + path, **ways) as answer:
            for _ in answer.iter_raw():
                pass

    def with_sdks(self, server: RunningServer, session: str) -> None:
        """Converse by the vendors' own clients, streamed and not."""
        vendor = anthropic.Anthropic(api_key="k", base_url=server.url, max_retries=0)
        other = openai.OpenAI(api_key="k", base_url=f"{server.url}/v1", max_retries=0)
        for dialect, call in (
            ("anthropic", vendor.messages.create),
            ("openai-chat", other.chat.completions.create),
            ("openai-responses", other.responses.create),
        ):
            place = f"{dialect} by its SDK"
            request = self.request(dialect, "by its SDK", session)
            do = self.streams(self.stream(dialect, place))
            for _ in call(**request, stream=True, extra_headers=self.headers(place, do)):
                pass
            whole = json.dumps(self.whole(dialect, f"{place}, whole")).encode()
            do = self.answers_with(200, whole, ("content-type", "application/json"))
            turns = request["input" if dialect == "openai-responses" else "messages"]
            turns.append({"role": "user", "content": self.plants.text(f"{place}: a later message")})
            call(**request, extra_headers=self.headers(f"{place}, whole", do))

    def in_codings(self, server: RunningServer) -> None:
        """Ask in every content coding, and have it answered in it."""
        self.session = "in_codings"
        for coding, pack in PACKERS.items():
            for dialect, path in PATHS.items():
                place = f"{dialect} in {coding}"
                body = pack(json.dumps(self.request(dialect, f"in {coding}")).encode())
                kinds = (("content-type", "text/event-stream"), ("content-encoding", coding))
                do = self.answers_with(200, pack(self.stream(dialect, place)), *kinds)
                headers = {**self.headers(place, do), "content-encoding": coding, "content-type": "application/json"}
                self.ask(server, path, body, headers)
        said = self.plants.text
        for coding, body in (("gzip", said("no gzip at all").encode()), ("x-unheard-of", said("unheard of").encode())):
            do = self.answers_with(200, said(f"an answer in no {coding}").encode(), ("content-encoding", coding))
            headers = {**self.headers(f"no {coding}", do), "content-encoding": coding}
            self.ask(server, "/v1/messages", body, headers)
        torn = gzip.compress(said("torn gzip").encode() * 50)[:-20]
        do = self.answers_with(200, torn, ("content-encoding", "gzip"))
        self.ask(server, "/v1/messages", torn, {**self.headers("torn gzip", do), "content-encoding": "gzip"})

    def odd(self, server: RunningServer) -> None:
        """Ask what is no conversation, and in ways that are no JSON."""
        self.session = "odd"
        said = self.plants.text
        plain = ("content-type", "text/plain")
        for path, body, kind in (
            ("/v1/messages/count_tokens", json.dumps(self.request("anthropic", "count_tokens")), "application/json"),
            ("/v1/embeddings", json.dumps({"model": "m", "input": said("an embedding")}), "application/json"),
            ("/v1/messages", said("no JSON"), "text/plain"),
            ("/v1/messages", json.dumps(self.request("anthropic", "broken JSON"))[:-9], "application/json"),
            ("/v1/chat/completions", json.dumps([said("a list")] * 2), "application/json"),
            ("/v1/responses", '{"input": "' + _escaped(said("escaped JSON")) + '"}', "application/json"),
            ("/v1/complete", json.dumps({"prompt": said("a prompt")}), "application/json"),
            ("/v1/files", _multipart(said("a file"), self.plants.email("a file's name")), "multipart/form-data; boundary=XX"),
            ("/v1/files", "\0\1\2" + said("binary"), "application/octet-stream"),
            ("/elsewhere", said("an unknown address"), "text/plain"),
        ):  # fmt: skip
            do = self.answers_with(200, said(f"an answer of {path}").encode(), plain)
            self.ask(server, path, body.encode(), {**self.headers(path, do), "content-type": kind})
        for method, place in (
            ("GET", "models"),
            ("DELETE", "a file to delete"),
            (self.plants.employee("a method"), "an unknown method"),
        ):
            do = self.answers_with(200, b"{}", plain, ("x-who", said(f"{place}: a header of the answer")))
            path = (
                f"/v1/{place.split()[0]}/{_quoted(said(f'{place}: the path'))}?q={_quoted(said(f'{place}: the query'))}"
            )
            self.ask(server, path + "&deep=" + _quoted(_quoted(said(f"{place}: encoded twice"))), b"", self.headers(place, do), method)  # fmt: skip

    def failing(self, server: RunningServer) -> None:
        """Have everything go wrong that can."""
        self.session = "failing"
        said, json_type = self.plants.text, ("content-type", "application/json")
        for dialect in PATHS:
            for status in (400, 429, 500):
                place = f"{dialect} {status}"
                error = {
                    "type": "error",
                    "error": {"type": "invalid_request_error", "message": said(f"{place}: the message")},
                }
                do = self.answers_with(status, json.dumps(error).encode(), json_type)
                self._ask_plainly(server, dialect, place, do)
            for status, kind in ((502, "text/plain"), (503, "text/html")):
                body = f"<p>{said(f'{dialect} {status}: the page')}</p>".encode()
                self._ask_plainly(
                    server, dialect, f"{dialect} {status}", self.answers_with(status, body, ("content-type", kind))
                )
            raw = self.stream(dialect, f"{dialect} broken off")
            self._ask_plainly(server, dialect, "broken off", self.streams(raw[: len(raw) // 2 + 7], ends=False))
            event = {
                "type": "error",
                "error": {"type": "overloaded_error", "message": said(f"{dialect}: an error event")},
            }
            self._ask_plainly(server, dialect, "an error event", self.streams(framed([event])))
            self._ask_plainly(server, dialect, "reset", self.does("reset", _reset))
        too_large = b"content-length: 99999999999\r\nx-note: " + said("a request too large").encode() + b"\r\n"
        gone = json.dumps(self.request("anthropic", "a client that leaves")).encode()
        head = b"POST /v1/messages?q=%b HTTP/1.1\r\nhost: x\r\nx-note: %b\r\n"
        for rest in (
            too_large + b"\r\n",
            b"transfer-encoding: chunked\r\n\r\n" + said("broken chunking").encode() + b"\r\n",
            said("a bad header").encode() + b"\r\n\r\n",
            b"content-length: %d\r\n\r\n" % (len(gone) + 10) + gone,
        ):
            with RawClient(server.port) as client:
                marks = (_quoted(said("the query of a broken request")), said("the header of a broken request"))
                client.send(head % tuple(mark.encode() for mark in marks) + rest)
                if rest.endswith(gone):
                    client.reset()
                else:
                    client.rest()

    def huge(self, server: RunningServer) -> None:
        """Ask with, and answer, more than is recorded of one body."""
        self.session = "huge"
        padding = "x" * TOO_MUCH
        body = json.dumps(
            {"model": "m", "messages": [{"role": "user", "content": self.plants.text("a huge body") + padding}]}
        )
        do = self.answers_with(200, b"{}", ("content-type", "application/json"))
        self.ask(server, "/v1/messages", body.encode(), self.headers("a huge body", do))
        do = self.answers_with(
            200, (self.plants.text("a huge answer") + padding).encode(), ("content-type", "text/plain")
        )
        self._ask_plainly(server, "anthropic", "a huge answer", do)

    def over_websocket(self, server: RunningServer, session: str) -> None:
        """Converse as Codex does over a WebSocket: an answer, one that breaks off, and one that is refused."""
        place = "the WebSocket"

        async def script(exchange: Exchange) -> None:
            await accept(exchange)
            for number in range(2):
                while (await read_frame(exchange.reader))[0] != TEXT:
                    pass
                events = STREAMS["openai-responses"](self.plants.text(f"{place}: text under way"), "{}", number)
                for event in events if number == 0 else events[:20]:
                    await exchange.send(frame(TEXT, json.dumps(event).encode()))

        headers = {**self.headers(place, self.does("a WebSocket", script)), "session_id": session}
        headers["user-agent"] = None
        address = f"ws://127.0.0.1:{server.port}/v1/responses?q={_quoted(self.plants.text(f'{place}: the query'))}"
        with connect(address, additional_headers={k: v for k, v in headers.items() if v}, proxy=None) as socket:
            for number in range(2):
                request = {"type": "response.create", **self.request("openai-responses", f"{place} {number}")}
                socket.send(json.dumps(request))
                with suppress(Exception):  # the second breaks off
                    while json.loads(socket.recv(timeout=10))["type"] != "response.completed":
                        pass

    def _ask_plainly(self, server: RunningServer, dialect: str, place: str, do: str) -> None:
        body = json.dumps(self.request(dialect, place)).encode()
        headers = {**self.headers(place, do), "content-type": "application/json"}
        self.ask(server, PATHS[dialect], body, headers)


async def _reset(exchange: Exchange) -> None:
    exchange.reset()


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _escaped(text: str) -> str:
    return "".join(f"\\u{ord(c):04x}" if not c.isspace() else c for c in text)


def _image(text: str) -> dict:
    data = base64.b64encode(b"\x89PNG\0" + text.encode()).decode()
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}


def _multipart(text: str, name: str) -> str:
    return f'--XX\r\ncontent-disposition: form-data; name="file"; filename="{name}.txt"\r\n\r\n{text}\r\n--XX--\r\n'
