"""Which words of a user's text a person wrote, among what clients put there."""

import re

# What Claude Code, Codex and OpenCode wrap around their own additions.
_WRAPPED = re.compile(
    r"<(system-reminder|environment_context|user_instructions|command-name|command-message|command-args|local-command-stdout"
    r"|local-command-caveat|bash-input|bash-stdout|bash-stderr|INSTRUCTIONS|permissions instructions|skills_instructions"
    r"|apps_instructions|plugins_instructions|collaboration_mode|turn_aborted|ide_opened_file|ide_selection)\b[^<>]*>"
    r".*?(?:</\1>|\Z)",
    re.DOTALL,
)
_NOTES = ("[Request interrupted by user", "# AGENTS.md instructions", "Caveat: The messages below were generated")


def words(value: str) -> str:
    """Give what a person wrote of a user's text."""
    if "<" in value:
        value = _WRAPPED.sub("", value)
    value = value.strip()
    return "" if value.startswith(_NOTES) else value


def added(value: str) -> list[tuple[int, int]]:
    """Give where in a user's text a client's additions begin and end, in order; what lies outside a person wrote."""
    spans = [match.span() for match in _WRAPPED.finditer(value)] if "<" in value else []
    return spans if words(value) else [(0, len(value))]
