"""What the recorder tells about the record while it grows: facts of what was stored, and text that is under way.

The frames go from recorder to web process over the line that they share (proxy/capture.py). Live view and metrics read
them. They may be lost: the database has the last word.
"""

from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from proxy.capture import End

if TYPE_CHECKING:
    from sessions.models import Exchange
    from sessions.store import Batch

# Characters of one exchange's text that are sent at once: a late reader gets a long answer in several.
MAX_TEXT = 64 << 10

encode = msgspec.json.Encoder().encode


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is stored of an exchange since its last change. Costs in USD, times in milliseconds, token classes apart."""

    session_id: str
    session: int  # primary key
    exchange: int  # primary key
    request_id: str
    what: str  # "opened", "first_token" or "ended"
    kind: str = "model"  # what the request is; tokens are spent where it is "model"
    listener: str = ""
    provider: str = ""
    model: str = ""
    client: str = ""
    project: str = ""
    owner: str = ""
    is_streaming: bool = False
    success: bool | None = None
    error: str = ""
    tokens: dict[str, int] = {}  # by class, without those that are 0
    cost_usd: float | None = None
    duration_ms: float | None = None
    time_to_first_token_ms: float | None = None
    is_socket: bool = False
    streaming_ms: float | None = None  # from the first piece of a stream to the last
    end: End | None = None  # the proxy's clock readings, without what routing did; one made for a WebSocket's exchange
    tools: list[str] = []  # names of the tools that the answer calls
    redactions: dict[str, int] = {}  # values that redaction replaced, by type: those that no earlier change told
    results: list[
        tuple[str, float, bool]
    ] = []  # results that the request brings: tool, execution time, whether it failed


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """New text of an answer. `index` counts its blocks in the order in which they began, `offset` the block's characters."""

    index: int
    kind: str  # "text", "thinking" or "tool_call" (then the text is its arguments)
    name: str  # of the tool
    offset: int
    text: str


class Partial(msgspec.Struct, frozen=True):
    """More text of an exchange that is under way."""

    session_id: str
    request_id: str
    pieces: list[Piece]


TOKENS = (
    "input",
    "output",
    "thinking",
    "cache_read",
    "cache_creation_5m",
    "cache_creation_1h",
    "audio_input",
    "audio_output",
)


def changes_of(batch: "Batch") -> list[Change]:
    """Give the changes that a batch made, one for each exchange. The batch has been written."""
    called: dict[int, list[str]] = {}
    for call in batch.calls:
        called.setdefault(call.exchange_id, []).append(call.name)
    brought: dict[int, list[tuple[str, float, bool]]] = {}
    for call, row in batch.results:
        brought.setdefault(row.pk, []).append((call.name, call.execution_ms, bool(call.is_error)))
    changes = [(row, row.redactions) for row in batch.created.values()]
    changes += [(row, row.new_redactions) for row in batch.changed.values()]
    return [_change(row, called.get(row.pk, []), brought.get(row.pk, []), redactions) for row, redactions in changes]


def _change(
    row: "Exchange", tools: list[str], results: list[tuple[str, float, bool]], redactions: dict[str, int]
) -> Change:
    started = "first_token" if row.time_to_first_token_ms is not None else "opened"
    return Change(
        session_id=row.session.session_id,
        session=row.session.pk,
        exchange=row.pk,
        request_id=row.request_id,
        what="ended" if row.success is not None else started,
        kind=row.kind,
        listener=row.listener,
        provider=row.provider,
        model=row.model_used or row.model_requested,
        client=row.client,
        project=row.project if row.project is not None else row.session.project,
        owner=row.session.owner,
        is_streaming=row.is_streaming,
        success=row.success,
        error=row.error,
        tokens={name: count for name in TOKENS if (count := getattr(row, f"{name}_tokens"))},
        cost_usd=row.cost_usd,
        duration_ms=row.duration_ms,
        time_to_first_token_ms=row.time_to_first_token_ms,
        is_socket=row.transport == "ws",
        streaming_ms=row.streaming_ms,
        end=replace(row.end, routing=None, error_message=None) if row.end is not None else None,
        tools=tools,
        redactions=redactions,
        results=results,
    )
