"""Which session a request belongs to, by what the three clients say of it."""

import re
from uuid import UUID

import msgspec

from routing.heads import header

_VALID = re.compile(r"[A-Za-z0-9_-]{1,255}\Z")
HEADERS = ("x-claude-code-session-id", "session_id", "session-id", "x-session-id", "x-opencode-session")


class _Body(msgspec.Struct):
    metadata: object = None
    prompt_cache_key: object = None


_body = msgspec.json.Decoder(_Body)


def valid_session_id(value: object) -> bool:
    """Tell whether `value` may name a session (and so a file): 1 to 255 of ``A-Z a-z 0-9 _ -``."""
    return isinstance(value, str) and _VALID.match(value) is not None


def session_id_of(headers: list[tuple[str, str]], body: bytes) -> str | None:
    """Find the session that a request names, or None. `body` may be anything."""
    try:
        fields = _body.decode(body) if body else _Body()
    except (ValueError, RecursionError):
        fields = _Body()
    candidates = [_of_user_id(fields.metadata.get("user_id"))] if isinstance(fields.metadata, dict) else []
    candidates += [header(headers, name) for name in HEADERS]
    if isinstance(fields.prompt_cache_key, str) and _is_uuid(fields.prompt_cache_key):
        candidates.append(fields.prompt_cache_key)
    return next((found for found in candidates if valid_session_id(found)), None)


def _of_user_id(user_id: object) -> object:
    """Read `metadata.user_id`: an object or JSON text with `session_id`, `…_session_<id>`, or `session_<uuid>`."""
    if isinstance(user_id, dict):
        return user_id.get("session_id")
    if not isinstance(user_id, str):
        return None
    if user_id.lstrip()[:1] == "{":
        try:
            value = msgspec.json.decode(user_id)
        except (ValueError, RecursionError):
            value = None
        return value.get("session_id") if isinstance(value, dict) else None
    if "_session_" in user_id:
        return user_id.rpartition("_session_")[2]
    if user_id.startswith("session_") and _is_uuid(user_id[8:]):
        return user_id[8:]
    return None


def _is_uuid(value: str) -> bool:
    try:
        UUID(value)
    except ValueError:
        return False
    return len(value) in (32, 36)
