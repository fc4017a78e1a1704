"""What is kept of a request's head: headers without credentials, a query without keys, the project it names."""

import re
from urllib.parse import unquote

from routing.heads import Pairs, header

CREDENTIALS = frozenset(("authorization", "x-api-key", "api-key", "cookie", "set-cookie", "proxy-authorization"))
_SECRET_NAME = re.compile(r"(?:^|[_\-.])(?:key|apikey|token|secret|password|signature|sig|auth|code)$", re.IGNORECASE)


def kept_headers(headers: Pairs, keep_user_agent: bool = True) -> Pairs:
    """Give the headers that are kept, in order."""
    dropped = CREDENTIALS if keep_user_agent else CREDENTIALS | {"user-agent"}
    return [(name, value) for name, value in headers if name.lower() not in dropped]


def names_a_secret(name: str) -> bool:
    """Tell whether a header or parameter of that name holds a credential."""
    return name.lower() in CREDENTIALS or _SECRET_NAME.search(name) is not None


def masked_query(query: str) -> str:
    """Give a raw query string with the values of what is named like a key masked."""
    pairs = []
    for pair in query.split("&"):
        name, equals, _ = pair.partition("=")
        pairs.append(f"{name}=***" if equals and names_a_secret(unquote(name)) else pair)
    return "&".join(pairs)


def metadata_of(headers: Pairs) -> dict[str, object]:
    """Give what a request's headers say of its place: ``project`` and ``tags``."""
    metadata: dict[str, object] = {}
    project = header(headers, "x-project-id") or header(headers, "x-session-context")
    if project:
        metadata["project"] = project[:255]
    tags = [tag.strip()[:64] for tag in header(headers, "x-session-tags").split(",") if tag.strip()]
    if tags:
        metadata["tags"] = tags[:32]
    return metadata
