"""The login of Codex CLI, read from its file, in place of a key.

Codex refreshes its token and replaces the file; whoever uses the login here gets the new one at most a second later. The
token stands in no message and no representation.
"""

import re
from pathlib import Path
from typing import Any

import msgspec

from routing.definitions import CodexAuth

LOOK_EVERY = 1.0  # seconds
_MAX_BYTES = 1 << 20
_VALUE = re.compile(r"[!-~]+\Z")  # what can stand in a header

Pairs = tuple[tuple[bytes, bytes], ...]


class LoginError(Exception):
    """Why there is no login, in a sentence for the client."""


class CodexLogin:
    """Gives the headers of one provider's login."""

    def __init__(self, settings: CodexAuth) -> None:
        self._settings = settings
        self._looked = float("-inf")
        self._version: tuple[int, int, int] | None = None
        self._found: Pairs = ()
        self._problem = ""

    def headers(self, now: float) -> Pairs:
        """Give ``authorization`` and, where an account is known, ``chatgpt-account-id``. Raises LoginError.

        `now` is a clock's reading in seconds that never goes back. Looks at the file at most once a second.
        """
        if now - self._looked >= LOOK_EVERY:
            self._looked = now
            self._look()
        if self._problem:
            raise LoginError(f"The login of Codex cannot be used: {self._settings.auth_file} {self._problem}.")
        return self._found

    def _look(self) -> None:
        try:
            path = Path(self._settings.auth_file).expanduser()
            status = path.stat()
            version = (status.st_mtime_ns, status.st_ino, status.st_size)
            if version != self._version:
                self._found = self._read(path)
                self._version, self._problem = version, ""
        except (LoginError, OSError, RuntimeError, ValueError) as error:  # no home for the tilde; no path
            # The error itself is not kept: its frames hold the file's content.
            self._version, self._problem = None, _reason(error)

    def _read(self, path: Path) -> Pairs:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
        try:
            content = msgspec.json.decode(raw)
        except (ValueError, RecursionError):
            raise LoginError("is not JSON") from None
        field = self._settings.token_field
        token = _at(content, field)
        if not isinstance(token, str) or not _VALUE.match(token):
            raise LoginError(f"has no token at {field}; log in with `codex login`")
        account = self._settings.account_id or _at(content, "tokens.account_id")
        headers = [(b"authorization", b"Bearer " + token.encode())]
        if isinstance(account, str) and _VALUE.match(account):
            headers.append((b"chatgpt-account-id", account.encode()))
        return tuple(headers)


def _reason(error: Exception) -> str:
    if isinstance(error, LoginError):
        return str(error)
    if isinstance(error, FileNotFoundError):
        return "does not exist; log in with `codex login`"
    return f"cannot be read ({error.strerror if isinstance(error, OSError) else error})"


def _at(value: Any, place: str) -> Any:
    """Give what stands at a dotted place of nested objects, or None."""
    for name in place.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value
