"""The login of Codex CLI, used to ask a provider: the token in its file, read again when it has changed."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from routing.definitions import CodexAuth

# Seconds for which the file is not looked at again.
LOOK_EVERY = 1.0


class LoginError(Exception):
    """Why there is no login, in words, without any part of it."""


class CodexLogin:
    """The login that `settings` name."""

    def __init__(self, settings: CodexAuth, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._path = Path(settings.auth_file).expanduser()
        self._looked_at = float("-inf")
        self._stamp: tuple = ()
        self._headers: list[tuple[bytes, bytes]] = []

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Give the headers that carry the login. Raises LoginError."""
        now = self._clock()
        if now - self._looked_at >= LOOK_EVERY:
            self._look()
            self._looked_at = now
        return self._headers

    def _look(self) -> None:
        try:
            state = os.stat(self._path)
            stamp = (state.st_mtime_ns, state.st_size, state.st_ino)
            if stamp == self._stamp:
                return
            data = self._path.read_bytes()
        except OSError as error:
            raise LoginError(f"codex_auth: {self._path} cannot be read ({error.strerror}); log in with codex") from None
        try:
            value = msgspec.json.decode(data)
        except (ValueError, RecursionError):
            raise LoginError(f"codex_auth: {self._path} is not valid JSON") from None
        token = _at(value, self._settings.token_field)
        if not token:
            raise LoginError(f"codex_auth: {self._path} has no text at {self._settings.token_field}; log in with codex")
        account = self._settings.account_id or _at(value, "tokens.account_id")
        self._headers = [(b"authorization", b"Bearer " + token.encode("ascii"))]
        if account:
            self._headers.append((b"chatgpt-account-id", account.encode("ascii")))
        self._stamp = stamp


def _at(value: object, path: str) -> str:
    """The text at a dotted path, if it may stand in a header."""
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) and value.isascii() and value.isprintable() else ""
