"""Exchanges as a proxy would hand them to the recorder: frames, and the events that they become."""

import json
import time
from collections.abc import Iterator, Sequence
from itertools import count
from uuid import uuid4

import msgspec

from proxy.capture import (
    BEGIN,
    END,
    HEADER,
    MAX_PAYLOAD,
    REQUEST_BODY,
    REQUEST_END,
    RESPONSE_BODY,
    RESPONSE_HEAD,
    Begin,
    End,
    ResponseHead,
)  # fmt: skip
from sessions.digest import Capture, Event

ANSWER = b'{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4-5","content":[{"type":"text","text":"ok"}],"stop_reason":"end_turn","usage":{"input_tokens":5,"output_tokens":2}}'
_clock = count(time.time_ns() // 1000, 1000)

Frame = tuple[int, int, bytes]  # kind, clock reading in microseconds, payload


def frames(
    body: bytes,
    answer: bytes | Sequence[bytes] = ANSWER,
    session: str = "",
    path: str = "/v1/messages",
    provider: str = "anthropic",
    headers: Sequence[tuple[str, str]] = (),
    answer_headers: Sequence[tuple[str, str]] = (("content-type", "application/json"),),
    request_id: str = "",
    **end: object,
) -> list[Frame]:
    """Give the frames of one exchange. `answer` may come in pieces; `end` replaces fields of its End."""
    given = [*headers, *([("session_id", session)] if session else [])]
    started = next(_clock)
    begin = Begin(
        request_id=request_id or str(uuid4()), method="POST", path=path, query="", headers=given, listener=provider,
        provider=provider, provider_type=provider, client_ip="127.0.0.1", started_us=started,
    )  # fmt: skip
    pieces = [answer] if isinstance(answer, bytes) else answer
    found = [(BEGIN, started, msgspec.json.encode(begin))]
    found += [(REQUEST_BODY, next(_clock), body[at : at + MAX_PAYLOAD]) for at in range(0, len(body), MAX_PAYLOAD)]
    found.append((REQUEST_END, next(_clock), b""))
    found.append((RESPONSE_HEAD, next(_clock), msgspec.json.encode(ResponseHead(200, list(answer_headers)))))
    found += [(RESPONSE_BODY, next(_clock), piece) for piece in pieces]
    completed = next(_clock)
    facts = {
        "completed_us": completed, "duration_ms": (completed - started) / 1e3, "overhead_before_ms": 0.1,
        "overhead_after_ms": 0.1, "provider_latency_ms": 3.0, "first_byte_ms": 1.0, "request_bytes": len(body),
        "response_bytes": sum(map(len, pieces)), "chunk_count": len(pieces), "attempts": 1,
    }  # fmt: skip
    found.append((END, completed, msgspec.json.encode(End(**{**facts, **end}))))
    return found


def events(body: bytes, answer: bytes | Sequence[bytes] = ANSWER, **options: object) -> list[Event]:
    """Give the events of one exchange, its end included."""
    capture = Capture()
    return [event for frame in frames(body, answer, **options) for event in capture.feed(*frame)]


def packed(number: int, some: list[Frame]) -> bytes:
    """Give frames as they go over the socket, for the exchange of that number."""
    return b"".join(HEADER.pack(len(payload), kind, number, when) + payload for kind, when, payload in some)


def compact(value: object) -> bytes:
    """JSON as the clients write it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def text_stream(text: str, number: int = 1) -> Iterator[bytes]:
    """Give an answer of /v1/messages that says `text`, event by event."""
    message = {
        "id": f"msg_{number:08}",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [],
    }
    yield b"event: message_start\ndata: " + compact({"type": "message_start", "message": message}) + b"\n\n"
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    yield b"event: content_block_start\ndata: " + compact(block) + b"\n\n"
    for at in range(0, len(text), 9):
        delta = {"type": "text_delta", "text": text[at : at + 9]}
        value = {"type": "content_block_delta", "index": 0, "delta": delta}
        yield b"event: content_block_delta\ndata: " + compact(value) + b"\n\n"
    yield b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    yield b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":9}}\n\n'
    yield b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
