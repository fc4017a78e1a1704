"""Regular expressions that people write: RE2's, which no text can make slow."""

import re
from typing import Any

import re2

# Texts on which a pattern that can match nothing does so.
_SAMPLES = ("", "a", " ", "0", "a b", "\n")
# What may let a match hold white space: white space itself, a dot, a negated class, and escapes but for these.
_MAY_HOLD_SPACE = re.compile(r"[\x00-\x20.]|\[\^|\\[^dwSbAzZ\-.\[\](){}+*?/$^|\\@_:,;=&#%!~'\"<>]")
_UNBOUNDED = re.compile(r"[*+]|\{\d*,\}")
_COUNT = re.compile(r"\{(?:\d*,)?(\d+)\}")


def compiled(text: str) -> Any:
    """Compile a pattern. Raises ValueError, in words for people, for what is none."""
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else error.args[0]
        raise ValueError(f"expected a regular expression (RE2): {reason}") from None


def matches_nothing(pattern: Any) -> bool:
    """Whether a compiled pattern matches an empty text somewhere."""
    return any(match.end() == match.start() for sample in _SAMPLES for match in pattern.finditer(sample))


def settled(pattern: Any, text: str) -> int:
    """Give the length of the prefix of `text` in which no match can begin or change, whatever is appended.

    RE2 does not tell a partial match, so this is read from the pattern, on the safe side: a pattern that cannot match
    white space has no match open before the last of it; one that can, but is no longer than so many characters, none
    before these; of any other nothing is settled.
    """
    source = pattern.pattern
    if not _MAY_HOLD_SPACE.search(source):
        return max(text.rfind(space) for space in " \t\n\r\f\v") + 1
    if _UNBOUNDED.search(source):
        return 0
    longest = len(source)
    for count in _COUNT.findall(source):
        longest *= max(int(count), 1)
    return max(len(text) - longest - 1, 0)
