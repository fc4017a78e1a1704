"""TLS with given certificates: the context, and how a connection under it is handed to Daphne.

A plain connection is handed over as a socket. One under TLS has a state that lives in its asyncio transport: that stays,
and looks to Twisted's protocols like a transport of their own.
"""

import asyncio
import logging
import ssl
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IPushProducer, ITransport
from twisted.python.failure import Failure
from zope.interface import implementer

from lunaroute_site.config_team import Tls

logger = logging.getLogger("lunaroute.server")


class Certificates:
    """The context of all connections; a certificate that was renewed is taken up by those that come later."""

    def __init__(self, tls: Tls) -> None:
        """Raises OSError and ssl.SSLError for files that cannot be read or do not belong together."""
        self._tls = tls
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_alpn_protocols(["http/1.1"])
        self._seen = self._times()
        self.context.load_cert_chain(tls.certificate, tls.key)

    def look(self) -> None:
        """Load the files again where they have changed. One that does not work leaves all as it is."""
        times = self._times()
        if times == self._seen or None in times:
            return
        self._seen = times
        try:
            # First beside it: what fails half-way would leave a certificate without its key.
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(self._tls.certificate, self._tls.key)
            self.context.load_cert_chain(self._tls.certificate, self._tls.key)
            logger.info("%s: the renewed certificate is in use", self._tls.certificate)
        except (OSError, ssl.SSLError) as error:
            logger.error("%s: cannot be used, the one before it still is: %s", self._tls.certificate, error)

    def _times(self) -> tuple[float | None, ...]:
        return tuple(_time_of(path) for path in (self._tls.certificate, self._tls.key))


def _time_of(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


@implementer(ITransport, IPushProducer)
class TlsTransport(asyncio.Protocol):
    """A Twisted transport over asyncio's. (No ISSLTransport: autobahn would look for Twisted's own TLS beneath it.)"""

    disconnecting = False

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.protocol: Any = None
        self._producer: Any = None
        self._is_streaming = False

    # -- asyncio's side ------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self.protocol.dataReceived(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._producer = None
        self.protocol.connectionLost(Failure(exc or ConnectionError("the connection has ended")))

    def pause_writing(self) -> None:
        if self._producer is not None and self._is_streaming:
            self._producer.pauseProducing()

    def resume_writing(self) -> None:
        if self._producer is not None:
            self._producer.resumeProducing()

    @property
    def unread(self) -> int:
        """Bytes that wait for the client to read."""
        return self._transport.get_write_buffer_size()

    # -- Twisted's ------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def writeSequence(self, parts: list[bytes]) -> None:  # noqa: N802 (Twisted's name)
        self._transport.write(b"".join(parts))

    def loseConnection(self, *_: Any) -> None:  # noqa: N802
        self.disconnecting = True
        self._transport.close()

    def abortConnection(self) -> None:  # noqa: N802
        self.disconnecting = True
        self._transport.abort()

    def registerProducer(self, producer: Any, streaming: bool) -> None:  # noqa: N802
        self._producer, self._is_streaming = producer, streaming
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:  # noqa: N802
        self._producer = None

    def pauseProducing(self) -> None:  # noqa: N802
        self._transport.pause_reading()

    def resumeProducing(self) -> None:  # noqa: N802
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def stopProducing(self) -> None:  # noqa: N802
        self.loseConnection()

    def getPeer(self) -> IPv4Address | IPv6Address:  # noqa: N802
        return self._address("peername")

    def getHost(self) -> IPv4Address | IPv6Address:  # noqa: N802
        return self._address("sockname")

    def setTcpNoDelay(self, enabled: bool) -> None:  # noqa: N802
        """asyncio has seen to that."""

    def setTcpKeepAlive(self, enabled: bool) -> None:  # noqa: N802
        """Nobody asks for it."""

    def _address(self, which: str) -> IPv4Address | IPv6Address:
        address = self._transport.get_extra_info(which)
        return (IPv6Address if ":" in address[0] else IPv4Address)("TCP", address[0], address[1])
