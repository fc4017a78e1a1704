"""One stored message, or one answer, as blocks, whatever its dialect."""

from typing import Any

from sessions.dialects import anthropic, openai_chat, openai_responses
from sessions.dialects.facts import Block, Message
from sessions.dialects.parsing import Answer, loads

_MODULES = {"anthropic": anthropic, "openai-chat": openai_chat, "openai-responses": openai_responses}
_ANSWERS: dict[str, type[Answer]] = {
    "anthropic": anthropic.AnthropicAnswer,
    "openai-chat": openai_chat.ChatAnswer,
    "openai-responses": openai_responses.ResponsesAnswer,
}


def parse_message(dialect: str, raw: bytes) -> Message:
    """Read the JSON of a message (an element of `messages` or `input`)."""
    module = _MODULES.get(dialect)
    value = loads(raw)
    if module is None or value is None:
        return Message("user", (Block("other", raw.decode("utf-8", "replace")),))
    return module.parse_message(value)


def blocks_of_answer(dialect: str, content: Any) -> tuple[Block, ...]:
    """Give the blocks of an answer that was recorded as one JSON object."""
    if dialect not in _ANSWERS or not isinstance(content, dict) or content.get("type") == "error":
        return ()
    answer = _ANSWERS[dialect]("application/json", 200)
    answer.on_body(content)
    return tuple(answer.found.blocks)
