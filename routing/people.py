"""Which words in a user's text a person wrote, among what clients put there."""

import re
from collections.abc import Iterator

# What Claude Code, Codex and OpenCode wrap around their own additions.
WRAPPED = re.compile(
    r"<(system-reminder|environment_context|user_instructions|command-name|command-message|command-args|local-command-stdout"
    r"|local-command-caveat|bash-input|bash-stdout|bash-stderr|INSTRUCTIONS|permissions instructions|skills_instructions"
    r"|apps_instructions|plugins_instructions|collaboration_mode|turn_aborted|ide_opened_file|ide_selection)\b[^>]*>"
    r".*?(?:</\1>|\Z)",
    re.DOTALL,
)
NOTES = ("[Request interrupted by user", "# AGENTS.md instructions", "Caveat: The messages below were generated")


def words(value: str) -> str:
    """Give what a person wrote of a user's text."""
    if "<" in value:
        value = WRAPPED.sub("", value)
    value = value.strip()
    return "" if value.startswith(NOTES) else value


def stretches(value: str) -> Iterator[tuple[str, bool]]:
    """Give the text in pieces, each with whether a person wrote it. Together they are the text."""
    if value.lstrip().startswith(NOTES):
        yield value, False
        return
    at = 0
    for found in WRAPPED.finditer(value):
        if found.start() > at:
            yield value[at : found.start()], True
        yield found.group(), False
        at = found.end()
    if at < len(value):
        yield value[at:], True
