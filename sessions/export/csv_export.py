"""A session as a table: a line for each exchange."""

import csv
from collections.abc import Generator
from io import StringIO

from sessions.export.parts import parts
from sessions.models import Session

COLUMNS = (
    "request_id", "kind", "client", "provider", "dialect", "method", "path", "model_requested", "model_used",
    "is_streaming", "status", "success", "error", "finish_reason", "started_at", "completed_at", "duration_ms",
    "provider_latency_ms", "time_to_first_token_ms", "overhead_before_ms", "overhead_after_ms", "request_bytes",
    "response_bytes", "message_count", "messages_from", "input_tokens", "output_tokens", "thinking_tokens",
    "cache_read_tokens", "cache_creation_5m_tokens", "cache_creation_1h_tokens", "total_tokens", "cost_usd",
)  # fmt: skip
# What a spreadsheet takes for a formula where a cell begins with it (OWASP, "CSV Injection").
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_lines(session: Session) -> Generator[bytes, None, None]:
    """RFC 4180, with a head; texts that a spreadsheet would run have an apostrophe before them."""
    yield _line(("session_id", *COLUMNS))
    for rows in parts(session):
        yield b"".join(_line((session.session_id, *(getattr(row, name) for name in COLUMNS))) for row in rows)


def _line(values: tuple) -> bytes:
    out = StringIO()
    csv.writer(out).writerow([_cell(value) for value in values])
    return out.getvalue().encode("utf-8", "replace")


def _cell(value: object) -> object:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA) else value
    return value.isoformat() if hasattr(value, "isoformat") else value
