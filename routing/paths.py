"""Which dialect a path speaks, and so which kind of provider it goes to. Paths are raw bytes, without the query."""

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


def _under(path: bytes, prefixes: tuple[bytes, ...]) -> bool:
    # Almost every path that is asked about is no such one, and that costs one call.
    return path.startswith(prefixes) and any(path == p or path.startswith(p + b"/") for p in prefixes)


def is_own(path: bytes) -> bool:
    """Tell whether LunaRoute itself answers `path`."""
    if path == b"/":
        return True
    if not _under(path, OWN_PREFIXES):
        return False
    return not path.startswith(b"/api") or _under(path, OWN_API)


def dialect_of_path(path: bytes, has_anthropic_version: bool) -> str | None:
    """Give "anthropic" or "openai", or None for a path that no provider is known to have."""
    if has_anthropic_version or _under(path, ANTHROPIC_PREFIXES):
        return "anthropic"
    if _under(path, OPENAI_PREFIXES):
        return "openai"
    return None


def is_shared(path: bytes) -> bool:
    """Tell whether both vendors have `path` (such as /v1/models), so that the configured dialect decides."""
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
    if method == "POST":
        return _POSTS.get(path, "")
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
    return method == "POST" and path.strip(b"/").removeprefix(b"v1/") in _BILLED
