"""Requests of each dialect, translated and held against the vendor's own types."""

import json
from functools import cache
from typing import Any

import anthropic.types
from openai.types.chat import completion_create_params
from openai.types.responses import response_create_params
from pydantic import ConfigDict, TypeAdapter, ValidationError

from routing.translation.context import CHAT, MESSAGES, RESPONSES, TranslatedRequest
from routing.translation.requests import translate_request

DIALECTS = (MESSAGES, CHAT, RESPONSES)
DIRECTIONS = [(client, provider) for client in DIALECTS for provider in DIALECTS if client != provider]
MODELS = {MESSAGES: "claude-sonnet-4-5", CHAT: "gpt-5", RESPONSES: "gpt-5"}
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TYPES: dict[str, Any] = {
    MESSAGES: anthropic.types.MessageCreateParams,
    CHAT: completion_create_params.CompletionCreateParams,
    RESPONSES: response_create_params.ResponseCreateParams,
}


@cache
def adapter(dialect: str) -> TypeAdapter:
    """The vendor's type of a request."""
    return TypeAdapter(TYPES[dialect], config=ConfigDict(arbitrary_types_allowed=True))


def translated(client: str, provider: str, body: dict[str, Any], model: str = "") -> TranslatedRequest:
    """Translate a request."""
    return translate_request(client, provider, json.dumps(body).encode(), model or MODELS[provider])


def ask(client: str, provider: str, body: dict[str, Any], model: str = "") -> tuple[dict[str, Any], str]:
    """Translate a request; give it, valid by the vendor's types, and the notes."""
    result = translated(client, provider, body, model)
    value = json.loads(result.body)
    try:
        adapter(provider).validate_python(value)
    except ValidationError as error:  # it names every type that might have been meant
        raise AssertionError(f"{json.dumps(value)}\n{str(error)[:600]}") from None
    return value, "\n".join(result.notes)


def messages(*said: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A request in Anthropic's dialect."""
    return {"model": "m", "max_tokens": 1000, "messages": [*said], **more}


def chat(*said: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A request in the dialect of Chat Completions."""
    return {"model": "m", "messages": [*said], **more}


def responses(*items: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A request in the dialect of Responses."""
    return {"model": "m", "input": [*items], **more}


def user(content: Any) -> dict[str, Any]:
    """What a user says, in any dialect."""
    return {"role": "user", "content": content}


def plain(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The blocks of a message of Anthropic's dialect, without marks for its cache."""
    return [{k: v for k, v in block.items() if k != "cache_control"} for block in message["content"]]
