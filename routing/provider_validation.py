"""What is wrong with a provider: for the file and the admin alike."""

import math
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from routing.definitions import ANTHROPIC, FROM_ADMIN, OPENAI, CodexAuth, HttpClient, Provider
from routing.destinations import OWN, Network, literal, problem_of_address
from routing.rewriting.headers import problem_of
from routing.rewriting.templates import check_template

OPENAI_APIS = ("chat", "responses")
ROLES = ("user", "assistant", "system", "developer")
# What a marker in a conversation can name (routing.rewriting.markers).
NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
# JSON of settings may be nested so deep.
_DEEPEST = 50
# Whose login Codex has.
_OPENAI = re.compile(r"(?:[a-z0-9-]+\.)*(?:chatgpt|openai)\.com", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Address:
    """Where LunaRoute itself listens, and `allowed`: networks that else nothing is sent to (routing/destinations.py)."""

    host: str
    port: int
    allowed: tuple[Network, ...] = ()

    def is_at(self, url: str) -> bool:
        """Whether a request to `url` would come back here."""
        parts = urlsplit(url)
        port = parts.port or {"https": 443}.get(parts.scheme, 80)
        host = (parts.hostname or "").rstrip(".").lower()
        own = (self.host.lower(), socket.gethostname().lower())
        return port == self.port and (host in own or _is_loopback(host))


def problems_of_provider(provider: Provider, own: Address) -> list[str]:
    """Say what is wrong with `provider`, each as ``field: what was expected``. A field is one of `Provider`'s.

    Raises nothing, whatever the fields hold: they may come from a database that somebody else wrote to.
    """
    return [
        *_problems_of_choices(provider),
        *_problems_of_url(provider.base_url, own),
        *_problems_of_login(provider),
        *_problems_of_headers(provider.request_headers),
        *_problems_of_body(provider),
        *_problems_of_numbers(provider.http_client),
        *(_said("switch_notification", check_template(provider.switch_notification, notification=True))),
    ]


def problem_of_key(key: str) -> str:
    """Say why `key` cannot stand in a header, or nothing."""
    printable = all(33 <= ord(character) <= 126 for character in key)
    return "" if printable else "expected a key of printable ASCII characters without spaces"


def problem_of_url(url: str) -> str:
    """Say why `url` is no address of a provider, or nothing."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid or parts.query or parts.fragment or not url.isascii() or any(c.isspace() for c in url):
        return "expected an address such as https://api.example.com/v1"
    return ""


def _problems_of_choices(provider: Provider) -> Iterator[str]:
    if not NAME.fullmatch(provider.name) or provider.name == "clear":
        yield "name: expected up to 64 of A-Z a-z 0-9 _ . - (so that [LUNAROUTE:name] can name it), and not clear"
    if provider.provider_type not in (ANTHROPIC, OPENAI):
        yield f"provider_type: expected anthropic or openai, got {provider.provider_type!r}"
    if provider.openai_api and provider.openai_api not in OPENAI_APIS:
        yield f"openai_api: expected chat or responses, got {provider.openai_api!r}"
    elif provider.openai_api and provider.provider_type != OPENAI:
        yield "openai_api: only a provider of type openai has one"
    yield from _said("api_key", problem_of_key(provider.api_key))
    for pattern, name in provider.model_map:
        if not pattern or not name or _CONTROL.search(pattern + name):
            yield f"model_map: expected a name to ask and one to ask instead, got {pattern!r} and {name!r}"


def _problems_of_url(url: str, own: Address) -> Iterator[str]:
    problem = problem_of_url(url)
    if problem:
        yield f"base_url: {problem}"
    elif own.is_at(url):
        yield f"base_url: {OWN}"
    elif (address := literal(urlsplit(url).hostname or "")) and (problem := problem_of_address(address, own.allowed)):
        yield f"base_url: {problem}"


def _problems_of_login(provider: Provider) -> Iterator[str]:
    """On pages nobody names a file of the server's, nor where the login in it goes."""
    login = provider.codex_auth
    if login is None or provider.source != FROM_ADMIN:
        return
    if login.auth_file not in ("", CodexAuth().auth_file):
        yield f"codex_auth_file: expected {CodexAuth().auth_file}: only the configuration file names another one"
    try:
        url = urlsplit(provider.base_url)
    except ValueError:
        return
    if url.scheme != "https" or not _OPENAI.fullmatch(url.hostname or ""):
        yield (
            "base_url: expected an https:// address of chatgpt.com or openai.com, to which the login of Codex may go; only "
            "the configuration file sends it elsewhere"
        )


def _problems_of_headers(headers: Sequence[tuple[str, str]]) -> Iterator[str]:
    for name, template in headers:
        if problem := problem_of(name).removeprefix("the header "):
            yield f"request_headers: {problem}"
        if _CONTROL.search(template):
            yield f"request_headers: {name}: expected a value without line breaks and other control characters"
        yield from _said("request_headers", check_template(template), f"{name}: ")


def _problems_of_body(provider: Provider) -> Iterator[str]:
    for field in ("body_defaults", "body_overrides"):
        value = getattr(provider, field)
        if not isinstance(value, Mapping):
            yield f"{field}: expected names with values ({{…}})"
        else:
            yield from _problems_of_json(field, value)
    for message in provider.prepend_messages:
        problem = _problem_of_message(message)
        if problem:
            yield f"prepend_messages: {problem}"
        else:
            yield from _problems_of_json("prepend_messages", message)


def _problem_of_message(message: Any) -> str:
    if not isinstance(message, Mapping) or set(message) != {"role", "content"}:
        return 'expected messages such as {"role": "user", "content": "…"}'
    if message["role"] not in ROLES:
        return f"expected a role out of {', '.join(ROLES)}, got {message['role']!r}"
    content = message["content"]
    is_list = isinstance(content, Sequence) and all(isinstance(part, Mapping) for part in content)
    return "" if isinstance(content, str) or is_list else "expected content that is a text or a list of parts"


def _problems_of_json(field: str, value: Any, depth: int = 0) -> Iterator[str]:
    """Templates with unknown variables, and what JSON cannot carry."""
    if depth > _DEEPEST:
        yield f"{field}: is nested too deeply"
    elif isinstance(value, str):
        if "\0" in value or not _is_unicode(value):
            yield f"{field}: a text holds a NUL or half of a surrogate pair"
        else:
            yield from _said(field, check_template(value))
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _problems_of_json(field, item, depth + 1)
            if "\0" in name or not _is_unicode(name):
                yield f"{field}: a name holds a NUL or half of a surrogate pair"
    elif isinstance(value, Sequence):
        for item in value:
            yield from _problems_of_json(field, item, depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{field}: {value} is no number of JSON"


def _problems_of_numbers(http: HttpClient) -> Iterator[str]:
    for field in ("timeout_secs", "connect_timeout_secs", "pool_idle_timeout_secs"):
        if not (math.isfinite(getattr(http, field)) and getattr(http, field) > 0):
            yield f"{field}: expected seconds above 0"
    if not (math.isfinite(http.tcp_keepalive_secs) and http.tcp_keepalive_secs >= 0):
        yield "tcp_keepalive_secs: expected seconds, or 0"
    if http.pool_max_idle_per_host < 0:
        yield "pool_max_idle_per_host: expected a number from 0 on"
    if not 0 <= http.max_retries <= 20:
        yield "max_retries: expected a number from 0 to 20"


def _said(field: str, problem: str | None, where: str = "") -> Iterator[str]:
    if problem:
        yield f"{field}: {where}{problem}"


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = literal(host)
    if address is None:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
