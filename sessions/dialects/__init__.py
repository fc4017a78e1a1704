"""The languages that clients and providers speak, read without sockets, database or clock.

A dialect is `anthropic`, `openai-chat`, `openai-responses`, or empty for what is no conversation.
"""

from collections.abc import Sequence

from routing.paths import canonical
from sessions.dialects.anthropic import AnthropicAnswer
from sessions.dialects.anthropic import parse_request as _parse_anthropic
from sessions.dialects.facts import RequestFacts
from sessions.dialects.openai_chat import ChatAnswer
from sessions.dialects.openai_chat import parse_request as _parse_chat
from sessions.dialects.openai_responses import ResponsesAnswer
from sessions.dialects.openai_responses import parse_request as _parse_responses
from sessions.dialects.parsing import Answer, OtherAnswer, loads, text

_ANSWERS = {"anthropic": AnthropicAnswer, "openai-chat": ChatAnswer, "openai-responses": ResponsesAnswer}
# The member of a request that holds its messages.
_MESSAGES = {"anthropic": "messages", "openai-chat": "messages", "openai-responses": "input"}
_REQUESTS = {"anthropic": _parse_anthropic, "openai-chat": _parse_chat, "openai-responses": _parse_responses}

# What follows the version in a path → (dialect, kind). The longest that fits counts.
_PATHS = {
    "messages": ("anthropic", "model"),
    "messages/count_tokens": ("anthropic", "count_tokens"),
    "messages/batches": ("", "batches"),
    "complete": ("anthropic", "model"),
    "chat/completions": ("openai-chat", "model"),
    "completions": ("openai-chat", "model"),
    "responses": ("openai-responses", "model"),
    "responses/compact": ("openai-responses", "other"),
    "responses/input_tokens": ("openai-responses", "count_tokens"),
    "models": ("", "models"),
    "embeddings": ("", "embeddings"),
    "files": ("", "files"),
    "batches": ("", "batches"),
}


def _judged(path: str) -> str:
    return canonical(path.encode("utf-8", "replace")).decode("utf-8", "replace").strip("/")


def _place(path: str) -> tuple[str, tuple[str, str]] | None:
    rest = _judged(path)
    rest = rest.removeprefix("v1/")
    while rest:
        if rest in _PATHS:
            return rest, _PATHS[rest]
        rest = rest.rpartition("/")[0]
    return None


def _exact(path: str) -> bool:
    place = _place(path)
    return place is not None and _judged(path).endswith(place[0])


def dialect_of(provider_type: str, method: str, path: str) -> str:
    """Name the dialect of a request. `path` is raw, with or without its version."""
    place = _place(path)
    return place[1][0] if place else ""


def kind_of(method: str, path: str) -> str:
    """Name what a request is: `model` where it makes a model speak, and tokens are spent."""
    place = _place(path)
    kind = place[1][1] if place else "other"
    if kind != "model":
        return kind
    # A WebSocket begins with a GET; its exchanges are told apart by the recorder.
    return "model" if method == "POST" and _exact(path) else "other"


def parse_request(dialect: str, kind: str, body: bytes, messages: Sequence[bytes] | None = None) -> RequestFacts:
    """Read a request's body, with `messages` (each as JSON) in place of its own if they are given.

    Never fails: what cannot be understood is said in ``error``.
    """
    if not body:
        return RequestFacts(kind=kind)
    value = loads(body)
    if not isinstance(value, dict):
        return RequestFacts(kind=kind, error="the body is no JSON object")
    parse = _REQUESTS.get(dialect)
    if parse is None:
        return RequestFacts(kind=kind, model=text(value.get("model")))
    if messages is not None:
        value[_MESSAGES[dialect]] = [loads(message) for message in messages]
    try:
        return parse(value, kind)
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
        return RequestFacts(kind=kind, error=f"unexpected form: {type(error).__name__}: {error}")


def response_parser(dialect: str, content_type: str, status: int) -> Answer:
    """Give a parser for an answer of `dialect`."""
    return _ANSWERS.get(dialect, OtherAnswer)(content_type, status)
