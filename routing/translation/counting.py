"""How many tokens a request has, estimated, for providers that cannot count.

No tokenizer is asked: they differ from model to model, and vendors do not publish all. English prose and programs have
about four characters a token in both vendors' newer ones, other scripts one to two; JSON's own marks cost about as much as
they are long. Expect a quarter more or less.
"""

from typing import Any

import msgspec

# Characters a token, of ASCII and of others; tokens of a picture (Anthropic's 1,600 for its largest), of a page of a file.
ASCII, OTHERS = 3.9, 1.6
IMAGE, BASE64_A_PAGE, PAGE = 1200, 60_000, 2000
# For each message, and for each tool.
MESSAGE, TOOL = 4, 12

_IMAGES, _FILES = frozenset(("image", "image_url", "input_image")), frozenset(("document", "file", "input_file"))
# What no model reads: a vendor's own state, and marks for its cache.
_STATE = {"thinking": "signature", "redacted_thinking": "data", "reasoning": "encrypted_content"}
_PARTS = ("system", "instructions", "messages", "input", "tools", "functions")


def estimate_tokens(body: bytes) -> int:
    """Give about how many input tokens the request has; 0 for what is no JSON object."""
    try:
        value = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return 0
    return tokens_of(value) if isinstance(value, dict) else 0


def tokens_of(body: dict[str, Any]) -> int:
    """Give about how many input tokens a decoded request has."""
    # A list of what is still to be looked at, as nothing limits how deep a request may be.
    waiting: list[Any] = [body[name] for name in _PARTS if name in body]
    tokens, characters = 0.0, 0
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            if value.isascii():
                characters += len(value)
            else:
                tokens += _foreign(value)
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            kind = value.get("type")
            kind = kind if isinstance(kind, str) else ""
            if kind in _IMAGES:
                tokens += IMAGE
            elif kind in _FILES:
                tokens += _pages(value)
            else:
                tokens += (
                    MESSAGE if "role" in value else TOOL if "input_schema" in value or "parameters" in value else 1
                )
                unread = _STATE.get(kind)
                for key, item in value.items():
                    if key != unread and key != "cache_control":
                        characters += len(key)
                        waiting.append(item)
        elif value is not None:
            tokens += 1
    return max(round(tokens + characters / ASCII), 1)


def _foreign(text: str) -> float:
    ascii_count = len(text.encode("ascii", "ignore"))
    return ascii_count / ASCII + (len(text) - ascii_count) / OTHERS


def _pages(value: dict[str, Any]) -> float:
    """A file as text by its length, as anything else by its size."""
    source = value.get("source")
    if isinstance(source, dict) and source.get("type") in ("text", "content"):
        return tokens_of({"input": source.get("data") or source.get("content")})
    inner = [value, *(part for part in value.values() if isinstance(part, dict))]
    sizes = [len(text) for part in inner for text in part.values() if isinstance(text, str)]
    return PAGE * max(max(sizes, default=0) / BASE64_A_PAGE, 1)
