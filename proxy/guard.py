"""Who may use a key that is the server's: no page of another site, and beyond this machine only who knows the token.

A web page in somebody's browser can send requests to any address, this machine's own included, and can have its own name
point there (DNS rebinding). It cannot choose the headers Host and Origin, nor what begins with Sec-
(https://fetch.spec.whatwg.org/#forbidden-request-header), nor read the token.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from django.http.request import split_domain_port, validate_host

from proxy.headers import TOKEN, Headers, first

FOREIGN = frozenset((b"cross-site", b"same-site"))


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a request is refused: a status, and a sentence for whoever sent it."""

    status: int
    message: str


@dataclass(frozen=True, slots=True)
class Guard:
    """`hosts` are the names by which this server is called, as Django's ALLOWED_HOSTS; an empty `token` asks for none."""

    hosts: Sequence[str]
    token: str = ""

    def refusal(self, headers: Headers) -> Refused | None:
        """Give the reason to refuse a request with these headers, or None."""
        host = first(headers, b"host") or b""
        if not validate_host(split_domain_port(host.decode("latin-1"))[0], self.hosts):
            return Refused(
                403, "This is not the name of this server: allowed_hosts in LunaRoute's configuration lists others."
            )
        if is_foreign(host, first(headers, b"origin"), first(headers, b"sec-fetch-site")):
            return Refused(403, "A page of another site may not use the key that LunaRoute keeps.")
        if self.token and not is_same(first(headers, TOKEN) or b"", self.token):
            return Refused(401, "LunaRoute asks for its token (LUNAROUTE_AUTH_TOKEN) in the header x-lunaroute-token.")
        return None


def is_foreign(host: bytes, origin: bytes | None, site: bytes | None) -> bool:
    """Tell whether another site's page asks, by the headers Host, Origin and Sec-Fetch-Site. Who is no browser sends none."""
    if origin is not None and origin.lower() not in (b"http://" + host.lower(), b"https://" + host.lower()):
        return True
    return site in FOREIGN


def is_same(given: bytes, token: str) -> bool:
    """Compare a token in a time that says nothing about it."""
    return hmac.compare_digest(given, token.encode())
