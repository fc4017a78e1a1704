"""OpenAI Chat Completions: requests, answers as JSON, answers as a stream.

https://platform.openai.com/docs/api-reference/chat and …/chat-streaming.
"""

from typing import Any

from sessions.dialects.facts import Block, Message, RequestFacts, ResponseFacts, ToolCall, ToolResult, Usage
from sessions.dialects.parsing import Answer, count, error_text, items, mapping, text, tool_block
from sessions.dialects.people import words_of


def content_blocks(content: Any) -> tuple[Block, ...]:
    """Give the blocks of a message's content."""
    if isinstance(content, str):
        return (Block("text", text(content)),) if content else ()
    return tuple(_block(mapping(item)) for item in items(content))


def _block(item: dict) -> Block:
    kind = text(item.get("type"))
    if kind in ("text", "input_text", "output_text"):
        return Block("text", text(item.get("text")))
    if kind == "refusal":
        return Block("refusal", text(item.get("refusal")))
    if kind == "image_url":
        url = text(mapping(item.get("image_url")).get("url"))
        return Block("image", url, url[5:].partition(";")[0] if url.startswith("data:") else "")
    if kind == "file":
        return Block("document", text(mapping(item.get("file")).get("filename")))
    return Block("other", "", kind)


def _calls(message: dict) -> list[ToolCall]:
    calls = []
    for item in items(message.get("tool_calls")):
        item = mapping(item)
        function = mapping(item.get("function")) or mapping(item.get("custom"))
        arguments = text(function.get("arguments")) or text(function.get("input"))
        calls.append(ToolCall(text(item.get("id")), text(function.get("name")), arguments))
    old = mapping(message.get("function_call"))
    if old:
        calls.append(ToolCall("", text(old.get("name")), text(old.get("arguments"))))
    return calls


def _message_blocks(message: dict) -> tuple[Block, ...]:
    reasoning = text(message.get("reasoning_content")) or text(message.get("reasoning"))
    blocks = (Block("thinking", reasoning),) if reasoning else ()
    blocks += content_blocks(message.get("content"))
    if isinstance(message.get("refusal"), str):
        blocks += (Block("refusal", text(message["refusal"])),)
    return blocks + tuple(tool_block(call) for call in _calls(message))


def parse_message(value: Any) -> Message:
    """Read one message of a request."""
    message = mapping(value)
    role = text(message.get("role")) or "user"
    if role in ("tool", "function"):
        result = "\n".join(block.text for block in content_blocks(message.get("content")))
        return Message("tool", (Block("tool_result", result, id=text(message.get("tool_call_id"))),))
    return Message("system" if role == "developer" else role, _message_blocks(message))


def parse_request(body: dict, kind: str) -> RequestFacts:
    """Read a request's body."""
    messages = tuple(parse_message(message) for message in items(body.get("messages")))
    if not messages and isinstance(body.get("prompt"), str):  # /v1/completions
        messages = (Message("user", (Block("text", text(body["prompt"])),)),)
    first, last = words_of(messages)
    return RequestFacts(
        kind=kind,
        model=text(body.get("model")),
        is_streaming=body.get("stream") is True,
        system="\n\n".join(b.text for m in messages if m.role == "system" for b in m.blocks if b.kind == "text"),
        messages=messages,
        message_count=len(messages),
        tool_count=len(items(body.get("tools"))) or len(items(body.get("functions"))),
        tool_results=tuple(ToolResult(b.id, b.text) for m in messages for b in m.blocks if b.kind == "tool_result"),
        user_text=last,
        first_user_text=first,
    )


def usage_of(value: Any) -> Usage:
    """Read a usage object, whose classes contain each other, into classes that do not."""
    usage = mapping(value)
    prompt, answer = mapping(usage.get("prompt_tokens_details")), mapping(usage.get("completion_tokens_details"))
    cached, audio_in = count(prompt.get("cached_tokens")), count(prompt.get("audio_tokens"))
    thinking, audio_out = count(answer.get("reasoning_tokens")), count(answer.get("audio_tokens"))
    return Usage(
        input=max(count(usage.get("prompt_tokens")) - cached - audio_in, 0),
        output=max(count(usage.get("completion_tokens")) - thinking - audio_out, 0),
        thinking=thinking,
        cache_read=cached,
        audio_input=audio_in,
        audio_output=audio_out,
    )


