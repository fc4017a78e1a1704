"""The sockets that the server listens on: one for each address of the host, and for each web process."""

import errno
import socket
import ssl
import sys
from typing import Any

BACKLOG = 1024
# Seconds of silence after which the system asks whether a client is still there.
KEEPALIVE = 60
# Where the kernel shares new connections out among sockets of one port; elsewhere the last one would get them all.
CAN_SHARE = sys.platform == "linux"


class ListenError(Exception):
    """Why the server cannot listen there, in one line."""


def listen(host: str, port: int, processes: int = 1) -> list[list[socket.socket]]:
    """Give the sockets of each web process. All of a process's have the same port, a free one where `port` is 0.

    Several processes get sockets of their own, so that each has its share of the connections; where the system cannot
    do that they share one, and who is free takes what comes.
    """
    shares = processes if CAN_SHARE else 1
    first = _listen(host, port, shares > 1)
    port = first[0].getsockname()[1]
    if shares == 1:
        return [first] * processes
    return [first, *(_listen(host, port, True, is_ours=True) for _ in range(shares - 1))]


def url(host: str, port: int, scheme: str = "http") -> str:
    """Give the address for a client on this machine."""
    host = "127.0.0.1" if host in ("localhost", "0.0.0.0", "::", "") else host
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def trust(tls: Any) -> ssl.SSLContext | bool:
    """Give what this machine's own requests to the server trust: with `tls` its certificate, whatever name that is for."""
    if tls is None:
        return True
    context = ssl.create_default_context(cafile=tls.certificate)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # whoever signed it
    return context


def _listen(host: str, port: int, is_shared: bool, is_ours: bool = False) -> list[socket.socket]:
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        raise ListenError(f"host {host}: does not resolve to an address of this machine") from None
    listeners: list[socket.socket] = []
    for family, kind, proto, _, address in addresses:
        if port == 0 and listeners:  # the same free port on every address
            address = (address[0], listeners[0].getsockname()[1], *address[2:])
        try:
            if is_shared and not is_ours:
                _bound(family, kind, proto, address, False).close()  # a port is shared with nobody else
            listener = _bound(family, kind, proto, address, is_shared)
        except OSError as error:
            if family == socket.AF_INET6 and len(addresses) > 1 and error.errno != errno.EADDRINUSE:
                continue  # a machine without IPv6
            raise ListenError(
                f"port {port}: cannot listen on {host}:{port} ({error.strerror}); --port or LUNAROUTE_PORT picks another"
            ) from None
        listener.listen(BACKLOG)
        listeners.append(listener)
    return listeners


def _bound(family: int, kind: int, proto: int, address: tuple, is_shared: bool) -> socket.socket:
    listener = socket.socket(family, kind, proto)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Inherited by its connections: a client that has vanished while it waited for an answer is noticed.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE)
        if is_shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener
