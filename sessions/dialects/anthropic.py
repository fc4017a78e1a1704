"""Anthropic Messages: requests, answers as JSON, answers as a stream.

https://docs.anthropic.com/en/api/messages and …/build-with-claude/streaming.
"""

from typing import Any

from sessions.dialects.facts import Block, Message, RequestFacts, ResponseFacts, ToolCall, ToolResult, Usage
from sessions.dialects.parsing import Answer, clean, count, dumps, error_text, items, loads, mapping, text
from sessions.dialects.people import words_of


def content_blocks(content: Any) -> tuple[Block, ...]:
    """Give the blocks of a message's content, or of a system prompt."""
    if isinstance(content, str):
        return (Block("text", text(content)),) if content else ()
    return tuple(_block(mapping(item)) for item in items(content))


def _block(item: dict) -> Block:
    kind = text(item.get("type"))
    if kind == "text":
        return Block("text", text(item.get("text")))
    if kind == "thinking":
        return Block("thinking", text(item.get("thinking")))
    if kind == "redacted_thinking":
        return Block("redacted_thinking")
    if kind.endswith("tool_use"):
        return Block("tool_call", dumps(item.get("input", {})), text(item.get("name")), text(item.get("id")))
    if kind.endswith("tool_result"):
        result = item.get("content")
        return Block(
            "tool_result", _result_text(result), id=text(item.get("tool_use_id")), is_error=item.get("is_error") is True
        )
    if kind in ("image", "document"):
        source = mapping(item.get("source"))
        media = text(source.get("media_type"))
        if source.get("type") == "base64":
            return Block(kind, f"data:{media};base64,{text(source.get('data'))}", media)
        return Block(kind, text(source.get("url")) or text(source.get("data")), media)
    return Block("other", dumps(item), kind)


def _result_text(result: Any) -> str:
    if isinstance(result, str):
        return text(result)
    if isinstance(result, dict):  # server tools: web search, code execution
        return dumps(result)
    parts = []
    for item in items(result):
        item = mapping(item)
        kind = text(item.get("type"))
        parts.append(
            text(item.get("text")) if kind == "text" else f"[{kind}]" if kind in ("image", "document") else dumps(item)
        )
    return "\n".join(parts)


def parse_message(value: Any) -> Message:
    """Read one message of a request."""
    value = mapping(value)
    return Message(text(value.get("role")) or "user", content_blocks(value.get("content")))


def parse_request(body: dict, kind: str) -> RequestFacts:
    """Read a request's body."""
    messages = tuple(parse_message(message) for message in items(body.get("messages")))
    if not messages and isinstance(body.get("prompt"), str):  # /v1/complete
        messages = (Message("user", (Block("text", text(body["prompt"])),)),)
    results = tuple(
        ToolResult(b.id, b.text, b.is_error)
        for m in messages
        for b in m.blocks
        if b.kind == "tool_result" and m.role == "user"
    )
    first, last = words_of(messages)
    return RequestFacts(
        kind=kind,
        model=text(body.get("model")),
        is_streaming=body.get("stream") is True,
        system="\n\n".join(b.text for b in content_blocks(body.get("system"))),
        messages=messages,
        message_count=len(messages),
        tool_count=len(items(body.get("tools"))),
        tool_results=results,
        user_text=last,
        first_user_text=first,
    )


def usage_of(value: Any) -> Usage:
    """Read a usage object. Its input_tokens leave the caches out already."""
    usage = mapping(value)
    split = mapping(usage.get("cache_creation"))
    created = count(usage.get("cache_creation_input_tokens"))
    one_hour = count(split.get("ephemeral_1h_input_tokens"))
    five_minutes = count(split.get("ephemeral_5m_input_tokens")) if split else created
    thinking = count(mapping(usage.get("output_tokens_details")).get("thinking_tokens"))
    return Usage(
        input=count(usage.get("input_tokens")),
        output=max(count(usage.get("output_tokens")) - thinking, 0),
        thinking=thinking,
        cache_read=count(usage.get("cache_read_input_tokens")),
        cache_creation_5m=five_minutes if split else max(created - one_hour, 0),
        cache_creation_1h=one_hour,
    )


# What a delta is called → the kind of its block.
_DELTAS = {"text": "text", "thinking": "thinking", "partial_json": "tool_call", "signature": ""}


