"""Keys of providers, as the database has them: encrypted (Fernet) with a key file in the home, which no backup of the
database holds.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

FILE = "provider_keys.key"


class KeyProblem(Exception):
    """Why a key can be neither encrypted nor read, in words."""


def encrypt(home: Path, key: str) -> str:
    """Encrypt a provider's key. The key file is made, with mode 0600, where there is none. Raises KeyProblem."""
    path = home / FILE
    if not path.exists():
        _make(path)
    return _fernet(path).encrypt(key.encode()).decode()


def decrypt(home: Path, encrypted: str) -> str:
    """Give the key that `encrypt` was given. Raises KeyProblem."""
    path = home / FILE
    if not path.exists():
        raise KeyProblem(f"{path} is missing, with which its key was encrypted: put it back, or enter the key again")
    try:
        return _fernet(path).decrypt(encrypted.encode()).decode()
    except (InvalidToken, UnicodeError):
        raise KeyProblem(f"its key was encrypted with another file than {path}: enter the key again") from None


def _fernet(path: Path) -> Fernet:
    try:
        return Fernet(path.read_bytes().strip())
    except OSError as error:
        raise KeyProblem(f"{path} cannot be read ({error.strerror})") from None
    except ValueError:
        raise KeyProblem(
            f"{path} holds no key: put the right file back, or remove it and enter the keys again"
        ) from None


def _make(path: Path) -> None:
    """Make the file whole or not at all; of two processes at once, one makes it and both use it."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(Fernet.generate_key())
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    except OSError as error:
        raise KeyProblem(f"{path} cannot be made ({error.strerror})") from None
    finally:
        with suppress(OSError):
            draft.unlink()
