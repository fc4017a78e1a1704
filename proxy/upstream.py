"""The connections to one provider: pooled, over TLS where asked, through a proxy where the environment names one."""

import asyncio
import base64
import socket
import ssl
import urllib.request
from urllib.parse import unquote, urlsplit

from proxy import descriptors
from proxy.connection import Connection
from proxy.errors import UpstreamError
from routing.destinations import Destinations, literal

# Pause before another try to connect, doubled each time. Seconds.
RETRY_PAUSE = 0.05


class Forbidden(Exception):
    """Why nothing is sent to an address, in words."""


class Upstream:
    """A provider's address and its pool of connections. Bound to the event loop that uses it.

    `connect_timeout`, `read_timeout` and `idle_timeout` are seconds.
    """

    def __init__(
        self, name: str, base_url: str, *, read_timeout: float = 600, connect_timeout: float = 10, max_idle: int = 32,
        idle_timeout: float = 600, tcp_keepalive: float = 60, max_retries: int = 3,
        destinations: Destinations | None = None,
    ) -> None:  # fmt: skip
        url = urlsplit(base_url)
        self.name = name
        self.tls = url.scheme == "https"
        self.host = url.hostname or ""
        self.port = url.port or (443 if self.tls else 80)
        self.base_path = url.path.rstrip("/").encode("ascii")
        self.authority = url.netloc.rpartition("@")[2].encode("ascii")
        self.max_retries = max_retries
        self._read_timeout, self._connect_timeout = read_timeout, connect_timeout
        self._max_idle, self._idle_timeout, self._tcp_keepalive = max_idle, idle_timeout, tcp_keepalive
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._ssl: ssl.SSLContext | None = None
        self._reaper: asyncio.TimerHandle | None = None
        self._retired = False
        self._destinations = destinations
        self._proxy, self._proxy_problem = None, ""
        try:
            self._proxy = _proxy_for(url.scheme, self.host, self.port)
        except ValueError as error:
            self._proxy_problem = str(error)
        # A plain-text request through a proxy names its target in full (RFC 9112, section 3.2.2).
        self._target_prefix = b"http://" + self.authority if self._proxy and not self.tls else b""
        self._proxy_authorization = _basic_authorization(self._proxy) if self._proxy else b""

    def target(self, raw_target: bytes) -> bytes:
        """Give the request target for the client's `raw_target`: the base path before it, with one ``/v1``."""
        base = self.base_path
        if base.endswith(b"/v1") and raw_target.startswith(b"/v1") and raw_target[3:4] in (b"", b"/", b"?"):
            base = base[:-3]
        return self._target_prefix + base + raw_target

    @property
    def proxy_headers(self) -> bytes:
        """Header lines that a plain-text request needs for the proxy in front of the provider."""
        return self._proxy_authorization if self._target_prefix else b""

    def reuse(self) -> Connection | None:
        """Take an idle connection, the most recently used first, or None."""
        loop_time = None
        while self._idle:
            connection = self._idle.pop()
            if connection.closed or connection.transport.is_closing():
                continue
            loop_time = loop_time or connection.loop.time()
            if loop_time - connection.idle_since > self._idle_timeout:
                connection.abort()
                continue
            return connection
        return None

    async def connect(self, retries: int | None = None) -> Connection:
        """Open a connection. Raises UpstreamError after `retries` further tries (None: `max_retries`), and NotServed."""
        retries = self.max_retries if retries is None else retries
        if self._proxy_problem:
            raise UpstreamError("upstream_connect", f"could not be reached: {self._proxy_problem}")
        pause = RETRY_PAUSE
        for attempt in range(retries + 1):
            try:
                async with asyncio.timeout(self._connect_timeout):
                    with descriptors.for_provider():
                        return await self._connect()
            except TimeoutError:
                message = f"did not accept a connection within {self._connect_timeout:g} s"
                raise UpstreamError("upstream_timeout", message, 504) from None
            except Forbidden as why:
                raise UpstreamError("upstream_connect", f"may not be asked: {why}") from None
            except ssl.SSLError as error:
                reason = getattr(error, "verify_message", None) or error.reason or str(error)
                raise UpstreamError("upstream_connect", f"failed the TLS handshake: {reason}") from None
            except UnicodeError:
                raise UpstreamError("upstream_connect", "could not be reached: its name is no host name") from None
            except OSError as error:
                if attempt == retries:
                    raise UpstreamError("upstream_connect", f"could not be reached: {_why(error)}") from None
            await asyncio.sleep(pause)
            pause *= 2
        raise AssertionError("unreachable")

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        connection = Connection(loop, self._back, self._lost, self._read_timeout)
        context = self._tls_context() if self.tls else None
        if self._proxy is None:
            sock = await self._reach(loop)
            await loop.create_connection(
                lambda: connection, sock=sock, ssl=context, server_hostname=self.host if context else None
            )
        elif (address := literal(self.host)) is not None and (problem := self._problem(str(address), "")):
            raise Forbidden(problem)  # what a name means is the proxy's to find out
        elif not self.tls:
            await self._reach_proxy(loop, lambda: connection)
        else:
            await self._connect_through_proxy(loop, connection, context)
        self._open.add(connection)
        sock = connection.transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tcp_keepalive:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                if hasattr(socket, "TCP_KEEPIDLE"):
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, int(self._tcp_keepalive))
        return connection

    async def _reach(self, loop: asyncio.AbstractEventLoop) -> socket.socket:
        """Connect to the first of the host's addresses that answers. Raises OSError, and Forbidden.

        The address that is looked at is the one that is connected to, whatever its name means a moment later.
        """
        failure: Exception = OSError("its name has no address")
        for family, kind, proto, _, address in await loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM):
            if problem := self._problem(address[0], ""):
                failure = Forbidden(problem)
                continue
            sock = socket.socket(family, kind, proto)
            try:
                sock.setblocking(False)
                await loop.sock_connect(sock, address)
                if problem := self._problem(sock.getpeername()[0], sock.getsockname()[0]):
                    raise Forbidden(problem)
            except (OSError, Forbidden) as error:
                sock.close()
                failure = error
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise failure

    def _problem(self, address: str, source: str) -> str:
        return self._destinations.problem(address, self.port, source) if self._destinations is not None else ""

    async def _connect_through_proxy(self, loop, connection: Connection, context: ssl.SSLContext) -> None:
        """Ask the proxy for a tunnel (RFC 9110, section 9.3.6), then speak TLS in it."""
        proxy = self._proxy
        transport, tunnel = await self._reach_proxy(loop, lambda: _Tunnel(loop))
        try:
            authority = b"%b:%d" % (self.host.encode("idna"), self.port)
            lines = (
                b"CONNECT ",
                authority,
                b" HTTP/1.1\r\nHost: ",
                authority,
                b"\r\n",
                self._proxy_authorization,
                b"\r\n",
            )
            transport.write(b"".join(lines))
            head = await tunnel.head
            status_line = head.split(b"\r\n", 1)[0].decode("latin-1")
            if not head:
                raise OSError(f"the proxy {proxy.hostname} gave no answer to CONNECT")
            if status_line.split(" ")[1:2] != ["200"]:
                raise OSError(f"the proxy {proxy.hostname} refused CONNECT: {status_line}")
            transport = await loop.start_tls(transport, connection, context, server_hostname=self.host)
        except BaseException:
            transport.abort()
            raise
        connection.connection_made(transport)

    async def _reach_proxy(self, loop, factory):
        """Connect to the proxy. Raises OSError that names it."""
        proxy, secure = self._proxy, self._proxy.scheme == "https"
        port = proxy.port or (443 if secure else 80)
        try:
            return await loop.create_connection(factory, proxy.hostname, port, ssl=secure or None)
        except OSError as error:
            raise OSError(f"the proxy {proxy.hostname}:{port} failed: {_why(error)}") from None

    def _tls_context(self) -> ssl.SSLContext:
        if self._ssl is None:
            # The system's certificates; SSL_CERT_FILE and SSL_CERT_DIR are honoured by OpenSSL itself.
            self._ssl = ssl.create_default_context()
            self._ssl.set_alpn_protocols(["http/1.1"])
        return self._ssl

    def _back(self, connection: Connection) -> None:
        if len(self._idle) < self._max_idle and not self._retired:
            connection.idle_since = connection.loop.time()
            self._idle.append(connection)
            if self._reaper is None:
                self._reaper = connection.loop.call_later(self._idle_timeout, self._reap)
        else:
            connection.transport.close()

    def _reap(self) -> None:
        """Close what has idled too long; the oldest come first."""
        self._reaper = None
        while self._idle:
            oldest = self._idle[0]
            left = oldest.idle_since + self._idle_timeout - oldest.loop.time()
            if left > 0.001:
                self._reaper = oldest.loop.call_later(left, self._reap)
                return
            self._idle.pop(0).transport.close()

    def _lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def retire(self) -> None:
        """Take no connection back: the provider is asked in another way from now on. What is under way goes on."""
        self._retired = True
        while self._idle:
            self._idle.pop().transport.close()

    def close(self) -> None:
        """Cut all connections."""
        for connection in list(self._open):
            connection.abort()


