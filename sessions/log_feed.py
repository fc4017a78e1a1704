"""Brings what a recorder has stored to the request log, and never lets the record suffer for it."""

import logging
import sys
from collections.abc import Mapping

from pii.redactor import Redactor
from sessions.boxes import Answered, Asked
from sessions.digest import ENDED, OPENED, Event, Live
from sessions.models import Exchange
from sessions.request_log import RequestLog
from sessions.store import Batch
from sessions.terminal import Terminal

logger = logging.getLogger("lunaroute.recorder")

# Seconds between two looks at answers under way, and that the last lines may take.
EVERY, LAST = 0.1, 0.5


class LogFeed:
    """The request log of one recorder, on standard output."""

    def __init__(self, is_detailed: bool, redactor: Redactor | None) -> None:
        self.terminal = Terminal(sys.stdout.fileno())
        self._log = RequestLog(self.terminal.write, is_detailed, redactor)
        self._is_detailed = is_detailed
        self._looked_at = 0.0
        self._has_failed = False

    @property
    def due(self) -> float | None:
        """When to look again, in seconds of the clock that `look` is given; None where nothing is under way."""
        return None if self._log.is_idle or self._has_failed else self._looked_at + EVERY

    def stored(self, events: list[Event], batches: list[Batch], now: float) -> None:
        """Log what has been stored; what could not be is redacted by nobody, and only its end is told."""
        if self._has_failed:
            return
        created = {name: row for batch in batches for name, row in batch.created.items()}
        changed = {name: row for batch in batches for name, row in batch.changed.items()}
        try:
            for event in events:
                self._take(event, created, created | changed)
            self._log.look(now)
        except Exception:
            self._fail()
        self._looked_at = now

    def _take(self, event: Event, created: Mapping[str, Exchange], known: Mapping[str, Exchange]) -> None:
        request_id = event.live.begin.request_id
        row = created.get(request_id)
        if event.what == OPENED and row is not None:
            self._log.opened(asked(row, event.live.request if self._is_detailed else b""), event.live)
        elif event.what == ENDED:
            row = known.get(request_id)
            if row is None or row.success is None:
                self._log.ended(request_id, Answered(event.live.begin.provider, error="the answer is not on record"))
            else:
                if request_id not in created:
                    # Where a recorder before this one told of the request; nothing happens where this one did.
                    self._log.opened(asked(row, b""), event.live, is_known=True)
                self._log.ended(request_id, answered(row, event.live))

    def look(self, now: float) -> None:
        """Log what has come of answers, where it is time to."""
        if self.due is None or now < self.due:
            return
        self._looked_at = now
        try:
            self._log.look(now)
        except Exception:
            self._fail()

    def close(self, seconds: float) -> None:
        """Let the last lines be written."""
        self.terminal.close(seconds)

    def _fail(self) -> None:
        self._has_failed = True
        logger.exception("requests are logged no longer; they are recorded as before")


def asked(row: Exchange, body: bytes) -> Asked:
    """Give what the log says of a request, from its row."""
    return Asked(
        request_id=row.request_id,
        provider=row.provider,
        model=row.model_requested,
        messages=row.message_count,
        is_streaming=row.is_streaming,
        is_model=row.kind == "model",
        method=row.method,
        target=f"{row.path}?{row.query}" if row.query else row.path,
        headers=row.request_headers,
        body=body,
    )


def answered(row: Exchange, live: Live) -> Answered:
    """Give what the log says of an answer that has ended."""
    facts = live.facts
    return Answered(
        provider=row.provider,
        is_stream=live.is_stream,
        status=row.status,
        usage=facts.usage,
        finish_reason=row.finish_reason,
        error=row.error,
        blocks=() if live.is_stream else facts.blocks,
        headers=row.response_headers,
        duration_ms=row.duration_ms,
        overhead_ms=(row.overhead_before_ms or 0.0) + (row.overhead_after_ms or 0.0),
        provider_ms=row.provider_latency_ms,
        first_byte_ms=live.end.first_byte_ms,
    )
