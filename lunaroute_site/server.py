"""Daphne, with the data plane in its loop.

Daphne serves LunaRoute's own pages, API and WebSockets as it always does. In front of it stands the data plane's
protocol (proxy/protocol.py) on the same port and in the same event loop: it takes every connection, serves what goes
to a provider, and hands a connection whose next request is for LunaRoute itself to Daphne. Such an answer closes its
connection, so each request is looked at by the data plane first.
"""

import asyncio
import logging
import os
import resource
import signal
import socket
from contextlib import suppress
from functools import partial
from io import BytesIO

import uvloop
from django.conf import settings
from twisted.internet import asyncioreactor

# Before anything else of Twisted or Daphne is imported: they install a reactor of their own otherwise. This module is
# therefore only imported in the process that serves, after it was forked.
asyncioreactor.install(uvloop.new_event_loop())

from autobahn.exception import Disconnected  # noqa: E402
from daphne.http_protocol import HTTPFactory, WebRequest  # noqa: E402
from daphne.server import Server as DaphneServer  # noqa: E402
from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol  # noqa: E402
from twisted.internet import reactor  # noqa: E402
from twisted.logger import globalLogBeginner  # noqa: E402
from twisted.web.http import HTTPChannel  # noqa: E402

from lunaroute_site.peers import Peers  # noqa: E402
from lunaroute_site.tls import Certificates, TlsTransport  # noqa: E402
from proxy import descriptors, last_words, state  # noqa: E402
from proxy import link as limits  # noqa: E402
from proxy.forwarded import place_of  # noqa: E402
from proxy.handler import DataPlane  # noqa: E402
from proxy.link import RecorderLink  # noqa: E402
from proxy.protocol import HttpProtocol, ServerContext  # noqa: E402
from proxy.targets import is_printable, split  # noqa: E402
from proxy.waiting import BODY, UNUSED, Limits, Pace, Room  # noqa: E402

logger = logging.getLogger("lunaroute.server")