class AnthropicAnswer(Answer):
    """An answer of /v1/messages (or count_tokens, or the old /v1/complete)."""

    def __init__(self, content_type: str, status: int) -> None:
        super().__init__(content_type, status)
        self._message: dict = {}
        self._usage: dict = {}
        self._blocks: dict[int, dict] = {}
        self._deltas: dict[int, dict[str, list[str]]] = {}

    def on_event(self, event: dict) -> None:
        kind = event.get("type")
        if kind == "message_start":
            self._message = dict(mapping(event.get("message")))
            self._usage = dict(mapping(self._message.get("usage")))
        elif kind == "content_block_start":
            index = count(event.get("index"))
            self._blocks[index] = dict(mapping(event.get("content_block")))
            self._deltas[index] = {}
            self._begin(index)
            if self._blocks[index].get("type") not in (None, "text", "thinking") or any(
                self._blocks[index].get(name) for name in ("text", "thinking")
            ):
                self.first_token = True
        elif kind == "content_block_delta":
            self._delta(count(event.get("index")), mapping(event.get("delta")))
        elif kind == "message_delta":
            self._message.update(mapping(event.get("delta")))
            # Cumulative; where it names input tokens too, those are the final ones.
            self._usage.update({k: v for k, v in mapping(event.get("usage")).items() if v is not None})
        elif kind == "message_stop":
            self.found.complete = True
        elif kind == "error":
            self.found.error = error_text(event.get("error"))

    def _begin(self, index: int) -> None:
        """Show a tool's name before its arguments come, and what a block has from the start."""
        block = self._blocks[index]
        if text(block.get("type")).endswith("tool_use"):
            self._parts(index, "partial_json")
        for name in ("text", "thinking"):
            if block.get("type") == name and text(block.get(name)):
                self._parts(index, name).append(text(block.pop(name)))

    def _parts(self, index: int, name: str) -> list[str]:
        parts = self._deltas.get(index)
        if parts is None:
            parts = self._deltas[index] = {}
        if name not in parts:
            parts[name] = []
            if _DELTAS[name]:
                self.stream(_DELTAS[name], parts[name], text(self._blocks[index].get("name")))
        return parts[name]

    def _delta(self, index: int, delta: dict) -> None:
        self.first_token = True
        if index not in self._blocks:
            self._blocks[index] = {"type": "text"}
        for name in _DELTAS:
            if name in delta and isinstance(delta[name], str):
                self._parts(index, name).append(delta[name])
        if "citation" in delta:
            self._blocks[index].setdefault("citations", [])
            if isinstance(self._blocks[index]["citations"], list):
                self._blocks[index]["citations"].append(delta["citation"])

    def on_body(self, body: dict) -> None:
        if "input_tokens" in body and "content" not in body:  # count_tokens: nothing was spent
            self.found.content = body
            return
        if isinstance(body.get("completion"), str):
            body = {**body, "content": [{"type": "text", "text": body["completion"]}]}
        _fill(self.found, body, usage_of(body.get("usage")))

    def on_finish(self) -> None:
        blocks = []
        for index in sorted(self._blocks):
            block, deltas = dict(self._blocks[index]), self._deltas.get(index, {})
            for name in ("text", "thinking", "signature"):
                if name in deltas:
                    block[name] = text(block.get(name)) + clean("".join(deltas[name]))
            if written := clean("".join(deltas.get("partial_json", ()))):
                value = loads(written)
                # Broken JSON stays the text that it was.
                block["input"] = value if isinstance(value, dict | list) else written
            blocks.append(block)
        if not self._message and not blocks:
            return
        found = self.found
        complete, error = found.complete, found.error
        self.found = ResponseFacts(complete=complete, error=error)
        _fill(self.found, {**self._message, "content": blocks, "usage": self._usage}, usage_of(self._usage))


def _fill(found: ResponseFacts, message: dict, usage: Usage) -> None:
    found.response_id = text(message.get("id"))
    found.model = text(message.get("model"))
    found.usage = usage
    found.finish_reason = text(message.get("stop_reason"))
    found.has_refusal = found.finish_reason == "refusal"
    found.content = message
    for item in items(message.get("content")):
        item = mapping(item)
        block = _block(item)
        if block.kind == "tool_call":
            written = item.get("input", {})
            arguments = written if isinstance(written, str) else dumps(written)
            block = Block("tool_call", text(arguments), block.name, block.id)
            found.tool_calls.append(ToolCall(block.id, block.name, block.text))
        found.blocks.append(block)
