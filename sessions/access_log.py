"""The access log: one line for each exchange that has ended, as text or as JSON. Written by the recorder, so no request
waits for it; without anything that was said."""

import sys
from collections.abc import Iterable

import orjson

from sessions.boxes import harmless
from sessions.models import Exchange
from sessions.store import Batch
from sessions.terminal import Terminal


class AccessLog:
    """Writes to standard output."""

    def __init__(self, is_json: bool, terminal: Terminal | None = None) -> None:
        self._terminal = terminal or Terminal(sys.stdout.fileno())
        self._make = as_json if is_json else as_text

    def stored(self, batches: Iterable[Batch]) -> None:
        """Write what has ended and is stored."""
        lines = [self._make(row) for batch in batches for row, _ in batch.ended]
        if lines:
            self._terminal.write(lines)

    def close(self, seconds: float) -> None:
        """Let the last lines be written."""
        self._terminal.close(seconds)


def as_text(row: Exchange) -> str:
    """Give the line for people: when, who, what, how it ended, and what it took."""
    facts = [
        f"{row.completed_at:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z",
        row.client_ip or "-",
        f'"{row.method} {row.path}"',
        str(row.status or "-"),
        row.provider,
        row.model_used or row.model_requested or "-",
        f"{row.duration_ms or 0.0:.1f}ms",
        f"{row.total_tokens}tok",
        "-" if row.cost_usd is None else f"${row.cost_usd:.4f}",
        row.request_id,
    ]
    if row.error:
        facts.append(f'"{row.error}"')
    return harmless(" ".join(facts))


def as_json(row: Exchange) -> str:
    """Give the line for programs. Times are milliseconds, but for ``time``; the cost is in USD, null where unknown."""
    entry = {
        "time": row.completed_at,
        "request_id": row.request_id,
        "session_id": row.session.session_id,
        "client": row.client,
        "client_ip": row.client_ip,
        "project": row.session.project,
        "listener": row.listener,
        "provider": row.provider,
        "model": row.model_used or row.model_requested,
        "method": row.method,
        "path": row.path,
        "status": row.status,
        "success": row.success,
        "error": row.error,
        "is_streaming": row.is_streaming,
        "attempts": row.attempts,
        "duration_ms": row.duration_ms,
        "provider_latency_ms": row.provider_latency_ms,
        "time_to_first_token_ms": row.time_to_first_token_ms,
        "proxy_overhead_ms": (row.overhead_before_ms or 0.0) + (row.overhead_after_ms or 0.0),
        "request_bytes": row.request_bytes,
        "response_bytes": row.response_bytes,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "total_tokens": row.total_tokens,
        "cost_usd": row.cost_usd,
    }
    return orjson.dumps(entry, option=orjson.OPT_UTC_Z).decode()
