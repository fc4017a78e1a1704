"""What a path is, and so which dialect it speaks and which kind of provider it goes to.

Paths are raw bytes as a client sends them, without the query. Servers read some of them in several ways: they are judged
here by one canonical form, and go on as they came.
"""

import re
from urllib.parse import unquote_to_bytes

# In an ordinary path nothing of this occurs, and it is its own canonical form.
_ODD = re.compile(rb"//|/\.|[%;#\\A-Z\x00-\x20\x7f-\xff]").search
# What servers read in more than one way: encodings of other than unreserved characters (RFC 3986, section 2.3) and colons,
# such as of a slash or of another encoding; backslashes; what no path has; and segments behind a parameter or a fragment.
_UNCLEAR = re.compile(
    rb"%(?!2[dDeE]|3[0-9aA]|[46][1-9a-fA-F]|[57][0-9aA]|5[fF]|7[eE])|[\\\x00-\x20\x7f-\xff]|[;#][^/]*/|/\.\.?[;#]"
)
_ENCODED_DOT = re.compile(rb"%2[eE]")


def canonical(path: bytes) -> bytes:
    """Give `path` as it is judged: what is encoded decoded once, slashes merged, dot segments resolved, no parameters, no
    fragment, in lower case. For who asks; nothing is ever sent so."""
    if _ODD(path) is None:
        return path
    path = unquote_to_bytes(path.partition(b"#")[0]).replace(b"\\", b"/").lower()
    segments: list[bytes] = []
    for segment in path.split(b"/"):
        segment = segment.partition(b";")[0].strip()
        if segment == b"..":
            del segments[-1:]
        elif segment not in (b"", b"."):
            segments.append(segment)
    end = b"/" if segments and path.endswith(b"/") else b""
    return b"/" + b"/".join(segments) + end


def is_clear(path: bytes) -> bool:
    """Tell whether all servers read `path` in the same way, so that it can be counted as what it is."""
    if _ODD(path) is None:
        return True
    if _UNCLEAR.search(path) is not None:
        return False
    dotted = _ENCODED_DOT.sub(b".", path)
    return not (b"//" in dotted and b"/.." in dotted)


# LunaRoute's own addresses; everything else is a provider's or follows `bypass`.
OWN_PREFIXES = (
    b"/ui",
    b"/sessions",
    b"/admin",
    b"/static",
    b"/healthz",
    b"/readyz",
    b"/login",
    b"/logout",
    b"/owner",
    b"/metrics",
    b"/favicon.ico",
    b"/api",
)
# Under /api only these are ours: Claude Code has addresses of its vendor under /api too.
OWN_API = (
    b"/api/stats",
    b"/api/providers",
    b"/api/rules",
    b"/api/retention",
    b"/api/docs",
    b"/api/openapi.json",
    b"/api/budgets",
    b"/api/quotas",
)

ANTHROPIC_PREFIXES = (b"/v1/messages", b"/v1/complete")
OPENAI_ONLY_PREFIXES = (b"/v1/chat/completions", b"/v1/responses", b"/responses", b"/v1/embeddings")
OPENAI_PREFIXES = (*OPENAI_ONLY_PREFIXES, b"/v1", b"/models")


# What else vendors and compatible servers have, by the first segment: Claude Code asks below /api, Codex with a ChatGPT login
# below /backend-api, Azure's clients below /openai, other versions of an API than /v1 have theirs, and a client whose base URL
# lacks the version asks for the endpoint itself.
_VENDORS = re.compile(
    rb"/(?:v[0-9]+[a-z0-9]*|api|backend-api|openai|anthropic|responses|models|chat|completions|embeddings|messages|complete"
    rb"|files|batches|audio|images|moderations|realtime|rerank)(?:/|\Z)"
)
# Before a path, a member's token (proxy/identity.py).
TOKEN_PREFIX = b"/t"


def _under(path: bytes, prefixes: tuple[bytes, ...]) -> bool:
    # Almost every path that is asked about is no such one, and that costs one call.
    return path.startswith(prefixes) and any(path == p or path.startswith(p + b"/") for p in prefixes)


def is_own(path: bytes) -> bool:
    """Tell whether LunaRoute itself answers `path`."""
    path = canonical(path)
    if path == b"/":
        return True
    if not _under(path, OWN_PREFIXES):
        return False
    return not path.startswith(b"/api") or _under(path, OWN_API)


def dialect_of_path(path: bytes, has_anthropic_version: bool) -> str | None:
    """Give "anthropic" or "openai", or None for a path that no provider is known to have."""
    path = canonical(path)
    if _under(path, (TOKEN_PREFIX,)):
        return None
    if has_anthropic_version or _under(path, ANTHROPIC_PREFIXES):
        return "anthropic"
    if _under(path, OPENAI_PREFIXES):
        return "openai"
    return None


def is_vendors(path: bytes) -> bool:
    """Tell whether `path` is one that a provider may have."""
    return _VENDORS.match(canonical(path)) is not None


def holds_token(path: bytes) -> bool:
    """Tell whether `path` may begin with somebody's token, which goes to no provider."""
    return _under(canonical(path), (TOKEN_PREFIX,))


def is_shared(path: bytes) -> bool:
    """Tell whether both vendors have `path` (such as /v1/models), so that the configured dialect decides."""
    path = canonical(path)
    return not _under(path, ANTHROPIC_PREFIXES) and not _under(path, OPENAI_ONLY_PREFIXES)


# What a request is for, where both vendors have something of the kind.
MESSAGES, COUNT_TOKENS, CHAT, RESPONSES, MODELS = "messages", "count_tokens", "chat", "responses", "models"
_POSTS = {
    b"/v1/messages": MESSAGES,
    b"/v1/messages/count_tokens": COUNT_TOKENS,
    b"/v1/chat/completions": CHAT,
    b"/v1/responses": RESPONSES,
    b"/responses": RESPONSES,
}
# The dialect of the body that is sent there.
BODY_DIALECTS = {
    MESSAGES: "anthropic",
    COUNT_TOKENS: "anthropic",
    CHAT: "openai-chat",
    RESPONSES: "openai-responses",
}


def endpoint_of(method: str, path: bytes) -> str:
    """Name what a request is for, or "" where only its own vendor has it."""
    path = canonical(path)
    if method == "POST":
        return _POSTS.get(path.rstrip(b"/"), "")
    if method == "GET" and (path in (b"/v1/models", b"/models") or path.startswith((b"/v1/models/", b"/models/"))):
        return MODELS
    return ""


# What a model's provider bills, where it is posted (a WebSocket carries the same).
_BILLED = frozenset(
    (
        b"messages", b"messages/batches", b"complete", b"chat/completions", b"completions", b"responses",
        b"responses/compact", b"embeddings", b"batches", b"realtime", b"audio/speech", b"audio/transcriptions",
        b"audio/translations", b"images/generations", b"images/edits", b"images/variations",
    )
)  # fmt: skip


def is_billed(method: str, path: bytes) -> bool:
    """Tell whether a provider asks money for a request; `method` of a WebSocket is POST."""
    return method == "POST" and canonical(path).strip(b"/").removeprefix(b"v1/") in _BILLED
