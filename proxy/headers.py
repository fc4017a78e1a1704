"""Which headers pass: end-to-end ones, untouched; hop-by-hop ones never (RFC 9110, section 7.6.1)."""

import re
from functools import lru_cache

from routing.credentials import names_a_credential

HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
# LunaRoute's own token (proxy/guard.py).
TOKEN = b"x-lunaroute-token"
# What is addressed to a proxy, which we are, is consumed here.
REQUEST_DROPPED = HOP_BY_HOP | {b"host", b"proxy-authorization", TOKEN}

Headers = list[tuple[bytes, bytes]]


def end_to_end(headers: Headers, dropped: frozenset[bytes] = HOP_BY_HOP) -> Headers:
    """Give the headers that pass, in order and as they were, without `dropped` and what `Connection` names.

    The length passes even if it is named: without it the body would be taken for another request.
    """
    named = [value for name, value in headers if len(name) == 10 and name.lower() == b"connection"]
    if named:
        tokens = {token.strip().lower() for value in named for token in value.split(b",")}
        dropped = dropped | tokens - {b"content-length"}
    return [header for header in headers if header[0].lower() not in dropped]


def first(headers: Headers, name: bytes) -> bytes | None:
    """Give the value of the first header called `name` (lower case), or None."""
    for key, value in headers:
        if len(key) == len(name) and key.lower() == name:
            return value
    return None


@lru_cache(maxsize=4096)
def _is_kept(name: bytes) -> bool:
    return not names_a_credential(name.decode("latin-1"))


# What a browser shows, or gives to a page, without running any of it. Everything else may be a page, or taken for one.
_INERT = re.compile(
    rb"(application/(json|[\w.+-]+\+json|x-ndjson|jsonl|octet-stream|zip|gzip|protobuf|x-protobuf)|text/(event-stream|plain)"
    rb"|(audio|video|font)/[\w.+-]+|image/(png|jpeg|gif|webp|avif))[ \t]*(;[ -~]*)?", re.IGNORECASE
)  # fmt: skip
# A page of a provider's that somebody opens has no origin, so not LunaRoute's, and runs and loads nothing.
POLICY = [(b"content-security-policy", b"sandbox; default-src 'none'"), (b"x-content-type-options", b"nosniff")]


@lru_cache(256)
def _is_inert(kind: bytes) -> bool:
    return _INERT.fullmatch(kind) is not None


def policy_for(status: int, headers: Headers) -> Headers:
    """Give the headers to add to a provider's answer that a browser could open as a page."""
    kinds = [value for name, value in headers if len(name) == 12 and name.lower() == b"content-type"]
    if (len(kinds) == 1 and len(kinds[0]) < 200 and _is_inert(kinds[0])) or (not kinds and status in (204, 304)):
        return []
    return POLICY


def for_record(headers: Headers) -> list[tuple[str, str]]:
    """Give the headers as text for the record, without credentials. Latin-1 maps every byte (RFC 9112, section 5.5)."""
    return [(k.decode("latin-1"), v.decode("latin-1")) for k, v in headers if _is_kept(k)]
