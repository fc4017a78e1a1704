"""A request in one dialect becomes one in another."""

from typing import Any

import msgspec

from routing.translation.context import CHAT, MESSAGES, RESPONSES, Context, TranslatedRequest, Untranslatable
from routing.translation.counting import A_BYTE, tokens_of
from routing.translation.requests import chat, messages, responses
from routing.translation.requests.arrangement import arrange
from routing.translation.requests.form import Form, encode, tool_name

_DIALECTS: dict[str, Any] = {MESSAGES: messages, CHAT: chat, RESPONSES: responses}
_PATHS = {MESSAGES: "/v1/messages", CHAT: "/v1/chat/completions", RESPONSES: "/v1/responses"}


def translate_request(client: str, provider: str, body: bytes, model: str) -> TranslatedRequest:
    """Give a client's request in the provider's dialect, asking for `model`. Raises Untranslatable, and nothing else."""
    try:
        value = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        raise Untranslatable("body", "expected a JSON object") from None
    if not isinstance(value, dict):
        raise Untranslatable("body", "expected a JSON object")
    try:
        form = _DIALECTS[client].read(value)
        form.settle_choice()
        arrange(form)
        written = encode(_DIALECTS[provider].write(form, model))
    except (TypeError, ValueError, AttributeError, KeyError, RecursionError) as error:
        raise Untranslatable("body", f"it has an unexpected form ({type(error).__name__})") from None
    return TranslatedRequest(
        _PATHS[provider], written, _context(client, provider, model, form, value, body), tuple(form.notes)
    )


def _first_guess(body: bytes, value: dict[str, Any]) -> int:
    """About how many tokens, until the provider says: a long conversation is not worth a closer look."""
    return tokens_of(value) if len(body) < 50_000 or b'"base64"' in body else round(len(body) * A_BYTE)


def _context(client: str, provider: str, model: str, form: Form, value: dict[str, Any], body: bytes) -> Context:
    names = {tool_name(tool.name): tool.name for tool in form.tools if tool_name(tool.name) != tool.name}
    estimated = _first_guess(body, value) if client == MESSAGES and form.is_streaming else 0
    return Context(
        client,
        provider,
        model,
        form.is_streaming,
        form.include_usage,
        frozenset(tool.name for tool in form.tools if tool.is_custom),
        names,
        form.namespaces,
        estimated_input=estimated,
        request={name: item for name, item in value.items() if name not in ("input", "messages")},
    )