# Seconds: for streams to end when cut, and between two sweeps.
CUT_TIMEOUT, SWEEP_EVERY = 2, 5
# Seconds for a TLS handshake.
HANDSHAKE_TIMEOUT = 15
# Seconds that a page may take to read one message, and the most bytes of one that a page may send.
MESSAGE_TIMEOUT, MAX_MESSAGE = 20, 1 << 20
GOING_AWAY = 1001  # RFC 6455, section 7.4.1
# The answer to a request of whose body too little comes.
TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class OwnRequest(WebRequest):
    """Daphne's request without some of its habits."""

    _received = 0  # bytes of the body

    # Twisted would parse a form's body with the email package before Django parses it again.
    _parsePOSTFormSubmission = False

    def gotLength(self, length: int | None) -> None:  # noqa: N802 (Twisted's name)
        # Twisted puts what is long into a temporary file; it may be a text to try redaction on.
        self.content = BytesIO()
        self.channel.has_head = True

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802 (Twisted's name)
        self._received += len(data)
        self.channel.moved = self._received
        if self._received <= settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            self.content.write(data)

    def isSecure(self) -> bool:  # noqa: N802 (Twisted's name)
        return self.channel is not None and isinstance(self.channel.transport, TlsTransport)

    def process(self) -> None:
        # Daphne would believe any client where the application's paths begin; a WebSocket's request goes on from here too.
        self.requestHeaders.removeHeader(b"daphne-root-path")
        is_websocket = self.requestHeaders.getRawHeaders(b"upgrade", [b""])[0].lower() == b"websocket"  # as Daphne asks
        self.channel.begin_answer()
        refused = self._take_target()
        lengths = self.requestHeaders.getRawHeaders(b"content-length", [b"0"])
        has_body = lengths != [b"0"] or self.requestHeaders.hasHeader(b"transfer-encoding")
        if is_websocket and not has_body and not refused:
            self.channel.leave_room()  # which would hear nothing of its end
            super().process()
            return
        # The next request on this connection may be for a provider: it begins on a new one.
        self.channel.persistent = False
        self.responseHeaders.setRawHeaders(b"connection", [b"close"])
        if refused:
            self.basic_error(400, b"Bad Request", refused)
        elif is_websocket:
            self.basic_error(400, b"Bad Request", "A request for a WebSocket has no body.")
        elif self._received > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            limit = f"{settings.DATA_UPLOAD_MAX_MEMORY_SIZE:,} bytes"
            self.basic_error(413, b"Content Too Large", f"LunaRoute's own pages take up to {limit}.")
        else:
            super().process()

    def _take_target(self) -> str:
        """Take host and path from the target; give why the request is refused, or "" (RFC 9112, section 3.2)."""
        hosts = self.requestHeaders.getRawHeaders(b"host", [])
        if len(hosts) > 1 or (not hosts and self.clientproto != b"HTTP/1.0"):
            return "A request has one Host header."
        if not is_printable(self.uri):
            return "The request's target has characters that no address has."
        host, self.uri = split(self.uri)
        self.path = self.uri.partition(b"?")[0]
        if host is not None:
            self.requestHeaders.setRawHeaders(b"host", [host])
        return ""

    def handle_exception(self, exception: Exception) -> None:
        """Answer 500; where an answer has begun, end the connection so that the client sees that it is not complete."""
        if self.finished or self.channel is None:
            return
        if not self._response_started:
            super().handle_exception(exception)
        elif self.chunked:
            self.loseConnection()  # what was written still goes out; the framing tells that more was due
        else:
            self.channel.transport.abortConnection()


class OwnChannel(HTTPChannel):
    """Twisted's connection, which ends where its client lets it wait for a head, a body, or a reader of the answer."""

    has_head = is_whole = False
    moved = 0  # bytes of the request's body, then of the answer as far as it was written

    def connectionMade(self) -> None:  # noqa: N802 (Twisted's name)
        self.room: Room = self.factory.server.context.room
        self._clock = self.factory.server.loop.time
        self._since, self._pace = self._clock(), Pace()
        peer = self.transport.getPeer()
        self._address = place_of(peer.host)
        self.room.come(self, self._address, 0 if isinstance(self.transport, TlsTransport) else self.transport.fileno())
        super().connectionMade()

    def connectionLost(self, reason) -> None:  # noqa: N802 (Twisted's name)
        self.leave_room()
        super().connectionLost(reason)

    def leave_room(self) -> None:
        self.room.gone(self, self._address)

    def begin_answer(self) -> None:
        """Note that the request is whole."""
        self.is_whole, self.moved, self._pace = True, 0, Pace()

    def write(self, data: bytes) -> None:
        self.moved += len(data)
        super().write(data)

    def writeSequence(self, parts) -> None:  # noqa: N802 (Twisted's name)
        self.moved += sum(map(len, parts))
        super().writeSequence(parts)

    def client(self) -> str:
        """Give the address that it counts for."""
        return self._address

    def waits(self) -> tuple[int, float] | None:
        """Give what for and since when it waits for its client (proxy/waiting.py)."""
        return None if self.is_whole else (BODY if self.has_head else UNUSED, self._since)

    def drop(self) -> None:
        """End it for want of room."""
        self.transport.abortConnection()

    def look(self, now: float) -> None:
        """End it where its client has kept everybody waiting for too long."""
        limits = self.room.limits
        if self.is_whole:
            unread = _unread(self.transport)
            if self._pace.is_too_slow(now, self.moved - unread, unread > 0, limits):
                self.transport.abortConnection()
        elif not self.has_head:
            if now - self._since > limits.head:
                self.transport.abortConnection()
        elif self._pace.is_too_slow(now, self.moved, True, limits):
            self.transport.write(TIMED_OUT)
            self.is_whole = True  # whether this is read
            self.loseConnection()


def _unread(transport) -> int:
    """Give how many bytes wait for the client to read."""
    if isinstance(transport, TlsTransport):
        return transport.unread
    return len(transport.dataBuffer) - transport.offset + transport._tempDataLen


class OwnSocket(WebSocketProtocol):
    """Daphne's WebSocket with back-pressure: it takes the next message when the client has read the one before."""

    _room: asyncio.Future | None = None  # done when the transport has room again

    def onOpen(self) -> None:  # noqa: N802 (Twisted's name)
        self.unregisterProducer()  # what it was before the upgrade
        self.registerProducer(self, True)
        super().onOpen()

    def pauseProducing(self) -> None:  # noqa: N802 (Twisted's name)
        self._room = self._room or asyncio.get_running_loop().create_future()

    def resumeProducing(self) -> None:  # noqa: N802 (Twisted's name)
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    def stopProducing(self) -> None:  # noqa: N802 (Twisted's name)
        self.resumeProducing()

    async def drained(self) -> None:
        """Wait until the client has read what was sent; cut it off if it does not."""
        if self._room is not None:
            try:
                await asyncio.wait_for(asyncio.shield(self._room), MESSAGE_TIMEOUT)
            except TimeoutError:
                self.transport.abortConnection()

    def handle_reply(self, message: dict) -> None:
        """Take what the application sends; Daphne would leave out the reason of a close."""
        if message["type"] == "websocket.close" and self.state != self.STATE_CONNECTING:
            self.sendCloseFrame(message.get("code") or 1000, (message.get("reason") or "").encode()[:123])
        else:
            super().handle_reply(message)

    def sendMessage(self, *arguments, **options) -> None:  # noqa: N802 (autobahn's name)
        # The limit is for what clients send; autobahn would hold us to it too.
        limit, self.maxMessagePayloadSize = self.maxMessagePayloadSize, 0
        try:
            super().sendMessage(*arguments, **options)
        except Disconnected:
            pass  # the page has gone; the application hears of that in a moment
        finally:
            self.maxMessagePayloadSize = limit

    def go_away(self) -> None:
        """Close because the server stops."""
        if self.state == self.STATE_OPEN:
            self.sendCloseFrame(GOING_AWAY, b"LunaRoute is stopping")


class OwnFactory(HTTPFactory):
    """Makes Daphne's protocols for connections that the data plane hands over."""

    protocol = OwnChannel

    def buildProtocol(self, addr):  # noqa: N802 (Twisted's name)
        protocol = super().buildProtocol(addr)
        protocol.requestFactory = OwnRequest
        return protocol


class Server(DaphneServer):
    """Daphne's server on sockets that are listening already.

    `link` gets the recorder's sockets through `control`, a stream socket from the supervisor, and `peers` those of the
    other web processes; its end means that the supervisor is gone, and ends the server.
    """

    def __init__(
        self,
        application,
        listeners: list[socket.socket],
        control: socket.socket,
        link: RecorderLink | None,
        peers: Peers | None = None,
    ) -> None:
        # Daphne insists on an endpoint; `run` listens on the sockets instead.
        super().__init__(application, endpoints=["unused"], signal_handlers=False, verbosity=0, server_name="lunaroute")
        self.sockets, self.control, self.link, self.peers = listeners, control, link, peers
        self._servers: list[asyncio.Server] = []
        tls = settings.LUNAROUTE.tls
        self._certificates = Certificates(tls) if tls is not None else None
        self._stopping: asyncio.Task | None = None
        self._told_progress_at = 0.0
        self._hurry = self._is_full = self._has_excess = False

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; streams in flight get `http_server.drain_secs`."""
        loop = self.loop = reactor._asyncioEventloop
        asyncio.set_event_loop(loop)
        globalLogBeginner.beginLoggingTo([_log_failure], redirectStandardIO=False, discardBuffer=True)
        self.connections = {}
        self.http_factory = OwnFactory(self)
        self._set_up_websockets()
        http = settings.LUNAROUTE.http_server
        limits = Limits(
            http.head_timeout_secs, http.body_timeout_secs, http.min_body_bytes_per_sec, http.idle_timeout_secs,
            http.max_unfinished_per_client,
        )  # fmt: skip
        room = Room(limits, state.current.trusted)
        descriptors.make_room = room.make_room
        self.context = ServerContext(DataPlane(), loop, state.current.max_body, self.hand_over, room)
        # A limit that is shorter than the time between two sweeps would be kept late.
        self._sweep_every = min(SWEEP_EVERY, limits.head / 2, limits.body / 2, limits.idle / 2)
        reactor.callLater(1, self.application_checker)
        reactor.callLater(2, self.timeout_checker)
        reactor.callWhenRunning(lambda: loop.create_task(self._start()))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        reactor.run(installSignalHandlers=False)

    def _set_up_websockets(self) -> None:
        self.ws_factory = WebSocketFactory(self, server=self.server_name)
        self.ws_factory.setProtocolOptions(
            autoPingTimeout=self.ping_timeout,
            allowNullOrigin=True,
            openHandshakeTimeout=self.websocket_handshake_timeout,
            maxMessagePayloadSize=MAX_MESSAGE,
            maxFramePayloadSize=MAX_MESSAGE,
        )
        self.ws_factory.protocol = OwnSocket
        self.ws_factory.protocol.autoPingInterval = self.ping_interval

    def create_application(self, protocol, scope: dict) -> asyncio.Queue | None:
        """Run the application for a request or socket; gives the queue of what it receives."""
        queue = super().create_application(protocol, scope)
        if queue is not None:
            application = self.connections[protocol]["application_instance"]
            application.add_done_callback(partial(self._application_ended, protocol))
        return queue

    def _application_ended(self, protocol, application: asyncio.Future) -> None:
        """See to its exception at once, where Daphne's checker would within a second."""
        details = self.connections.get(protocol, {})
        details.pop("application_instance", None)
        if application.cancelled() or (exception := application.exception()) is None:
            return
        logger.error("an answer of LunaRoute's own broke off: %s", exception, exc_info=exception)
        if details and "disconnected" not in details:
            protocol.handle_exception(exception)

    async def handle_reply(self, protocol, message: dict) -> None:
        """Pass on what an application sends; it goes on when a WebSocket's client has read that."""
        await super().handle_reply(protocol, message)
        if isinstance(protocol, OwnSocket):
            await protocol.drained()

    async def _start(self) -> None:
        self.control.setblocking(False)
        self.loop.add_reader(self.control.fileno(), self._from_supervisor)
        self._servers = [
            await self.loop.create_server(
                lambda: HttpProtocol(self.context),
                sock=listener,
                backlog=1024,
                ssl=self._certificates.context if self._certificates is not None else None,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT if self._certificates is not None else None,
            )
            for listener in self.sockets
        ]
        self.loop.call_later(self._sweep_every, self._sweep)

    def _sweep(self) -> None:
        self.context.sweep()
        self._tell_of_room()
        if self._certificates is not None:
            self._certificates.look()
        self.loop.call_later(self._sweep_every, self._sweep)

    def _tell_of_room(self) -> None:
        """Say once when connections had to go, and again when that has ended and comes back."""
        room = self.context.room
        if room.dropped and not self._is_full:
            limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            logger.error(
                "%d connections, and no more than %d descriptors: those on which no whole request has come are closed, and where "
                "all have one further requests get a 503; `ulimit -n` (LimitNOFILE) sets that limit", len(room), limit
            )  # fmt: skip
        if room.excess and not self._has_excess:
            logger.warning(
                "a client has more than %d connections on which no whole request has come: the oldest are closed "
                "(http_server.max_unfinished_per_client)", room.limits.unfinished
            )  # fmt: skip
        self._is_full, self._has_excess = room.dropped > 0, room.excess > 0
        room.dropped = room.excess = 0

    def _from_supervisor(self) -> None:
        try:
            data, fds, _, _ = socket.recv_fds(self.control, 1, 1)  # a letter, and the socket that it is about
        except BlockingIOError:
            return
        for fd in fds:
            line = socket.socket(fileno=fd)
            takes = self.peers if data == b"P" else self.link
            if takes is not None:
                self.loop.create_task(takes.attach(line))
        if not data:
            self.loop.remove_reader(self.control.fileno())
            self.stop()

    def hand_over(self, transport: asyncio.Transport, data: bytes) -> None:
        """Give a connection to Daphne, with the bytes that have come of its request."""
        if self._certificates is not None:
            under = TlsTransport(transport)
            under.protocol = self.http_factory.buildProtocol(under.getPeer())
            transport.set_protocol(under)
            under.protocol.makeConnection(under)
            under.protocol.dataReceived(data)
            return
        sock = transport.get_extra_info("socket")
        transport.pause_reading()
        try:
            family, fd = sock.family, os.dup(sock.fileno())
        except OSError:  # no descriptor is left
            transport.abort()
            return
        transport.abort()
        if family not in (socket.AF_INET, socket.AF_INET6):
            os.close(fd)
            return
        # The reactor duplicates the descriptor again for its own use.
        reactor.adoptStreamConnection(fd, family, _Replaying(self.http_factory, data))
        os.close(fd)

    def stop(self) -> None:
        """Begin to stop; a second call ends what is still running."""
        if self._stopping is None:
            self._stopping = self.loop.create_task(self._drain())
        else:
            self._hurry = True

    async def _drain(self) -> None:
        http = settings.LUNAROUTE.http_server
        state.current.stopping = True  # /readyz says so; a load balancer needs time to see it
        end = self.loop.time() + http.announce_stop_secs
        while self.loop.time() < end and not self._hurry:
            await asyncio.sleep(0.02)
        for server in self._servers:
            server.close()
        self.context.drain()
        for protocol in list(self.connections):
            if isinstance(protocol, OwnSocket):
                protocol.go_away()
        deadline = self.loop.time() + http.drain_secs
        while self.context.connections and self.loop.time() < deadline and not self._hurry:
            await asyncio.sleep(0.02)
        state.current.cutting = True
        await self._cut()
        if self.link is not None:
            await self._finish_record(self.link)
        for target in state.current.targets.values():
            target.upstream.close()
        for details in self.connections.values():
            if "application_instance" in details:
                details["application_instance"].cancel()
        reactor.stop()

    async def _finish_record(self, link: RecorderLink) -> None:
        """Wait until all that was answered is on record, and tell the supervisor how much is not."""
        if not await link.drained(limits.HANGS_AFTER, self._tell_progress) and not link.trouble.why:
            self._tell_supervisor(last_words.REPLACE_RECORDER)  # it hangs, perhaps
            await link.drained(limits.PATIENCE, self._tell_progress)
        waiting = link.unacknowledged()
        why = "there was no more memory for what waited to be recorded"
        if waiting:
            why = link.trouble.why or ("the recorder does not answer" if link.is_attached else "there is no recorder")
        link.close()
        self._tell_supervisor(last_words.Missing(waiting + link.unrecorded, why).packed())

    def _tell_progress(self) -> None:
        """Tell the supervisor, each second at most, that waiting for the record is worth it."""
        if self.loop.time() > self._told_progress_at + 1:
            self._told_progress_at = self.loop.time()
            self._tell_supervisor(last_words.PROGRESS)

    def _tell_supervisor(self, data: bytes) -> None:
        with suppress(OSError):  # it has gone, and so does this process
            self.control.send(data)

    async def _cut(self) -> None:
        """Cut all connections, and wait until what was under way on them has noted its end for the record."""
        connections = list(self.context.connections)
        tasks = [c.cycle.task for c in connections if c.cycle is not None and c.cycle.task is not None]
        for connection in connections:
            connection.transport.abort()
        if tasks:
            await asyncio.wait(tasks, timeout=CUT_TIMEOUT)


class _Replaying:
    """A factory for one adopted connection: what had been read from it comes first."""

    def __init__(self, factory: OwnFactory, data: bytes) -> None:
        self._factory, self._data = factory, data

    def doStart(self) -> None:  # noqa: N802 (Twisted's name)
        pass

    def doStop(self) -> None:  # noqa: N802 (Twisted's name)
        pass

    def buildProtocol(self, addr):  # noqa: N802 (Twisted's name)
        protocol = self._factory.buildProtocol(addr)
        reactor.callLater(0, protocol.dataReceived, self._data)
        return protocol


def _log_failure(event: dict) -> None:
    """Twisted's own chatter is left out; what went wrong is not."""
    if "log_failure" in event:
        logger.error("%s", event["log_failure"].getTraceback().rstrip())
