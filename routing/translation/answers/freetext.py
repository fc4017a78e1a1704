"""The text of a tool that takes free text, out of the JSON in which a model that knows functions only has put it."""

import json
import re
from typing import Any

from routing.translation.requests.form import object_of

# Blanks are bounded, so that a beginning is told from anything else after _MAX_HEAD characters.
_HEAD = re.compile(r'[ \t\r\n]{0,8}\{[ \t\r\n]{0,8}"input"[ \t\r\n]{0,8}:[ \t\r\n]{0,8}"')
_MAX_HEAD = 42
# What of a JSON string can be decoded: a surrogate waits for the other half of its pair.
_RUN = re.compile(
    r"""(?:[^"\\]++|\\["\\/bfnrt]|\\u(?![dD][89abAB])[0-9a-fA-F]{4}"""
    r"""|\\u[dD][89abAB][0-9a-fA-F]{2}(?:\\u[0-9a-fA-F]{4}|(?=[^\\]|\\[^u])))*+"""
)
_MAX_ESCAPE = 12


class FreeText:
    """Takes the arguments ``{"input": "…"}`` in pieces."""

    def __init__(self) -> None:
        self._raw: list[str] = []  # where the text has not begun
        self._is_head = True
        self._is_over = False
        self._pending: str | None = None  # what of the text is not decoded yet, once it has begun

    def feed(self, piece: str) -> str:
        """Give the next of the text."""
        if self._pending is None:
            self._raw.append(piece)
            if not self._is_head:
                return ""
            head = "".join(self._raw)
            found = _HEAD.match(head)
            if found is None:
                self._is_head = len(head) < _MAX_HEAD
                return ""
            self._raw, self._pending, piece = [], "", head[found.end() :]
        return self._text(piece)

    def _text(self, piece: str) -> str:
        if self._is_over:
            return ""
        pending = (self._pending or "") + piece
        found = _RUN.match(pending)
        run = found.group() if found is not None else ""
        self._pending = pending[len(run) :]
        self._is_over = bool(self._pending) and (self._pending[0] == '"' or len(self._pending) >= _MAX_ESCAPE)
        return _decoded(run) if "\\" in run else run

    def finish(self) -> str:
        """Give the rest: all of it where the arguments are others."""
        if self._pending is not None:
            return ""
        raw = "".join(self._raw)
        given: Any = object_of(raw).get("input")
        return given if isinstance(given, str) else raw


def _decoded(run: str) -> str:
    text: str = json.loads(f'"{run}"', strict=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half a pair
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
