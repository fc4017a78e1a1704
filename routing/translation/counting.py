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

_DATA = ("data", "image_url", "file_data", "url", "signature", "encrypted_content", "cache_control")


def estimate_tokens(body: bytes) -> int:
    """Give about how many input tokens the request has; 0 for what is no JSON object."""
    try:
        value = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return 0
    return tokens_of(value) if isinstance(value, dict) else 0


def tokens_of(body: dict[str, Any]) -> int:
    """Give about how many input tokens a decoded request has."""
    told = [body.get(name) for name in ("system", "instructions", "messages", "input", "tools")]
    return max(round(sum(_tokens(part) for part in told)), 1)


def _tokens(value: Any) -> float:
    if isinstance(value, str):
        if value.isascii():
            return len(value) / ASCII
        ascii_count = sum(map(str.isascii, value)) if len(value) < 2000 else _ascii(value)
        return ascii_count / ASCII + (len(value) - ascii_count) / OTHERS
    if isinstance(value, list):
        return sum([_tokens(item) for item in value])
    if isinstance(value, dict):
        kind = value.get("type")
        if kind in ("image", "image_url", "input_image"):
            return IMAGE
        if kind in ("document", "file", "input_file"):
            return _pages(value)
        own = MESSAGE if "role" in value else TOOL if "input_schema" in value or "parameters" in value else 1
        return own + sum([len(key) / ASCII + _tokens(item) for key, item in value.items() if key not in _DATA])
    return 1.0 if value is not None else 0.0


def _ascii(text: str) -> int:
    return len(text.encode("ascii", "ignore"))


def _pages(value: dict[str, Any]) -> float:
    size = max((len(text) for text in _texts(value)), default=0)
    return PAGE * max(size / BASE64_A_PAGE, 1)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    return []
