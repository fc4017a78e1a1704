"""Base64 in a text: images and documents, of which size and hash are kept, and what providers seal, which is left alone."""

import re
from base64 import b64decode, urlsafe_b64decode
from binascii import Error
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

# A data URL's content, or the value of a member that is known to hold base64 where it holds nothing else.
_BLOB = re.compile(
    r"data:[\w.+-]{1,80}/[\w.+-]{1,80}(?:;(?!base64,)[\w.+=-]{1,80})*+;base64,(?P<url>(?:[A-Za-z0-9+/_=-]|%[23][0-9A-Fa-f]|\\/)++)"
    r'|"(?P<key>data|file_data|b64_json|partial_image_b64|result|delta|signature|encrypted_content)"\s*+:\s*+'
    r'"(?P<value>(?:[A-Za-z0-9+/_=-]|\\/)++)"'
)
_MEMBERS = tuple(
    f'"{name}"'
    for name in (
        "data",
        "file_data",
        "b64_json",
        "partial_image_b64",
        "result",
        "delta",
        "signature",
        "encrypted_content",
    )
)
# For names that others use too: what the same object must say.
_SIBLINGS = {
    "data": re.compile(r'"type"\s*:\s*"base64"|"format"\s*:|"mime_?[tT]ype"\s*:|"transcript"\s*:'),
    "result": re.compile(r'"type"\s*:\s*"image_generation_call"'),
    "delta": re.compile(r'"type"\s*:\s*"response\.(?:output_)?audio\.delta"'),
}
_SEALED_DATA = re.compile(r'"type"\s*:\s*"redacted_thinking"')
# Shorter ones could be anything.
_SEALED_LENGTH = 64
# Characters of an object on either side that are searched for its siblings.
_AROUND = 400


@dataclass(frozen=True, slots=True)
class Blob:
    """Base64 from `start` to `end` of a text. Without a `note` it is sealed: it stays, and nobody looks into it."""

    start: int
    end: int
    note: str | None


def blobs(text: str, is_json: bool) -> Iterator[Blob]:
    """Give the base64 of a text, in order: data URLs, and where it is JSON, members."""
    if ";base64," not in text and not (is_json and any(name in text for name in _MEMBERS)):
        return
    for match in _BLOB.finditer(text):
        name = match["key"]
        group = "value" if name else "url"
        start, end = match.span(group)
        if name in ("signature", "encrypted_content"):
            if end - start >= _SEALED_LENGTH:
                yield Blob(start, end, None)
        elif name in _SIBLINGS:
            floor = max(start - _AROUND, 0)
            siblings = text[max(text.rfind("{", floor, start), floor) : start]
            after = text[end : end + _AROUND]
            siblings += after.partition("}")[0]
            if _SIBLINGS[name].search(siblings):
                yield Blob(start, end, note(text[start:end]))
            elif name == "data" and end - start >= _SEALED_LENGTH and _SEALED_DATA.search(siblings):
                yield Blob(start, end, None)
        else:
            yield Blob(start, end, note(text[start:end]))


def note(encoded: str) -> str:
    """Give what is kept of base64: how many bytes it holds, and their SHA-256 (of the text itself, where it is no base64)."""
    encoded = encoded.replace("\\/", "/")
    try:
        padded = encoded + "=" * (-len(encoded) % 4)
        data = urlsafe_b64decode(padded) if "-" in encoded or "_" in encoded else b64decode(padded, validate=True)
    except (Error, ValueError):
        data = encoded.encode()
    return f"[BINARY {len(data)} bytes sha256:{sha256(data).hexdigest()}]"