class ChatAnswer(Answer):
    """An answer of /v1/chat/completions (or the old /v1/completions)."""

    def __init__(self, content_type: str, status: int) -> None:
        super().__init__(content_type, status)
        self._head: dict = {}
        self._usage: Any = None
        self._choices: dict[int, dict] = {}

    def on_event(self, event: dict) -> None:
        if event.get("error"):
            self.found.error = error_text(event["error"])
            return
        for name in ("id", "model", "created", "service_tier", "system_fingerprint"):
            if event.get(name) is not None:
                self._head[name] = event[name]
        if event.get("usage"):
            self._usage = event["usage"]
        for item in items(event.get("choices")):
            item = mapping(item)
            index = count(item.get("index"))
            choice = self._choices.setdefault(index, {"texts": {}, "calls": {}, "finish": None, "old": {}})
            if item.get("finish_reason"):
                choice["finish"] = item["finish_reason"]
                self.found.complete = True
            self._delta(choice, mapping(item.get("delta")) or {"content": item.get("text")}, is_shown=index == 0)

    def _delta(self, choice: dict, delta: dict, is_shown: bool) -> None:
        for name in ("content", "refusal", "reasoning_content", "reasoning"):
            if isinstance(delta.get(name), str) and delta[name]:
                if name not in choice["texts"]:
                    choice["texts"][name] = []
                    if is_shown:  # of several answers, the first
                        self.stream("thinking" if "reasoning" in name else "text", choice["texts"][name])
                choice["texts"][name].append(text(delta[name]))
                self.first_token = True
        for position, item in enumerate(items(delta.get("tool_calls"))):
            item = mapping(item)
            index = item["index"] if isinstance(item.get("index"), int) else position
            if index not in choice["calls"]:
                arguments: list[str] = []
                stream = self.stream("tool_call", arguments)
                choice["calls"][index] = {"id": "", "name": "", "arguments": arguments, "stream": stream}
            call = choice["calls"][index]
            function = mapping(item.get("function")) or mapping(item.get("custom"))
            call["id"] = text(item.get("id")) or call["id"]
            call["name"] = call["stream"].name = text(function.get("name")) or call["name"]
            call["arguments"].append(text(function.get("arguments")) or text(function.get("input")))
            self.first_token = True
        old = mapping(delta.get("function_call"))
        if old:
            if not choice["old"]:
                choice["old"] = {"name": text(old.get("name")), "arguments": []}
                self.stream("tool_call", choice["old"]["arguments"], choice["old"]["name"])
            choice["old"]["arguments"].append(text(old.get("arguments")))
            self.first_token = True

    def on_body(self, body: dict) -> None:
        _fill(self.found, body)

    def on_finish(self) -> None:
        if not self._head and not self._choices:
            return
        choices = []
        for index, choice in sorted(self._choices.items()):
            message: dict[str, Any] = {"role": "assistant", "content": None}
            message.update({name: "".join(parts) for name, parts in choice["texts"].items()})
            calls = [
                {
                    "id": c["id"],
                    "type": "function",
                    "function": {"name": c["name"], "arguments": "".join(c["arguments"])},
                }
                for _, c in sorted(choice["calls"].items())
            ]
            if calls:
                message["tool_calls"] = calls
            if choice["old"]:
                arguments = "".join(choice["old"].get("arguments", ()))
                message["function_call"] = {"name": choice["old"].get("name", ""), "arguments": arguments}
            choices.append({"index": index, "message": message, "finish_reason": choice["finish"]})
        body = {**self._head, "object": "chat.completion", "choices": choices, "usage": self._usage}
        complete, error = self.found.complete, self.found.error
        self.found = ResponseFacts(complete=complete, error=error)
        _fill(self.found, body)


def _fill(found: ResponseFacts, body: dict) -> None:
    found.response_id, found.model = text(body.get("id")), text(body.get("model"))
    found.usage = usage_of(body.get("usage"))
    found.content = body
    for position, choice in enumerate(items(body.get("choices"))):
        choice = mapping(choice)
        message = mapping(choice.get("message")) or {"content": choice.get("text")}
        blocks = _message_blocks(message)
        found.tool_calls += _calls(message)
        if position == 0:
            found.finish_reason = text(choice.get("finish_reason"))
            found.blocks += blocks
        else:
            found.blocks += [block for block in blocks if block.kind == "tool_call"]
        found.has_refusal |= any(block.kind == "refusal" for block in blocks)
    found.has_refusal |= found.finish_reason == "content_filter"
