"""An answer as the client sends it back: the messages, byte for byte, that the next request is likely to hold.

A request repeats what the answer before it said. Where its bytes are one of those given here, the answer is named in
its place. What is given for an answer, and in which order, never changes: files name it by number.
"""

from collections.abc import Iterator
from typing import Any

import orjson

from sessions.dialects.parsing import items, mapping
from sessions.split import unwrapped

# The members of an item as Codex sends it back, by the item's type.
_CODEX = {
    "message": ("type", "role", "content"),
    "reasoning": ("type", "summary", "content", "encrypted_content"),
    "function_call": ("type", "name", "arguments", "call_id"),
    "custom_tool_call": ("type", "call_id", "name", "input"),
}


def messages(dialect: str, answer: Any) -> list[bytes]:
    """Give messages of a next request, in the form in which they are stored (``sessions.split``), for an answer as one
    JSON object."""
    if not isinstance(answer, dict):
        return []
    try:
        found = [orjson.dumps(value) for value in _FORMS[dialect](answer)] if dialect in _FORMS else []
    except (TypeError, orjson.JSONEncodeError):  # integers beyond 64 bits, lone surrogates
        return []
    return [unwrapped(message) or message for message in found]


def _anthropic(answer: dict) -> Iterator[dict]:
    content = answer.get("content")
    yield {"role": "assistant", "content": content}
    yield {"content": content, "role": "assistant"}


def _chat(answer: dict) -> Iterator[dict]:
    for choice in items(answer.get("choices"))[:1]:
        message = mapping(mapping(choice).get("message"))
        yield message
        yield {"role": "assistant", "content": message.get("content") or ""} | {
            name: value for name, value in message.items() if name == "tool_calls"
        }


def _responses(answer: dict) -> Iterator[dict]:
    for item in items(answer.get("output")):
        item = mapping(item)
        yield item
        yield {name: value for name, value in item.items() if name not in ("id", "status")}
        names = _CODEX.get(str(item.get("type")), ())
        yield {name: _codex(item.get(name)) for name in names if name in item}


def _codex(value: Any) -> Any:
    """Parts of a message without what the API adds to them."""
    if not isinstance(value, list):
        return value
    return [{"type": part.get("type"), "text": part.get("text")} if "text" in mapping(part) else part for part in value]


_FORMS = {"anthropic": _anthropic, "openai-chat": _chat, "openai-responses": _responses}
