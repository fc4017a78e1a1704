"""OpenAI Responses: requests, answers as JSON, as a stream, and (through the recorder) as WebSocket messages.

https://platform.openai.com/docs/api-reference/responses and …/responses-streaming.
"""

from typing import Any

from sessions.dialects.facts import Block, Message, RequestFacts, ResponseFacts, ToolCall, ToolResult, Usage
from sessions.dialects.parsing import Answer, count, dumps, error_text, items, loads, mapping, text, tool_block
from sessions.dialects.people import words_of

# Events that end an answer, and what they carry.
ENDS = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")


def content_blocks(content: Any) -> tuple[Block, ...]:
    """Give the blocks of a message's content."""
    if isinstance(content, str):
        return (Block("text", text(content)),) if content else ()
    return tuple(_block(mapping(item)) for item in items(content))


def _block(item: dict) -> Block:
    kind = text(item.get("type"))
    if kind in ("input_text", "output_text", "text", "summary_text", "reasoning_text"):
        return Block("text", text(item.get("text")))
    if kind == "refusal":
        return Block("refusal", text(item.get("refusal")))
    if kind == "input_image":
        url = text(item.get("image_url"))
        return Block("image", url, url[5:].partition(";")[0] if url.startswith("data:") else "")
    if kind == "input_file":
        return Block("document", text(item.get("file_url")) or text(item.get("filename")))
    return Block("other", dumps(item), kind)


def _call(item: dict) -> ToolCall | None:
    """A tool call, in any of the forms in which an item is one."""
    kind = text(item.get("type"))
    if kind == "function_call":
        return ToolCall(
            text(item.get("call_id")) or text(item.get("id")), text(item.get("name")), text(item.get("arguments"))
        )
    if kind == "custom_tool_call":
        return ToolCall(
            text(item.get("call_id")) or text(item.get("id")), text(item.get("name")), text(item.get("input"))
        )
    if kind.endswith("_call"):  # local_shell_call, web_search_call, mcp_call, …
        name = text(item.get("name")) or kind.removesuffix("_call")
        arguments = item.get("action", item.get("arguments", item.get("queries", item.get("code"))))
        arguments = text(arguments) if isinstance(arguments, str) else dumps(arguments) if arguments is not None else ""
        return ToolCall(text(item.get("call_id")) or text(item.get("id")), name, arguments)
    return None


def _item_blocks(item: dict) -> tuple[Block, ...]:
    kind = text(item.get("type"))
    if kind in ("message", ""):
        return content_blocks(item.get("content"))
    if kind == "reasoning":
        parts = [block.text for name in ("summary", "content") for block in content_blocks(item.get(name))]
        return (Block("thinking", "\n\n".join(parts)),) if any(parts) else (Block("redacted_thinking"),)
    if kind.endswith("_output"):
        output, failed = _output(item.get("output"))
        return (Block("tool_result", output, id=text(item.get("call_id")), is_error=failed),)
    call = _call(item)
    return (tool_block(call),) if call else (Block("other", dumps(item), kind),)


def _output(output: Any) -> tuple[str, bool]:
    """A tool's output as text, and whether it failed (Codex's shell says so by an exit code)."""
    if isinstance(output, str):
        value = loads(output) if output[:1] == "{" else None
        if isinstance(value, dict) and isinstance(value.get("output"), str):
            code = mapping(value.get("metadata")).get("exit_code")
            return text(value["output"]), isinstance(code, int) and code != 0
        code = output[:200].partition("Exit code: ")[2][:3].partition("\n")[0].strip()
        return text(output), code.isdigit() and code != "0"
    if isinstance(output, dict):
        return text(output.get("content")) or dumps(output), output.get("success") is False
    return "\n".join(block.text for block in content_blocks(output)), False


def parse_message(value: Any) -> Message:
    """Read one item of a request's input."""
    if isinstance(value, str):
        return Message("user", content_blocks(value))
    item = mapping(value)
    kind = text(item.get("type"))
    if kind in ("message", ""):
        role = text(item.get("role")) or "user"
    else:
        role = "tool" if kind.endswith("_output") else "assistant"
    return Message("system" if role == "developer" else role, _item_blocks(item))


def parse_request(body: dict, kind: str) -> RequestFacts:
    """Read a request's body, or the message that stands for it on a WebSocket."""
    if isinstance(body.get("response"), dict) and body.get("type") == "response.create":
        body = {**body, **body["response"]}
    given = body.get("input")
    messages = tuple(parse_message(item) for item in ([given] if isinstance(given, str) else items(given)))
    first, last = words_of(messages)
    system = [text(body.get("instructions"))]
    system += [b.text for m in messages if m.role == "system" for b in m.blocks if b.kind == "text"]
    return RequestFacts(
        kind=kind,
        model=text(body.get("model")),
        is_streaming=body.get("stream") is True,
        system="\n\n".join(filter(None, system)),
        messages=messages,
        message_count=len(messages),
        tool_count=len(items(body.get("tools"))),
        tool_results=tuple(
            ToolResult(b.id, b.text, b.is_error) for m in messages for b in m.blocks if b.kind == "tool_result"
        ),
        user_text=last,
        first_user_text=first,
        previous_response_id=text(body.get("previous_response_id")),
    )


