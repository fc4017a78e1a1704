"""Stand-in: email addresses and SSNs only."""

import re
from collections.abc import Collection

from pii.findings import Finding

TYPES = ("EMAIL", "PHONE", "SSN", "CREDIT_CARD", "IP_ADDRESS", "IBAN", "SECRET")
_EMAIL = re.compile(r"(?<![\w.+-])[a-z0-9][\w.+-]{0,63}@(?:[a-z0-9-]{1,63}\.)+[a-z]{2,24}", re.IGNORECASE | re.ASCII)
_SSN = re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])", re.ASCII)
_OPEN = re.compile(r"[\w.+@-]*\Z", re.ASCII)


def find(text: str, types: Collection[str] = TYPES, min_confidence: float = 0.7) -> list[Finding]:
    found = []
    if "EMAIL" in types and "@" in text:
        found += [Finding(*m.span(), "EMAIL", 0.9, "email") for m in _EMAIL.finditer(text)]
    if "SSN" in types:
        found += [Finding(*m.span(), "SSN", 0.9, "ssn") for m in _SSN.finditer(text)]
    return sorted(f for f in found if f.confidence >= min_confidence)


def reach(text: str) -> int:
    return _OPEN.search(text, max(len(text) - 400, 0)).start()
