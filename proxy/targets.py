"""The target of a request: a path, before which a client may name scheme and host (RFC 9112, section 3.2.2)."""

import re

from proxy.headers import Headers

_ABSOLUTE = re.compile(rb"https?://([^/?#\\]+)(.*)", re.IGNORECASE | re.DOTALL)
_PRINTABLE = re.compile(rb"[!-~]+")


def split(target: bytes) -> tuple[bytes | None, bytes]:
    """Give the host (with a port) that `target` names, None where it names none, and its path and query."""
    if target[:1] == b"/":
        return None, target
    found = _ABSOLUTE.fullmatch(target)
    if found is None:
        return None, target
    path = found[2]
    return found[1], path if path[:1] == b"/" else b"/" + path


def with_host(headers: Headers, host: bytes) -> Headers:
    """Give `headers` with the target's `host`, which counts in place of what Host says."""
    return [(b"Host", host), *[header for header in headers if header[0].lower() != b"host"]]


def is_printable(target: bytes) -> bool:
    """Tell whether `target` has no other characters than a target may have: no controls, nothing beyond ASCII."""
    return _PRINTABLE.fullmatch(target) is not None
