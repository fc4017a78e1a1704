"""Tokens: what stands for a value in mode tokenize, the same for the same value, and no way back without the secret.

HMAC-SHA256 (RFC 2104) under a key that HKDF-SHA256 (RFC 5869) derives from the secret for each type; of its 32 bytes the
first 4 are shown. Two of 9,300 different values of one type share a token with a probability of 1 %, two of 77,000 with
50 %: a token tells values apart for a reader, it is no identity.
"""

import hmac
import ipaddress
import re
import unicodedata
from functools import cache
from urllib.parse import unquote

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_DIGITS = frozenset(("PHONE", "SSN", "CREDIT_CARD"))
_UNICODE_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


class Tokens:
    """Makes tokens under one secret."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode("utf-8", "surrogatepass")
        self._key = cache(self._derived)

    def _derived(self, kind: str) -> bytes:
        hkdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=f"lunaroute pii token 1 {kind}".encode())
        return hkdf.derive(self._secret)

    def token(self, kind: str, value: str) -> str:
        """Give 8 hexadecimal digits for a value of the type `kind`, whichever way it is written."""
        data = normal(kind, value).encode("utf-8", "surrogatepass")
        return hmac.digest(self._key(kind), data, "sha256").hex()[:8]


def visible(value: str) -> str:
    """Give `value` without characters that show nothing: zero-width ones, soft hyphens, marks of direction."""
    return value if value.isascii() else "".join(c for c in value if unicodedata.category(c) != "Cf")


def normal(kind: str, value: str) -> str:
    """Give the one form of all spellings of a value: full-width digits, separators, case and escapes make no difference."""
    value = visible(value)
    if not value.isascii():
        value = "".join(
            str(unicodedata.decimal(c)) if c.isdecimal() else c for c in unicodedata.normalize("NFKC", value)
        )
    if kind not in ("EMAIL", "IP_ADDRESS", "IBAN", *_DIGITS):
        return value
    value = unquote(_UNICODE_ESCAPE.sub(lambda match: chr(int(match[1], 16)), value))
    if kind in _DIGITS:
        digits = "".join(c for c in value if c.isdecimal())
        return digits.removeprefix("00") if kind == "PHONE" else digits
    if kind == "IBAN":
        return "".join(c for c in value if c.isalnum()).upper()
    if kind == "IP_ADDRESS":
        try:
            return str(ipaddress.ip_address(value.strip("[] ").partition("%")[0]))
        except ValueError:
            return value.lower()
    local, _, domain = value.strip().rpartition("@")
    return f"{local}@{domain.lower()}"
