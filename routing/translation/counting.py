"""How many tokens a request has, estimated, for providers that cannot count.

No tokenizer is asked: they differ from model to model, and vendors do not publish all. Characters are counted by class:
letters and spaces, digits and marks, and other scripts by the length of their UTF-8. The weights were fitted to OpenAI's
o200k_base over prose, programs, JSON and tables, and lie 8 % above it, as Anthropic's tokenizers give more tokens. English
prose and programs come within a quarter of o200k_base; other scripts may be further off.
"""

import string
from typing import Any

import msgspec

# Tokens of a letter or space, of a digit or mark, and of a character of other scripts with two bytes, or with more.
PLAIN, MARK, TWO_BYTES, MORE_BYTES = 0.227, 0.58, 0.33, 0.7
_PLAIN = (string.ascii_letters + string.whitespace).encode()
# Tokens of a picture (Anthropic's 1,600 for its largest), and of a page of a file.
IMAGE, BASE64_A_PAGE, PAGE = 1200, 60_000, 2000
# Tokens of a byte of a whole request's JSON, as coding assistants send it.
A_BYTE = 0.25
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
    tokens = 0.0
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            tokens += _of_text(value)
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
                        tokens += len(key) * PLAIN
                        waiting.append(item)
        elif value is not None:
            tokens += 1
    return max(round(tokens), 1)


def _of_text(text: str) -> float:
    data = text.encode("utf-8", "replace")
    marks = data.translate(None, _PLAIN)
    if len(data) == len(text):
        return (len(data) - len(marks)) * PLAIN + len(marks) * MARK
    ascii_marks = len(marks.decode("utf-8", "replace").encode("ascii", "ignore"))
    foreign = len(marks) - ascii_marks  # bytes
    characters = len(text) - (len(data) - foreign)
    longer = max(foreign - 2 * characters, 0)  # one with three bytes has one more than two; few have four
    plain = (len(data) - len(marks)) * PLAIN + ascii_marks * MARK
    return plain + max(characters - longer, 0) * TWO_BYTES + min(longer, characters) * MORE_BYTES


def _pages(value: dict[str, Any]) -> float:
    """A file as text by its length, as anything else by its size."""
    source = value.get("source")
    if isinstance(source, dict) and source.get("type") in ("text", "content"):
        return tokens_of({"input": source.get("data") or source.get("content")})
    inner = [value, *(part for part in value.values() if isinstance(part, dict))]
    sizes = [len(text) for part in inner for text in part.values() if isinstance(text, str)]
    return PAGE * max(max(sizes, default=0) / BASE64_A_PAGE, 1)
