"""Which coding assistant sent a request."""

from routing.heads import header


def client_of(headers: list[tuple[str, str]]) -> str:
    """Name the client: claude-code, codex, opencode or other."""
    agent = header(headers, "user-agent").lower()
    if "opencode" in agent or header(headers, "x-opencode-session"):
        return "opencode"
    if agent.startswith(("claude-cli/", "claude-code/")) or header(headers, "x-claude-code-session-id"):
        return "claude-code"
    if agent.startswith("codex") or header(headers, "originator").lower().startswith("codex"):
        return "codex"
    return "other"
