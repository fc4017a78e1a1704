"""What a provider's connections may go to is judged by the address that is connected to."""

import asyncio
import socket

import pytest

from proxy.errors import UpstreamError
from proxy.upstream import Upstream
from routing.destinations import Destinations


def connect(url: str, destinations: Destinations, resolved: list[str] | None = None) -> str:
    """Try to connect; gives the error, or nothing. `resolved`: what the host's name means in place of what it does."""

    async def attempt() -> str:
        loop = asyncio.get_running_loop()
        if resolved is not None:

            async def getaddrinfo(host, port, **options):
                families = [(socket.AF_INET6 if ":" in address else socket.AF_INET, address) for address in resolved]
                return [(family, socket.SOCK_STREAM, 6, "", (address, port)) for family, address in families]

            loop.getaddrinfo = getaddrinfo
        try:
            connection = await Upstream("p", url, connect_timeout=3, max_retries=0, destinations=destinations).connect()
        except UpstreamError as error:
            return str(error)
        connection.abort()
        return ""

    return asyncio.run(attempt())


@pytest.fixture
def listener():
    with socket.create_server(("0.0.0.0", 0)) as sock:
        sock.settimeout(5)
        yield sock


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "127.0.0.9", "localhost", "rebound.example"])  # fmt: skip
def test_a_server_does_not_call_itself_however_it_is_written(listener, host):
    port = listener.getsockname()[1]
    resolved = ["127.0.0.1"] if host == "rebound.example" else None
    said = connect(f"http://{host}:{port}", Destinations(own=frozenset({("0.0.0.0", port)})), resolved)
    assert "LunaRoute's own address" in said
    assert not connect(f"http://{host}:{port}", Destinations(), resolved), "somebody else's server may be there"


def test_nor_at_an_address_of_the_machine(listener):
    port, own = listener.getsockname()[1], socket.gethostbyname(socket.gethostname())
    assert "LunaRoute's own address" in connect(
        f"http://{own}:{port}", Destinations(own=frozenset({("0.0.0.0", port)}))
    )


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "fe80::1", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "::ffff:169.254.169.254",
     "64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::1", "2001:0:a9fe::1", "0.0.0.1", "224.0.0.1"],
)  # fmt: skip
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_name_that_means_another_address_a_moment_later_is_not_followed(address, scheme):
    said = connect(f"{scheme}://api.example.com", Destinations(), [address])
    assert "may not be asked" in said
    assert "allowed_addresses" in said


def test_of_several_addresses_those_that_may_be_asked_are(listener):
    port = listener.getsockname()[1]
    assert not connect(f"http://api.example.com:{port}", Destinations(), ["169.254.169.254", "127.0.0.1"])
