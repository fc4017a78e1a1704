"""Exchanges, made again from a session's JSONL lines: the recorder's own store then takes them as if they just came."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from pii.redactor import Redactor
from proxy.capture import Begin, End, Routing
from sessions.dialects import dialect_of, kind_of, response_parser
from sessions.dialects.facts import ResponseFacts, Usage
from sessions.dialects.parsing import count, mapping, text
from sessions.digest import ENDED, OPENED, Event, Live
from sessions.models import Exchange
from sessions.rebuild import Body, Rebuilder
from sessions.store import Batch, Store

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Imported(Live):
    """An exchange whose facts stand in lines."""

    session_id: str = ""
    body_sha256: str = ""
    cost_usd: float | None = None
    recorded: ResponseFacts = field(default_factory=ResponseFacts)

    @property
    def answer(self) -> bytes:
        """The answer's bytes: lines do not have them."""
        return b""

    @property
    def facts(self) -> ResponseFacts:
        """What the lines say of the answer."""
        return self.recorded


class ImportStore(Store):
    """The recorder's store, with ids and costs as the lines have them, and hashes where nothing is redacted: that of what
    stood there before tells something about it."""

    def _session_id(self, live: Imported, *_: object) -> str:
        return live.session_id

    def _opened(self, batch: Batch, live: Imported) -> None:
        Store._opened(self, batch, live)
        if live.body_sha256 and self._redaction is None:
            batch.created[live.begin.request_id].body_sha256 = bytes.fromhex(live.body_sha256)

    def _ended(self, batch: Batch, live: Imported, row: Exchange) -> None:
        Store._ended(self, batch, live, row)
        row.cost_usd = live.cost_usd


class Session:
    """A session's lines, one after another, as events. Raises ValueError (or KeyError, TypeError) for what is no line.

    With a `redactor`, what lines say of answers and ends comes redacted; heads and requests are the store's to redact.
    """

    def __init__(self, provider_types: dict[str, str], redactor: Redactor | None = None) -> None:
        self._types, self._redactor = provider_types, redactor
        self._rebuilder = Rebuilder()
        self._headers: list[tuple[str, str]] = []  # of the latest line that has some
        self._open: dict[str, tuple[Imported, dict[str, Any]]] = {}

    def take(self, line: dict[str, Any], raw: bytes, raw_request: bytes, raw_answer: bytes) -> Iterator[Event]:
        """Take a line, decoded and `raw`; `raw_request` and `raw_answer` are the JSON of its `request_json`, `response_json`."""
        kind, request_id = line["type"], line["request_id"]
        body = self._body(raw, kind, request_id, raw_request)
        if kind == "started":
            self._open[request_id] = (self._begin(line), {})
            return
        if kind in ("stream_started", "tool_call_recorded") and request_id not in self._open:
            return  # a result may come long after the answer that asked for it
        if request_id not in self._open:
            raise ValueError(f"{kind} without a line `started` before it")
        live, answered = self._open[request_id]
        if kind == "request_recorded":
            if body is not None and count(line.get("request_size_bytes")):
                live.body_sha256 = text(line.get("body_sha256"))
                bytes.fromhex(live.body_sha256)
                live.request = body.data
                live.capture = "full" if body.is_exact else "imported" if body.data else "metadata"
            live.opened = True
            yield Event(OPENED, live)
        elif kind == "stream_started":
            live.first_token_us = live.begin.started_us + round(float(line["time_to_first_token_ms"]) * 1000)
        elif kind == "response_recorded":
            answered.update(line)
            live.status = count(line.get("status")) or 200
            answer = b"" if raw_answer == b"null" else raw_answer
            if self._redactor is not None:
                answer = self._redactor.json(answer)
                line = {**line, "model_used": self._redactor.text(text(line.get("model_used")))}
                self._count(live)
            live.recorded = _facts(live, line, answer)
        elif kind == "completed":
            del self._open[request_id]
            if self._redactor is not None:
                said = {name: self._redactor.text(text(line.get(name))) for name in ("error", "finish_reason")}
                line = {**line, **said}
                self._count(live)
            _end(live, line, answered)
            yield Event(ENDED, live)

    def _body(self, raw: bytes, kind: str, request_id: str, raw_request: bytes) -> Body | None:
        """Let the rebuilder see the line. What the line itself has stands for a body that cannot be put together."""
        try:
            return self._rebuilder.feed(raw)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
            if kind != "request_recorded":
                raise
            return Body(request_id, b"" if raw_request == b"null" else raw_request, is_exact=False)

    def _count(self, live: Imported) -> None:
        live.redactions.update(self._redactor.counts)
        self._redactor.counts.clear()

    def unfinished(self) -> list[str]:
        """Give the ids of exchanges whose end has not come."""
        return list(self._open)

    def _begin(self, line: dict[str, Any]) -> Imported:
        provider, listener = text(line.get("provider")), text(line.get("listener"))
        provider_type = self._types.get(provider, listener)
        method, path = text(line.get("method")) or "POST", text(line.get("path"))
        if line.get("request_headers") is not None:
            self._headers = [(str(name), str(value)) for name, value in line["request_headers"]]
        begin = Begin(
            request_id=line["request_id"], method=method, path=path, query="", headers=self._headers, listener=listener,
            provider=provider, provider_type=provider_type, client_ip=text(line.get("client_ip")),
            started_us=microseconds(line["timestamp"]), metadata=mapping(line.get("metadata")),
            owner=text(line.get("owner")),
        )  # fmt: skip
        dialect, kind = dialect_of(provider_type, method, path), kind_of(method, path)
        if method == "GET" and dialect == "openai-responses" and path.rstrip("/").endswith("responses"):
            return Imported(begin, dialect, "model", transport="ws", session_id=line["session_id"])
        return Imported(begin, dialect, kind, session_id=line["session_id"])


def microseconds(stamp: str) -> int:
    """Microseconds since the epoch of an RFC 3339 time. Raises ValueError."""
    time = datetime.fromisoformat(stamp)
    if time.tzinfo is None:
        raise ValueError("a time without its zone")
    return (time - EPOCH) // timedelta(microseconds=1)


def _facts(live: Imported, line: dict[str, Any], answer: bytes) -> ResponseFacts:
    """Read the answer; tokens are those of the line where the answer itself does not tell as many."""
    parser = response_parser(live.dialect, "application/json", live.status or 200)
    parser.feed(answer)
    facts = parser.finish()
    facts.error = ""  # the line `completed` has the last word
    facts.model = text(line.get("model_used"))
    facts.has_refusal = line.get("has_refusal") is True
    tokens = mapping(line.get("tokens"))
    if facts.usage.total != count(tokens.get("total")):
        names = ("input", "output", "thinking", "cache_read", "cache_creation", "audio")
        given = {name: count(tokens.get(name)) for name in names}
        facts.usage = Usage(
            given["input"], given["output"], given["thinking"], given["cache_read"], given["cache_creation"],
            audio_input=given["audio"],
        )  # fmt: skip
    return facts


def _end(live: Imported, line: dict[str, Any], answered: dict[str, Any]) -> None:
    stats = mapping(line.get("final_stats"))
    live.cost_usd = _number(stats.get("estimated_cost"))
    live.recorded.finish_reason = text(line.get("finish_reason"))
    live.recorded.complete = line.get("success") is True
    completed = microseconds(line["timestamp"])
    streaming = _number(answered.get("streaming_duration_ms"))
    if streaming is not None:
        live.first_chunk_us = live.begin.started_us or 1
        live.last_chunk_us = live.first_chunk_us + round(streaming * 1000)
    error = text(line.get("error"))
    if line.get("success") is not True and not error:
        error = "unknown: the line `completed` says no reason"
    live.end = End(
        completed_us=completed, duration_ms=_number(stats.get("total_duration_ms")) or 0.0,
        overhead_before_ms=_number(stats.get("proxy_overhead_ms")) or 0.0, overhead_after_ms=0.0,
        provider_latency_ms=_number(stats.get("provider_time_ms")), first_byte_ms=None,
        request_bytes=len(live.request), response_bytes=count(answered.get("response_size_bytes")),
        chunk_count=count(answered.get("chunk_count")), attempts=1, error=error or None,
        routing=msgspec.convert(line["routing"], Routing) if line.get("routing") else None,
    )  # fmt: skip


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
