"""What a trusted proxy in front of this server says of the client: X-Forwarded-For and X-Forwarded-Proto.

From anybody else such a header is but a header. A proxy that is trusted adds the address of whom it speaks for at the
end of X-Forwarded-For, so the client is the last address that is not a trusted proxy's.
"""

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache

from proxy.headers import Headers

# What the proxy says of its client is for us, and not for a provider.
ADDED = frozenset(
    (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port", b"x-real-ip", b"forwarded")
)

# A client of which a trusted proxy has said nothing that can be read (RFC 7239, section 6.2).
UNKNOWN = "unknown"
# Some proxies add the client's port: 203.0.113.7:4711, [2001:db8::1]:4711.
_WITH_PORT = re.compile(r"\A(?:\[([^\[\]]+)\](?::[0-9]+)?|([0-9.]+):[0-9]+)\Z")


class Trusted:
    """Proxies, by their networks."""

    def __init__(self, networks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> None:
        self._networks = tuple(networks)
        self._known: dict[str, bool] = {}

    def take(self, scope: dict) -> None:
        """Put the client's own address into `scope`, and leave out what the proxy has added for us."""
        client = scope["client"]
        if client is None or not self.has(client[0]):
            return
        scope["client"] = (self.client(client[0], forwarded_for(scope["headers"])), client[1])
        scope["headers"] = [pair for pair in scope["headers"] if pair[0].lower() not in ADDED]

    def has(self, address: str) -> bool:
        """Tell whether `address` is that of a trusted proxy."""
        known = self._known.get(address)
        if known is None:
            if len(self._known) > 1000:
                self._known.clear()
            known = self._known[address] = self._has(address)
        return known

    def _has(self, address: str) -> bool:
        found = _plain(address)
        return found is not None and any(
            found in network for network in self._networks if network.version == found.version
        )

    def client(self, peer: str, chain: Iterable[str]) -> str:
        """Give the address of the client that `peer`, a trusted proxy, speaks for; `chain` is what it was told.

        Where that is no address, UNKNOWN: it must not pass for the proxy's own, which may be this machine's.
        """
        for text in reversed(list(chain)):
            address = _WITH_PORT.sub(lambda match: match[1] or match[2], text)
            if _plain(address) is None:
                return UNKNOWN
            peer = address
            if not self.has(address):
                break
        return peer


def forwarded_for(headers: Headers) -> list[str]:
    """Give the addresses of X-Forwarded-For in the order in which they were added."""
    values = [value.decode("latin-1") for name, value in headers if name.lower() == b"x-forwarded-for"]
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


def is_loopback(address: str) -> bool:
    """Tell whether `address` is one of this machine's own."""
    found = _plain(address)
    return found is not None and found.is_loopback


@lru_cache(1024)
def place_of(address: str) -> str:
    """Give what stands for one client: an IPv4 address, or the 64 bits of IPv6 that a network gets (RFC 6177).

    What is no address stands for itself.
    """
    found = _plain(address)
    if found is None:
        return address
    if found.version == 4 or found.is_loopback:
        return str(found)
    return str(ipaddress.ip_network((found, 64), strict=False))


def _plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an address, without a zone, and as IPv4 where it is one that is written as IPv6. None: it is no address."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
