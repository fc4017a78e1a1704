"""Conversations as Claude Code has them: a request that grows with each turn, and the streamed answer to it.

Code and prose come from installed packages, so that text is as varied, and packs as well, as in real sessions.
"""

import ast
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import django

TOOLS = ("Task", "Bash", "Glob", "Grep", "Read", "Edit", "Write", "WebFetch", "TodoWrite", "WebSearch")


@cache
def _sources(root: Path, packages: tuple[str, ...]) -> list[tuple[str, list[str]]]:
    """Files of code: (path, lines)."""
    paths = sorted(path for part in packages for path in (root / part).rglob("*.py"))
    read = [(f"/project/{path.relative_to(root)}", path.read_text().splitlines()) for path in paths]
    return [(path, lines) for path, lines in read if len(lines) > 150]


@cache
def _prose(root: Path, packages: tuple[str, ...]) -> list[str]:
    """Paragraphs."""
    found = []
    for _, lines in _sources(root, packages):
        for node in ast.walk(ast.parse("\n".join(lines))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and (words := ast.get_docstring(node)):
                found.append(words)
    return sorted(set(found))


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def sse(name: str, **fields: object) -> bytes:
    return f"event: {name}\ndata: {_json({'type': name, **fields})}\n\n".encode()


@dataclass
class Turn:
    """A request, and the events of its answer."""

    body: bytes
    events: list[bytes]


@dataclass
class Conversation:
    """One session. `start` is about the size of its first request, `step` what a turn adds, both in bytes."""

    number: int
    start: int
    step: int
    messages: list[dict] = field(default_factory=list)
    root: Path = Path(django.__file__).parent  # where text comes from
    packages: tuple[str, ...] = ("db", "core", "forms", "http")

    def __post_init__(self) -> None:
        self._random = random.Random(self.number)
        self._sources, self._prose = _sources(self.root, self.packages), _prose(self.root, self.packages)
        self.session_id = f"00000000-0000-4000-8000-{self.number:012}"
        half = self.start // 2
        self._system = [
            {"type": "text", "text": "You are a coding assistant.", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": self._words(half), "cache_control": {"type": "ephemeral"}},
        ]
        schema = {"type": "object", "properties": {"path": {"type": "string"}, "limit": {"type": "number"}}}
        self._tools = [
            {"name": name, "description": self._words(half // len(TOOLS) - 150), "input_schema": schema}
            for name in TOOLS
        ]

    def turns(self, count: int) -> Iterator[Turn]:
        """Go on for `count` turns. Every tenth begins with a person's words, the others with a tool's result."""
        call = ""
        for turn in range(count):
            if turn % 10 == 0:
                reminder = f"<system-reminder>\n{self._words(300)}\n</system-reminder>"
                content = [{"type": "text", "text": reminder}, {"type": "text", "text": self._words(200)}]
            else:
                content = [{"tool_use_id": call, "type": "tool_result", "content": self._code(self.step - 700)}]
            self.messages.append({"role": "user", "content": content})
            body = _json(self._body()).encode()
            said, call = self._words(250), f"toolu_{self._random.getrandbits(120):030x}"
            path, lines = self._random.choice(self._sources)
            uses = turn % 10 != 9
            arguments = {"file_path": path, "offset": self._random.randrange(len(lines)), "limit": 50}
            blocks: list[dict] = [{"type": "text", "text": said}]
            if uses:
                blocks.append({"type": "tool_use", "id": call, "name": "Read", "input": arguments})
            self.messages.append({"role": "assistant", "content": blocks})
            yield Turn(body, list(self._answer(blocks, len(body) // 4)))

    def _body(self) -> dict:
        messages = [*self.messages]
        for place in (-1, -3):  # cache marks wander with the conversation's end
            if len(messages) >= -place:
                *before, last = messages[place]["content"]
                marked = {**last, "cache_control": {"type": "ephemeral"}}
                messages[place] = {"role": "user", "content": [*before, marked]}
        user = _json({"device_id": "d" * 64, "account_uuid": "", "session_id": self.session_id})
        return {
            "model": "claude-sonnet-4-5-20250929", "messages": messages, "system": self._system, "tools": self._tools,
            "metadata": {"user_id": user}, "max_tokens": 32000, "stream": True,
        }  # fmt: skip

    def _answer(self, blocks: list[dict], tokens: int) -> Iterator[bytes]:
        usage = {
            "input_tokens": 4, "cache_creation_input_tokens": 700, "cache_read_input_tokens": tokens,
            "cache_creation": {"ephemeral_5m_input_tokens": 700, "ephemeral_1h_input_tokens": 0}, "output_tokens": 1,
            "service_tier": "standard",
        }  # fmt: skip
        message = {
            "model": "claude-sonnet-4-5-20250929", "id": f"msg_{self._random.getrandbits(120):030x}",
            "type": "message", "role": "assistant", "content": [], "stop_reason": None, "stop_sequence": None,
            "usage": usage,
        }  # fmt: skip
        yield sse("message_start", message=message)
        for index, block in enumerate(blocks):
            if block["type"] == "text":
                empty, kind, name, text = {"text": ""}, "text_delta", "text", block["text"]
            else:
                empty, kind, name = {"input": {}}, "input_json_delta", "partial_json"
                text = json.dumps(block["input"])
            yield sse("content_block_start", index=index, content_block={**block, **empty})
            if index == 0:
                yield sse("ping")
            while text:
                size = self._random.randint(3, 20)
                yield sse("content_block_delta", index=index, delta={"type": kind, name: text[:size]})
                text = text[size:]
            yield sse("content_block_stop", index=index)
        stop = "tool_use" if len(blocks) > 1 else "end_turn"
        output = {**usage, "output_tokens": 120}
        yield sse("message_delta", delta={"stop_reason": stop, "stop_sequence": None}, usage=output)
        yield sse("message_stop")

    def _words(self, size: int) -> str:
        return self._take(self._prose, size)

    def _take(self, paragraphs: list[str], size: int) -> str:
        found = ""
        while len(found) < size:
            found += self._random.choice(paragraphs) + "\n\n"
        return found[: max(size, 20)].strip()

    def _code(self, size: int) -> str:
        """What the tool Read gives: numbered lines of a file."""
        _, lines = self._random.choice(self._sources)
        at, found = self._random.randrange(len(lines) - 100), []
        while size > 0:
            line = f"{at % len(lines) + 1:6}→{lines[at % len(lines)]}"
            found.append(line)
            size -= len(line) + 1
            at += 1
        return "\n".join(found)


# As Claude Code 2.1 sends them.
REQUEST_HEADERS = [
    ("accept", "application/json"), ("anthropic-beta", "claude-code-20250219,interleaved-thinking-2025-05-14"),
    ("anthropic-dangerous-direct-browser-access", "true"), ("anthropic-version", "2023-06-01"),
    ("content-type", "application/json"), ("user-agent", "claude-cli/2.1.330 (external, cli)"), ("x-app", "cli"),
    ("x-claude-code-session-id", "00000000-0000-4000-8000-000000000007"),
    ("x-stainless-arch", "x64"), ("x-stainless-lang", "js"), ("x-stainless-os", "Linux"),
    ("x-stainless-package-version", "0.70.0"), ("x-stainless-retry-count", "0"), ("x-stainless-runtime", "node"),
    ("x-stainless-runtime-version", "v24.3.0"), ("x-stainless-timeout", "600"), ("accept-encoding", "identity"),
]  # fmt: skip


def answer_headers(number: int) -> list[tuple[str, str]]:
    """The answer's headers, as Anthropic's API sends them."""
    return [
        ("date", f"Tue, 24 Nov 2026 20:{number // 60 % 60:02}:{number % 60:02} GMT"),
        ("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache"),
        ("anthropic-ratelimit-unified-status", "allowed"), ("anthropic-ratelimit-unified-5h-status", "allowed"),
        ("anthropic-ratelimit-unified-5h-reset", "1764021600"),
        ("anthropic-ratelimit-unified-5h-utilization", f"0.{number:04}"),
        ("request-id", f"req_{number:024}"), ("strict-transport-security", "max-age=31536000; includeSubDomains; preload"),
        ("anthropic-organization-id", "6e1b0c0e-6d4a-4b8e-9d57-0b6f3f8f7c11"), ("server", "cloudflare"),
        ("x-envoy-upstream-service-time", str(900 + number)), ("cf-cache-status", "DYNAMIC"),
        ("x-robots-tag", "none"), ("cf-ray", f"{number:016x}-FRA"),
    ]  # fmt: skip
