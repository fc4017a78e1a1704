"""Who may ask a provider: programs, by a name of this server's; and with a key of the server's, who knows the token.

A web page in somebody's browser can send requests to any address, this machine's own included, and can have its own name
point there (DNS rebinding). It cannot choose the headers Host and Origin, nor what begins with Sec-
(https://fetch.spec.whatwg.org/#forbidden-request-header), nor read the token.
"""

import hmac
import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache

from django.http.request import split_domain_port, validate_host

from proxy.headers import TOKEN, Headers, first
from proxy.throttle import throttle

# Of Sec-Fetch-Site, what is said of the server's own pages and of the address bar (https://www.w3.org/TR/fetch-metadata/).
OWN_SITES = frozenset((b"same-origin", b"none"))
# What Node sends of itself, by fetch and by WebSocket (undici); the other modes are of pages alone.
PROGRAMS_MODES = frozenset((b"cors", b"websocket"))
# By these lengths a header is looked at; most have others.
_LENGTHS = frozenset((4, 6, 14))
# Types that pages and their parts are asked for by, and programs never without a key.
_asks_page = re.compile(rb"text/html|image/|text/css", re.IGNORECASE).search
_KEYS = frozenset((b"authorization", b"x-api-key", b"api-key", TOKEN))
LONGEST_NAME = 300  # with a port
# How programs in containers call this machine (host.docker.internal): nobody's in the public DNS.
PRIVATE = ".internal"

NOT_OURS = "This is not the name of this server: allowed_hosts in LunaRoute's configuration (LUNAROUTE_ALLOWED_HOSTS) lists others."
BROWSER = (
    "No page of a browser, of another site or this one, reaches a provider through LunaRoute: this address is for coding "
    "assistants. LunaRoute's own pages are at /ui/."
)
ASKS_TOKEN = "LunaRoute asks for its token (LUNAROUTE_AUTH_TOKEN) in the header x-lunaroute-token."


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a request is refused: a status, a sentence for whoever sent it, and the seconds that they have to wait, if so."""

    status: int
    message: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Guard:
    """`hosts` are the names by which this server is called, as Django's ALLOWED_HOSTS; an empty `token` asks for none."""

    hosts: tuple[str, ...]
    token: str = ""

    def refusal(self, headers: Headers, upgrade: bool = False) -> Refused | None:
        """Give the reason to refuse a request with these headers, or None. `upgrade`: to a WebSocket."""
        found = {name.lower(): value for name, value in headers if len(name) in _LENGTHS}
        host = found.get(b"host", b"")
        if len(host) > LONGEST_NAME or not is_name(host, self.hosts):
            return Refused(403, NOT_OURS)
        if is_browsers(found, headers, upgrade):
            return Refused(403, BROWSER)
        return None

    def asks_token(self, headers: Headers, client: tuple[str, int] | None) -> Refused | None:
        """Give the reason to refuse the server's key to a request of `client` with these headers, or None."""
        if not self.token:
            return None
        given = first(headers, TOKEN)
        if not given:
            return Refused(401, ASKS_TOKEN)
        address = client[0] if client else ""
        if (refused := waits(address, given)) is not None:
            return refused
        if not is_same(given, self.token):
            throttle.failed(address, given)
            return Refused(401, ASKS_TOKEN)
        throttle.passed(address, given)
        return None


def waits(address: str, given: bytes) -> Refused | None:
    """Give the refusal of a client that has guessed too often, or None."""
    seconds = throttle.wait(address, given)
    return (
        Refused(429, f"Too many wrong tokens came from this address: wait {seconds:.0f} s.", seconds)
        if seconds
        else None
    )


@lru_cache(256)
def is_name(host: bytes, names: tuple[str, ...]) -> bool:
    """Tell whether the header Host names this server: by one of `names`, or as no stranger's name can.

    Those are numbers, and names that nobody can register: with no dot, as of a container or a machine of the network.
    """
    if not host:
        return True  # HTTP/1.0; a browser always names one
    domain = split_domain_port(host.decode("latin-1"))[0]
    if validate_host(domain, names) or (domain and "." not in domain.rstrip(".")) or domain.endswith(PRIVATE):
        return True
    return _is_number(domain)


def _is_number(domain: str) -> bool:
    try:
        ipaddress.ip_address(domain.strip("[]"))
    except ValueError:
        return False
    return True


def is_browsers(found: dict[bytes, bytes], headers: Headers, upgrade: bool) -> bool:
    """Tell whether a page sent this, or who follows a link. `found` has the headers by name, in lower case."""
    if found.get(b"sec-fetch-site", b"none") != b"none" or found.get(b"sec-fetch-dest", b"empty") != b"empty":
        return True
    if found.get(b"sec-fetch-mode", b"cors") not in PROGRAMS_MODES:
        return True
    # Libraries of WebSockets name the server's own origin; a page's socket comes with Sec-Fetch-Site or another Host.
    if b"origin" in found and (not upgrade or _has_foreign_origin(headers, found.get(b"host", b""))):
        return True
    if _asks_page(found.get(b"accept", b"")) is None:
        return False
    return not any(name.lower() in _KEYS for name, _ in headers)


def _has_foreign_origin(headers: Headers, host: bytes) -> bool:
    return any(is_foreign(host, value, None) for name, value in headers if name.lower() == b"origin")


def is_foreign(host: bytes, origin: bytes | None, site: bytes | None) -> bool:
    """Tell whether another site's page asks, by the headers Host, Origin and Sec-Fetch-Site. Who is no browser sends none."""
    if origin is not None and origin.lower() not in (b"http://" + host.lower(), b"https://" + host.lower()):
        return True
    return site is not None and site.lower() not in OWN_SITES


def is_same(given: bytes, token: str) -> bool:
    """Compare a token in a time that says nothing about it."""
    return hmac.compare_digest(given, token.encode())