def usage_of(value: Any) -> Usage:
    """Read a usage object, whose classes contain each other, into classes that do not."""
    usage = mapping(value)
    cached = count(mapping(usage.get("input_tokens_details")).get("cached_tokens"))
    thinking = count(mapping(usage.get("output_tokens_details")).get("reasoning_tokens"))
    return Usage(
        input=max(count(usage.get("input_tokens")) - cached, 0),
        output=max(count(usage.get("output_tokens")) - thinking, 0),
        thinking=thinking,
        cache_read=cached,
    )


# What a delta is called → the kind of its block; arguments of tools have many names.
_DELTAS = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "text",
    "response.reasoning_summary_text.delta": "thinking",
    "response.reasoning_text.delta": "thinking",
    "response.custom_tool_call_input.delta": "tool_call",
}


class ResponsesAnswer(Answer):
    """An answer of /v1/responses."""

    def __init__(self, content_type: str, status: int) -> None:
        super().__init__(content_type, status)
        self._response: dict = {}
        self._items: dict[int, dict] = {}
        self._texts: dict[tuple[int, str, int], list[str]] = {}  # (item, field, part)
        self._final = False

    def on_event(self, event: dict) -> None:
        kind = text(event.get("type"))
        if isinstance(event.get("response"), dict):
            self._response = event["response"]
        if kind in ENDS:
            self._final = True
            self.found.complete = True
        elif kind == "error":
            self.found.error = error_text(event.get("error") or event)
        elif kind == "response.output_item.added" or kind == "response.output_item.done":
            index = count(event.get("output_index"))
            self._items[index] = mapping(event.get("item"))
            if kind.endswith("added") and text(self._items[index].get("type")).endswith("_call"):
                self._begin_call(index)
            if kind.endswith("done"):
                self._texts = {key: parts for key, parts in self._texts.items() if key[0] != index}
                self.first_token = True
        elif kind.endswith(".delta") and isinstance(event.get("delta"), str):
            self.first_token = True
            part = count(event.get("content_index")) or count(event.get("summary_index"))
            key = (count(event.get("output_index")), kind, part)
            if key not in self._texts:
                self._texts[key] = []
                self._begin(key)
            self._texts[key].append(text(event["delta"]))

    def _begin_call(self, index: int) -> None:
        """Show a tool's name before its arguments come."""
        field = (
            "custom_tool_call_input"
            if self._items[index].get("type") == "custom_tool_call"
            else "function_call_arguments"
        )
        if self._items[index].get("type") in ("custom_tool_call", "function_call"):
            key = (index, f"response.{field}.delta", 0)
            if key not in self._texts:
                self._texts[key] = []
                self._begin(key)

    def _begin(self, key: tuple[int, str, int]) -> None:
        shown = _DELTAS.get(key[1], "tool_call" if "arguments" in key[1] else "")
        if shown:
            self.stream(shown, self._texts[key], text(self._items.get(key[0], {}).get("name")))

    def on_body(self, body: dict) -> None:
        _fill(self.found, body)

    def on_finish(self) -> None:
        if not self._response and not self._items:
            return
        response = dict(self._response)
        if not (self._final and response.get("output")):
            response["output"] = [self._assembled(index) for index in sorted(self._items)]
        complete, error = self.found.complete, self.found.error
        self.found = ResponseFacts(complete=complete, error=error)
        _fill(self.found, response)

    def _assembled(self, index: int) -> dict:
        """An item as far as it came: what its deltas said, where it was not done."""
        item = dict(self._items[index])
        parts: dict[str, list[str]] = {}
        for (_, kind, _), texts in sorted((k, v) for k, v in self._texts.items() if k[0] == index and any(v)):
            parts.setdefault(kind, []).append("".join(texts))
        for kind, texts in parts.items():
            if kind == "response.output_text.delta":
                item["content"] = [{"type": "output_text", "text": part} for part in texts]
            elif kind == "response.refusal.delta":
                item["content"] = [{"type": "refusal", "refusal": part} for part in texts]
            elif kind == "response.reasoning_summary_text.delta":
                item["summary"] = [{"type": "summary_text", "text": part} for part in texts]
            elif kind == "response.reasoning_text.delta":
                item["content"] = [{"type": "reasoning_text", "text": part} for part in texts]
            elif kind == "response.custom_tool_call_input.delta":
                item["input"] = "".join(texts)
            elif "arguments" in kind:
                item["arguments"] = "".join(texts)
        return item


def _fill(found: ResponseFacts, response: dict) -> None:
    found.response_id, found.model = text(response.get("id")), text(response.get("model"))
    found.usage = usage_of(response.get("usage"))
    status = text(response.get("status"))
    found.finish_reason = text(mapping(response.get("incomplete_details")).get("reason")) or status
    if status == "failed" and not found.error:
        found.error = error_text(response.get("error"))
    found.content = response
    for item in items(response.get("output")):
        item = mapping(item)
        found.blocks += _item_blocks(item)
        call = _call(item)
        if call:
            found.tool_calls.append(call)
    found.has_refusal = any(block.kind == "refusal" for block in found.blocks)
