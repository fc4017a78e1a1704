"""A vendor's own state of its reasoning, carried through a client of the other vendor and back.

Anthropic signs its thinking, OpenAI encrypts its reasoning, and each wants its own back unchanged with the next request of
a tool loop. A client keeps what the field of its own vendor holds: Anthropic's ``signature`` of a thinking block (or
``data`` of a redacted one), Responses' ``encrypted_content`` of a reasoning item. What the other vendor gave is put in
there, marked as such.
"""

import base64
from collections.abc import Mapping
from typing import Any

import msgspec

# What each sealed text begins with: it is looked for in bodies that go to the client's own vendor. One look finds it and
# the markers that people type (routing.rewriting.markers).
MARK = "[LUNAROUTE:sealed]"


def seal(value: Mapping[str, Any]) -> str:
    """Give `value` (JSON) as text for such a field."""
    return MARK + base64.b64encode(msgspec.json.encode(value)).decode("ascii")


def unseal(text: object) -> dict[str, Any] | None:
    """Give what `seal` was given, or None for a text that is none of its."""
    if not isinstance(text, str) or not text.startswith(MARK):
        return None
    try:
        value = msgspec.json.decode(base64.b64decode(text[len(MARK) :], validate=True))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