class _Tunnel(asyncio.Protocol):
    """Waits for a proxy's answer to CONNECT. ``head`` gets it, or nothing where the connection ended before."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.head: asyncio.Future[bytes] = loop.create_future()
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        if b"\r\n\r\n" in self._received and not self.head.done():
            self.head.set_result(self._received)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.head.done():
            self.head.set_result(b"")


def _proxy_for(scheme: str, host: str, port: int):
    """Give the proxy's split URL from HTTP(S)_PROXY, ALL_PROXY and NO_PROXY, or None. Raises ValueError.

    This machine itself is asked directly unless NO_PROXY is set, and so says what else is.
    """
    proxies = urllib.request.getproxies_environment()
    if host in ("localhost", "127.0.0.1", "::1") and not proxies.get("no"):
        return None
    url = proxies.get(scheme) or proxies.get("all")
    if not url or urllib.request.proxy_bypass_environment(f"{host}:{port}", proxies):
        return None
    proxy = urlsplit(url if "://" in url else "http://" + url)
    variable = f"{scheme.upper()}_PROXY" if proxies.get(scheme) else "ALL_PROXY"
    try:
        valid = bool(proxy.hostname) and (proxy.port or 1) > 0
    except ValueError:
        valid = False
    if proxy.scheme not in ("http", "https"):
        raise ValueError(
            f"{variable} names a proxy of {proxy.scheme}://, and LunaRoute knows http:// and https:// only"
        )
    if not valid:
        raise ValueError(f"{variable} is no address of a proxy")
    return proxy


def _basic_authorization(proxy) -> bytes:
    if not proxy.username:
        return b""
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
    return b"Proxy-Authorization: Basic " + base64.b64encode(pair) + b"\r\n"


def _why(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "its name does not resolve"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return error.strerror or str(error) or type(error).__name__
