"""Private keys in PEM (RFC 7468), OpenSSH's and OpenPGP's (RFC 9580) armour: from BEGIN to END, or as far as they go."""

import re
from collections.abc import Iterator

from pii.detectors.base import Hit, search

BEGIN = b"-----BEGIN "
LONGEST = 32_768  # bytes of a block: an RSA key of 16,384 bits has 13,000

_BEGINS = search(BEGIN.decode())
_LABEL = re.compile(rb"-----BEGIN (?:[A-Z0-9]{1,16} ){0,4}PRIVATE KEY(?: BLOCK)?-----")
_END = re.compile(rb"-----END [A-Z0-9 ]{0,64}PRIVATE KEY(?: BLOCK)?-----")
_BODY = re.compile(rb"[A-Za-z0-9+/=]{16}")
# A block that was cut off: headers and lines of base64, perhaps quoted or commented.
_CUT = re.compile(
    rb"(?:[\s\"'>#+,;*\\|]{0,16}(?:[A-Za-z-]{3,24}: [^\n]{1,80}\n|[A-Za-z0-9+/=]{16,}))*[A-Za-z0-9+/]{0,15}={0,2}"
)


def private_keys(data: bytes) -> Iterator[Hit]:
    done = 0
    for begin in _BEGINS.finditer(data):
        start = begin.start()
        label = _LABEL.match(data, start)
        if not label or start < done:
            continue
        close = data.find(b"-----", label.end(), label.end() + LONGEST)
        end = _END.match(data, close) if close >= 0 else None
        stop = end.end() if end else _CUT.match(data, label.end(), label.end() + LONGEST).end()  # type: ignore[union-attr]
        if _BODY.search(data, label.end(), stop):
            yield start, stop, 0.99, "private-key"
        done = stop
