"""Values of the configuration as pages, messages and histories may show them: without credentials.

A value is hidden by the name that it stands under, by what the detectors of secrets say of it, and by how credentials are
written in headers and addresses. Variables (``${…}``) are shown: they say where a value comes from, and not what it is.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

HIDDEN = "(hidden)"
# Tell whether a text holds a secret. Whoever composes the program adds those that there are (lunaroute_site/config_types.py).
detectors: list[Callable[[str], bool]] = []
_NAME = re.compile(
    r"auth|key|token|secret|cookie|passw|pwd|passphrase|credential|signature|private|session|bearer|webhook|dsn"
    r"|(?:\A|[_\-. ])(?:sig|pass|pin|code|salt|cert)(?:\Z|[_\-. ])",
    re.IGNORECASE,
)
# Names that hold these words and no credential.
_HARMLESS = re.compile(
    r"(?:max|min|num|total|input|output|completion|thinking|budget|stop|reasoning|cache)[_-].*tokens?\Z|(?:\A|_)tokens\Z"
    r"|token_field\Z|auth_file\Z|(?:\A|_)authors?\Z|keepalive|session_id\Z|anthropic-(?:version|beta)\Z|key_hint\Z",
    re.IGNORECASE,
)
_VARIABLE = re.compile(r"\$\{[^}]*\}")
_SCHEME = re.compile(r"\A\s*(?:bearer|basic|token|apikey|digest|negotiate|aws4-hmac-sha256)\s+(?=\S)", re.IGNORECASE)
# What nobody types: a long run of letters and figures.
_RUN = re.compile(r"(?=[A-Za-z0-9+/=]*[0-9])(?=[A-Za-z0-9+/=]*[A-Za-z])[A-Za-z0-9+/=]{20,}")
_ADDRESS = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s\"'<>]+", re.IGNORECASE)


def may_name_a_credential(name: str) -> bool:
    """Tell whether what is called `name` (a header, a key of JSON, a parameter) may hold a credential.

    What is hidden needlessly does no harm here. The record, which needs what it has, is judged by routing/credentials.py.
    """
    return _NAME.search(name) is not None and _HARMLESS.search(name) is None


def masked(value: Any, name: str = "") -> Any:
    """Give a value (of JSON, or of pairs) with the credentials in it hidden. `name` is what it stands under."""
    if isinstance(value, Mapping):
        return {key: masked(item, name if may_name_a_credential(name) else str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        if len(value) == 2 and all(isinstance(item, str) for item in value) and may_name_a_credential(value[0]):
            return [value[0], masked_text(value[1], value[0])]  # a header
        return [masked(item, name) for item in value]
    return masked_text(value, name) if isinstance(value, str) else value


def restored(value: Any, kept: Any, name: str = "") -> Any:
    """Give `value`, which somebody was shown as `masked(kept, name)` and sends back, with what was hidden put back.

    What is hidden and stood nowhere stays `HIDDEN`.
    """
    if isinstance(value, Mapping) and isinstance(kept, Mapping):
        return {
            key: restored(item, kept.get(key), name if may_name_a_credential(name) else str(key))
            for key, item in value.items()
        }
    if isinstance(value, list) and isinstance(kept, list | tuple):
        if value and all(isinstance(item, list) and len(item) == 2 for item in [*value, *kept]):  # headers, by name
            named = {str(pair[0]).lower(): list(pair) for pair in kept}
            return [_same(pair, named.get(str(pair[0]).lower()), name) for pair in value]
        return [restored(item, kept[at] if at < len(kept) else None, name) for at, item in enumerate(value)]
    return _same(value, kept, name)


def _same(value: Any, kept: Any, name: str) -> Any:
    return kept if kept is not None and is_hidden_in(value) and value == masked(kept, name) else value


def is_hidden_in(value: Any) -> bool:
    """Tell whether something hidden stands in a value."""
    if isinstance(value, Mapping):
        return any(is_hidden_in(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(is_hidden_in(item) for item in value)
    return isinstance(value, str) and HIDDEN in value


def masked_text(text: str, name: str = "") -> str:
    """Give a text with the credentials in it hidden; all of it where `name` is one of a credential."""
    literals = _VARIABLE.sub("", _SCHEME.sub("", text)).strip()
    if not literals or _SCHEME.fullmatch(literals + " x"):
        return text  # variables alone
    if "://" in text:
        return _ADDRESS.sub(lambda match: masked_url(match[0]), text)
    if may_name_a_credential(name) or _SCHEME.match(text) or _RUN.search(literals) or _is_found(literals):
        return HIDDEN
    return text


def masked_url(url: str) -> str:
    """Give an address without user and password, and without parameters and parts of its path that are credentials."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return HIDDEN
    userinfo, at, place = parts.netloc.rpartition("@")
    pairs = [pair.partition("=") for pair in parts.query.split("&")] if parts.query else []
    query = "&".join(
        f"{name}={masked_text(value, unquote(name)) if value else ''}" if eq else HIDDEN for name, eq, value in pairs
    )
    path = "/".join(HIDDEN if _RUN.search(part) or _is_found(part) else part for part in parts.path.split("/"))
    fragment = HIDDEN if parts.fragment else ""
    return urlunsplit((parts.scheme, f"{HIDDEN}@{place}" if at and userinfo else place, path, query, fragment))


def masked_webhook(url: str) -> str:
    """Give the host of a webhook: the rest of such an address is what lets somebody post there."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/{HIDDEN}" if url else ""


def _is_found(text: str) -> bool:
    return any(detector(text) for detector in detectors)
