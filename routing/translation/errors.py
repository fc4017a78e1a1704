"""A provider's error in the shape that the other vendor's SDK expects.

Anthropic: https://docs.anthropic.com/en/api/errors; OpenAI: https://platform.openai.com/docs/guides/error-codes.
"""

import html
import re

import msgspec

from routing.translation.context import MESSAGES

# (Anthropic's type, OpenAI's type, OpenAI's code) for a status.
_TYPES = {
    400: ("invalid_request_error", "invalid_request_error", None),
    401: ("authentication_error", "invalid_request_error", "invalid_api_key"),
    402: ("billing_error", "insufficient_quota", "insufficient_quota"),
    403: ("permission_error", "invalid_request_error", None),
    404: ("not_found_error", "invalid_request_error", None),
    408: ("timeout_error", "server_error", None),
    413: ("request_too_large", "invalid_request_error", None),
    422: ("invalid_request_error", "invalid_request_error", None),
    429: ("rate_limit_error", "rate_limit_error", "rate_limit_exceeded"),
    503: ("overloaded_error", "server_error", "server_is_overloaded"),
    504: ("timeout_error", "server_error", None),
    529: ("overloaded_error", "server_error", "server_is_overloaded"),
}
_WORDS = "prompt is too long"
_TOO_LONG = re.compile(r"prompt is too long|maximum context length|context window|context_length", re.IGNORECASE)
MAX_MESSAGE = 2000


def translate_error(client: str, provider: str, status: int, body: bytes) -> bytes:
    """Give the JSON of an error in the client's dialect, of a provider's `body`, which may be anything.

    An error of OpenAI stays as it is between its two APIs, whose clients read its ``code`` and ``param``.
    """
    if client != MESSAGES and provider != MESSAGES and _is_openais(body):
        return body
    return error_of(client, status, message_of(body) or f"The provider answered {status} without a word.")


def _is_openais(body: bytes) -> bool:
    try:
        value = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return False
    error = value.get("error") if isinstance(value, dict) else None
    return isinstance(error, dict) and isinstance(error.get("message"), str) and error["message"] != ""


def error_of(client: str, status: int, message: str) -> bytes:
    """Give the JSON of an error in a dialect."""
    default = (
        ("invalid_request_error", "invalid_request_error", None)
        if status < 500
        else ("api_error", "server_error", None)
    )
    anthropic_type, openai_type, code = _TYPES.get(status, default)
    is_too_long = status in (400, 413) and _TOO_LONG.search(message) is not None
    if client == MESSAGES:
        # Clients shorten the conversation where they find Anthropic's own words.
        if is_too_long and not message.startswith(_WORDS):
            message = f"{_WORDS}: {message}"
        return msgspec.json.encode({"type": "error", "error": {"type": anthropic_type, "message": message}})
    if is_too_long:
        code = "context_length_exceeded"
    return msgspec.json.encode({"error": {"message": message, "type": openai_type, "param": None, "code": code}})


def message_of(body: bytes) -> str:
    """Give what an error says, in words."""
    try:
        value = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return _plain(body)
    return _found(value) or _plain(body)


def _found(value: object) -> str:
    """The text where vendors, gateways and local servers put it."""
    for _ in range(4):
        if isinstance(value, str):
            return value.strip()[:MAX_MESSAGE]
        if not isinstance(value, dict):
            return ""
        value = value.get("error") or value.get("message") or value.get("detail")
    return ""


def _plain(body: bytes) -> str:
    text = body[:65536].decode("utf-8", "replace")
    if "<" in text:
        text = html.unescape(_without_tags(text))
    return " ".join(text.split())[:MAX_MESSAGE]


def _without_tags(text: str) -> str:
    """The text of a page. Each byte is looked at once: a page that is one broken tag after another costs no more."""
    first, *pieces = text.split("<")
    words, hidden = [first], ""
    for piece in pieces:
        tag, closed, after = piece.partition(">")
        name = tag[:7].lower()
        if hidden:
            if not name.startswith(f"/{hidden}"):
                continue
            hidden = ""
        elif name.startswith(("script", "style")):
            hidden = "script" if name.startswith("script") else "style"
            continue
        words.append(after if closed else f"<{piece}")
    return " ".join(words)
