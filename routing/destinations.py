"""Which addresses requests may go to: not those at which machines of clouds find credentials, and never LunaRoute itself.

Networks of one's own are allowed, for models are served there. What counts is the address that is connected to: a name may mean
one machine when it is looked at and another when it is used.
"""

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Network → what is there. Looked up in November 2026 in the sources named; the first that holds an address counts.
FORBIDDEN: tuple[tuple[Network, str], ...] = tuple(
    (ipaddress.ip_network(network), what)
    for network, what in (
        # RFC 3927. The metadata services of nearly all clouds: AWS, Azure, Google, Oracle, DigitalOcean, Hetzner, IBM,
        # Tencent (169.254.0.23), Scaleway (169.254.42.42); AWS ECS and EKS hand out credentials at 169.254.170.2 and .23.
        ("169.254.0.0/16", "link-local, where clouds keep credentials"),
        # https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
        ("168.63.129.16/32", "Azure's WireServer"),
        # https://www.alibabacloud.com/help/ecs/user-guide/view-instance-metadata
        ("100.100.100.200/32", "Alibaba Cloud's metadata"),
        ("fd00:100::100:200/128", "Alibaba Cloud's metadata"),
        # Oracle Cloud Classic, https://docs.oracle.com/en/cloud/iaas/compute-iaas-cloud/
        ("192.0.0.192/32", "Oracle Cloud's metadata"),
        ("fd00:c1::a9fe:a9fe/128", "Oracle Cloud's metadata"),
        # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html (::254), EKS Pod Identity (::23)
        ("fd00:ec2::/32", "AWS's metadata"),
        # https://cloud.google.com/compute/docs/metadata/querying-metadata (instances with IPv6 only)
        ("fd20:ce::254/128", "Google Cloud's metadata"),
        # https://cloudinit.readthedocs.io/en/latest/reference/datasources/scaleway.html
        ("fd00:42::42/128", "Scaleway's metadata"),
        # https://techdocs.akamai.com/cloud-computing/docs/overview-of-the-metadata-service
        ("fd00:a9fe:a9fe::1/128", "Akamai's (Linode's) metadata"),
        # https://www.iana.org/assignments/iana-ipv4-special-registry, …/iana-ipv6-special-registry
        ("0.0.0.0/8", "this host on this network"),
        ("192.0.0.0/24", "assigned to protocols"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("::/128", "unspecified"),
        ("::ffff:0:0/96", "an IPv4 address written as IPv6 (mapped)"),
        ("::ffff:0:0:0/96", "an IPv4 address written as IPv6 (translated)"),
        ("64:ff9b::/96", "an IPv4 address written as IPv6 (translated)"),
        ("64:ff9b:1::/48", "an IPv4 address written as IPv6 (translated)"),
        ("2002::/16", "an IPv4 address written as IPv6 (6to4)"),
        ("2001::/32", "an IPv4 address written as IPv6 (Teredo)"),
        ("fe80::/10", "link-local, where clouds keep credentials"),
        ("fec0::/10", "site-local, which is no longer in use"),
        ("ff00::/8", "multicast"),
    )
)
# ::a.b.c.d (RFC 4291, deprecated), but not :: and ::1.
_COMPATIBLE = ipaddress.ip_network("::/96")
OWN = "that is LunaRoute's own address: a request would go round for ever"


@dataclass(frozen=True, slots=True)
class Destinations:
    """What one server may connect to: `allowed` by the configuration file, and where it listens itself (`own`)."""

    allowed: tuple[Network, ...] = ()
    own: frozenset[tuple[str, int]] = frozenset()

    def problem(self, text: str, port: int, source: str = "") -> str:
        """Say why nothing may be sent to an address, or nothing. `source`: this machine's side of a connection to it."""
        address = ipaddress.ip_address(text.partition("%")[0])
        if self._is_own(address, port, source):
            return OWN
        return problem_of_address(address, self.allowed)

    def _is_own(self, address: Address, port: int, source: str) -> bool:
        plain = _plain(address)
        for host, own_port in self.own:
            if own_port != port:
                continue
            listener = ipaddress.ip_address(host.partition("%")[0])
            # Whoever listens everywhere is found at each address of the machine: there both ends have the same.
            is_here = (
                plain.is_loopback or plain.is_unspecified or source.partition("%")[0] in (str(address), str(plain))
            )
            if plain == listener or (listener.is_unspecified and is_here) or plain.is_unspecified:
                return True
        return False


def problem_of_address(address: Address, allowed: Iterable[Network] = ()) -> str:
    """Say why nothing may be sent to `address`, or nothing; `allowed` are networks to which it may all the same."""
    if any(address.version == network.version and address in network for network in allowed):
        return ""
    for network, what in FORBIDDEN:
        if address.version == network.version and address in network:
            return f"{address} is {what}; allowed_addresses in the configuration file can allow it"
    if address.version == 6 and address in _COMPATIBLE and not address.is_loopback:
        return f"{address} is an IPv4 address written as IPv6; allowed_addresses in the configuration file can allow it"
    return ""


def literal(host: str) -> Address | None:
    """Give the address that `host` is, in any form that a resolver takes for one (127.1, 0x7f000001); None for a name."""
    host = host.partition("%")[0].rstrip(".")
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host)) if host[:1].isdigit() and " " not in host else None
    except (OSError, ValueError):
        return None


def _plain(address: Address) -> Address:
    """Give the IPv4 address that an IPv6 address carries, or itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _COMPATIBLE and int(address) > 0xFFFF:
            return ipaddress.IPv4Address(int(address))
    return address
