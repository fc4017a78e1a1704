"""Which headers and parameters hold credentials, by what their names say."""

import re
from functools import lru_cache

# A word of the name (parts between hyphens, underscores and dots) that says so.
_WORDS = frozenset(
    "authorization auth authn authentication token jwt bearer assertion key apikey authkey secret password passwd passcode "
    "passphrase pwd cookie cookie2 credential credentials signature sig csrf xsrf csrftoken xsrftoken otp".split()
)
# The same written as one word: `apitoken`, `openaiapikey`, `clientSecret`.
_JOINED = re.compile(
    r"token(?!s|iz)|secret|passw(?:or)?d|credential|authoriz|cookie|signature"
    r"|(?:api|auth|access|private|subscription|account|master|service|client|admin|encryption|signing|license|session)_?key(?!s|w)"
)
# What the record needs, or nobody can use: limits and counts of tokens, keys of caches and of one handshake.
_HARMLESS = re.compile(
    r"(?:x-|anthropic-|openai-)*ratelimit-.*|.*[-_](?:count|counts|limit|remaining|reset|budget|usage)|(?:x-)?idempotency-key"
    r"|sec-websocket-(?:key|accept|version|extensions|protocol)|(?:x-)?(?:cache|surrogate|prompt-cache|routing|partition)[-_]?keys?"
    r"|access-control-.*|www-authenticate|proxy-authenticate|x-stainless-.*"
)
# Names that do not say what they are.
_BY_NAME = frozenset(("x-honeycomb-team", "x-lunaroute-token", "code"))


@lru_cache(maxsize=4096)
def names_a_credential(name: str) -> bool:
    """Tell whether a header or a parameter of that name holds a credential. Case makes no difference."""
    lower = name.lower()
    if _HARMLESS.fullmatch(lower):
        return False
    if lower in _BY_NAME or _JOINED.search(lower):
        return True
    return any(word.rstrip("0123456789") in _WORDS or word in _WORDS for word in re.split(r"[^a-z0-9]+", lower))
