"""What is kept of a request's head: headers, path and query without credentials, the project that it names."""

import re
from functools import lru_cache
from urllib.parse import unquote, unquote_plus

from pii.detectors.formats import formats
from routing.credentials import names_a_credential
from routing.heads import Pairs, header

MASK = "***"
# What a scheme of authentication, an address or a subprotocol of OpenAI's (openai-insecure-api-key.KEY) says of the rest.
_CREDENTIALS = re.compile(
    r"(?i)\b(?:bearer|basic|digest|token|apikey|ssws)[ \t]+[^\s,;]{8,}"
    r"|(?<=://)[^\s/?#@]{1,512}(?=@)"
    r"|(?<=api-key\.)[^\s,;]+|(?<=token\.)[^\s,;]+|(?<=bearer\.)[^\s,;]+"
)
_MAY_HAVE = re.compile(r"(?i)bearer|basic|digest|token|api-?key|ssws|@|\?")
_QUERY = re.compile(r"(?<=\?)[^\s#\"'<>]+")


def kept_headers(headers: Pairs) -> Pairs:
    """Give the headers that are kept, in order: none that is named as a credential, and no token in the value of another."""
    kept = [pair for pair in headers if not names_a_credential(pair[0])]
    # One look at all of them: values of most are no token.
    values = "\n".join(value for _, value in kept)
    if values and (_MAY_HAVE.search(values) or has_token(values)):
        return [(name, masked(value)) for name, value in kept]
    return kept


def _bytes(text: str) -> bytes:
    return text.encode("latin-1", "replace")  # character by character: places stay


def has_token(text: str) -> bool:
    """Tell whether a text holds what is known as a token by its form."""
    return next(formats(_bytes(text)), None) is not None


def masked_tokens(text: str) -> str:
    """Give a text with what is known as a token by its form masked, percent-encoded or not."""
    if "%" in text and has_token(unquote(text)) and not has_token(text):
        return MASK
    out, done = [], 0
    for start, end, *_ in formats(_bytes(text)):
        out += text[done:start], MASK
        done = end
    return "".join([*out, text[done:]]) if out else text


@lru_cache(maxsize=4096)  # most values come with every request
def masked(value: str) -> str:
    """Give a header's value with the credentials in it masked: tokens, what a scheme names, those of addresses."""
    if not _MAY_HAVE.search(value):
        return masked_tokens(value)
    value = _CREDENTIALS.sub(MASK, value)
    return masked_tokens(_QUERY.sub(lambda match: masked_query(match.group()), value))


def masked_path(path: str) -> str:
    """Give a raw path in which no part is a token."""
    return "/".join(masked_tokens(part) for part in path.split("/")) if has_token(unquote(path)) else path


def masked_query(query: str) -> str:
    """Give a raw query string with the values masked that are named like a key, or are one."""
    pairs = []
    for pair in query.split("&"):
        name, equals, value = pair.partition("=")
        if equals and value and names_a_credential(unquote_plus(name)):
            pairs.append(f"{name}={MASK}")
        else:
            pairs.append(masked_tokens(pair))
    return "&".join(pairs)


def metadata_of(headers: Pairs) -> dict[str, object]:
    """Give what a request's headers say of its place: ``project`` and ``tags``."""
    metadata: dict[str, object] = {}
    project = header(headers, "x-project-id") or header(headers, "x-session-context")
    if project:
        metadata["project"] = project[:255]
    tags = [tag.strip()[:64] for tag in header(headers, "x-session-tags").split(",") if tag.strip()]
    if tags:
        metadata["tags"] = tags[:32]
    return metadata
