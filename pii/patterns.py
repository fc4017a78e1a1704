"""Regular expressions that people write: RE2's, which no text can make slow."""

from typing import Any

import re2


def compiled(text: str) -> Any:
    """Compile a pattern. Raises ValueError, in words for people, for what is none."""
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else error.args[0]
        raise ValueError(f"expected a regular expression (RE2): {reason}") from None
