"""One request on its way: where it goes, when what happened, and its capture."""

import asyncio
import gc
from bisect import bisect_left
from collections.abc import Mapping
from functools import cached_property
from time import perf_counter, time_ns
from uuid import uuid4

from proxy import state
from proxy.capture import PAUSES, Begin, End, ResponseHead, Routing
from proxy.connection import Connection
from proxy.handler import ErrorResponse, ProxyRequest, RawResponse
from proxy.headers import end_to_end, for_record
from proxy.identity import with_own_project
from proxy.stops import Stop
from routing.board import Ticket

# Seconds until the memory of failed exchanges is collected.
TIDY_AFTER = 0.25


class Exchange:
    """A request, the provider that it goes to, and what is known of its answer so far."""

    stop: Stop | None = None  # why an upgraded connection ended
    stop_told = False

    def __init__(self, request: ProxyRequest, listener: str, target: state.Target) -> None:
        self.scope, self.target, self.listener = request.scope, target, listener
        self.started = perf_counter()
        self.sent = self.first_in = self.chunk_in = self.first_out = 0.0
        self.read_at = self.started  # when what is sent first of the request was there
        self.routed_in = 0.0  # seconds from then until it was ready to be sent, without those that are lost
        self.lost = 0.0  # seconds that providers took which were asked in vain
        self.last_chunk = 0.0
        self.pauses: list[int] = []
        self.status = 0  # of the client's answer; 0: none yet
        self.request_bytes = self.response_bytes = self.chunks = 0
        self.attempts = 0
        self.body: list[bytes] | None = []  # what was read, until the provider has answered; None: too much to keep
        self.body_complete = False
        self.pump: asyncio.Task | None = None
        self.connection: Connection | None = None
        self.capture = None
        self.routing: Routing | None = None
        self.ticket: Ticket | None = None  # of the provider whose answer is passed on
        self.has_unknown_marker = False
        self._has_begun = self._has_ended = False
        self._started_us = time_ns() // 1000

    @cached_property
    def request_id(self) -> str:
        """The exchange's own id."""
        return str(uuid4())

    def begin(self, metadata: Mapping[str, str]) -> None:
        """Begin the capture. Once is enough."""
        link = state.current.link
        if link is None or self._has_begun:
            return
        self._has_begun = True
        scope = self.scope
        self.capture = link.begin(
            Begin(
                request_id=self.request_id,
                method=scope["method"],
                path=scope["raw_path"].decode("latin-1"),
                query=scope["query_string"].decode("latin-1"),
                headers=for_record(scope["headers"]),
                listener=self.listener,
                provider=self.target.name,
                provider_type=self.listener,
                client_ip=scope["client"][0] if scope["client"] else "",
                started_us=self._started_us,
                upgrade=scope.get("upgrade", False),
                metadata=dict(with_own_project(scope, metadata)),
                owner=scope.get("owner", ""),
            )
        )
        if self.capture is not None:
            for data in self.body or ():
                self.capture.request_body(data)
            if self.body_complete:
                self.capture.request_end()

    def head(self, chunked: bool) -> bytes:
        """Give the request's head for the provider."""
        scope, target = self.scope, self.target
        raw = raw_target(scope)
        lines = [
            b"%b %b HTTP/1.1\r\nHost: %b\r\n"
            % (scope["method"].encode(), target.upstream.target(raw), target.upstream.authority)
        ]
        lines += [b"%b: %b\r\n" % header for header in end_to_end(scope["headers"], target.dropped)]
        if target.added:
            lines.append(target.added)
        if chunked:
            lines.append(b"Transfer-Encoding: chunked\r\n")
        if scope.get("upgrade"):
            lines.append(b"Connection: Upgrade\r\nUpgrade: websocket\r\n")
        lines.append(b"\r\n")
        return b"".join(lines)

    def chunk(self, size: int) -> None:
        """Count a chunk of the answer, and how long it kept the client waiting."""
        now = perf_counter()
        if self.chunks:
            if not self.pauses:
                self.pauses = [0] * (len(PAUSES) + 1)
            self.pauses[bisect_left(PAUSES, now - self.last_chunk)] += 1
        elif not self.chunk_in:
            self.chunk_in = now
        self.last_chunk = now
        self.chunks += 1
        self.response_bytes += size

    def request_complete(self) -> None:
        """Note that the request's body has come in full."""
        self.body_complete = True
        if self.capture is not None:
            self.capture.request_end()

    def abandon(self, error: str, message: str) -> None:
        """Cut the connection to the provider, at once, and record why."""
        if self.pump is not None:
            self.pump.cancel()
        if self.connection is not None:
            self.connection.abort()
        self.finish(error, message)
        _tidy_soon()

    def leave(self, when: str) -> None:
        """End because nobody waits for the answer any more."""
        if state.current.cutting:
            self.abandon("shutdown", f"LunaRoute was stopped {when}")
        elif "fault" in self.scope:
            self.abandon(*self.scope["fault"])
        else:
            self.abandon("client_disconnected", f"the client went away {when}")

    def finish(self, error: str | None = None, message: str | None = None) -> None:
        """Close the capture with the clock readings (milliseconds). Once; what comes later is left out."""
        if self._has_ended:
            return
        self._has_ended = True
        self.begin(self.target.metadata)  # where it ends before anybody was asked
        if self.capture is not None:
            self.capture.end(self._end(error, message))
        else:
            end = self._end(error, message)
            state.current.tell_unrecorded(self.listener, self.target.name, self.request_id, self.status, end)

    def _end(self, error: str | None, message: str | None) -> End:
        now, was_sent = perf_counter(), bool(self.sent)
        before = (self.sent or now) - self.started - self.lost
        return End(
            completed_us=time_ns() // 1000,
            duration_ms=(now - self.started) * 1e3,
            overhead_before_ms=before * 1e3,
            overhead_after_ms=max(self.first_out - self.chunk_in, 0.0) * 1e3 if self.first_out else 0.0,
            provider_latency_ms=(now - self.sent) * 1e3 if was_sent else None,
            first_byte_ms=(self.first_in - self.sent) * 1e3 if was_sent and self.first_in else None,
            request_bytes=self.request_bytes,
            response_bytes=self.response_bytes,
            chunk_count=self.chunks,
            attempts=self.attempts,
            error=error,
            error_message=message,
            capture=self.capture.mode if self.capture is not None else "full",
            routing=self.routing,
            ingress_ms=(self.read_at - self.started) * 1e3 if was_sent else None,
            routing_ms=self.routed_in * 1e3 if was_sent else None,
            pauses=self.pauses,
            pauses_ms=(self.last_chunk - self.chunk_in) * 1e3 if self.pauses else 0.0,
        )

    def answer(self, response: RawResponse, error: str, message: str) -> RawResponse:
        """Answer in the provider's place with a whole `response`; `error` and `message` are for the record."""
        self._keep(response)
        self.abandon(error, message)
        return response

    def complete(self, response: RawResponse) -> RawResponse:
        """Answer with a whole `response` that was made of the provider's."""
        self._keep(response)
        self.finish()
        return response

    def _keep(self, response: RawResponse) -> None:
        body = response.chunks[0]
        self.begin(self.target.metadata)
        if self.capture is not None:
            self.capture.request_end()
            self.capture.response_head(ResponseHead(response.status_code, for_record(response.raw_headers)))
            self.capture.response_body(body)
        self.status = response.status_code
        self.response_bytes = len(body)
        self.chunks = 1

    def refuse(self, status: int, message: str, error: str, error_message: str) -> RawResponse:
        """Answer in the provider's place with an error that says `message`; the rest is for the record."""
        return self.answer(ErrorResponse(self.listener, status, message), error, error_message)


def raw_target(scope: dict) -> bytes:
    """Give a request's target as it came (another server's scope has path and query apart)."""
    query = scope["query_string"]
    return scope.get("raw_target") or scope["raw_path"] + (b"?" + query if query else b"")


_tidying: asyncio.TimerHandle | None = None


def _tidy_soon() -> None:
    """Collect garbage in a moment.

    The exceptions, frames and futures of an exchange that failed hold each other, and its bodies with them: a few
    objects, so the collector sees no need for a long time, but hundreds of kilobytes.
    """
    global _tidying
    if _tidying is None:
        _tidying = asyncio.get_running_loop().call_later(TIDY_AFTER, _tidy)


def _tidy() -> None:
    global _tidying
    _tidying = None
    gc.collect()
