"""Headers that a provider's settings add to a request, or put in place of the client's."""

import re
from collections.abc import Iterable, Mapping

from routing.rewriting.templates import Template

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+\Z")  # RFC 9110, section 5.6.2
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # all but the tab (RFC 9110, section 5.5)
# What says where a message ends and where it goes: the proxy's own business.
_FRAMING = frozenset(
    ("connection", "content-length", "expect", "host", "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer",
     "transfer-encoding", "upgrade")
)  # fmt: skip


def problem_of(name: str) -> str:
    """Say why no header can be called `name`, or nothing."""
    if not _NAME.match(name):
        return f"the header {name!r} is left out: expected a name of letters, digits and hyphens"
    return f"the header {name} is left out: it is the proxy's own" if name.lower() in _FRAMING else ""


def lines_of(headers: Iterable[tuple[str, Template]], values: Mapping[str, str]) -> tuple[bytes, tuple[str, ...]]:
    """Give the headers as lines ``Name: value CRLF``, with notes on those that are left out. An empty one is no header."""
    lines, notes = [], []
    for name, template in headers:
        value = template.fill(values).strip()
        if _CONTROL.search(value):
            notes.append(f"the header {name} was left out: its value has a line break or another control character")
        elif value:
            lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode(errors="replace"), tuple(notes)
