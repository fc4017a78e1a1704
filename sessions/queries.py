"""Which sessions somebody asks for: filters, sorting, pages."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Literal

from django.db.models import Avg, Count, Exists, OuterRef, Q, QuerySet
from ninja import Schema
from pydantic import ConfigDict, Field

from sessions import search, viewing
from sessions.models import Exchange, Session, ToolCall

SORTS = {"started": "started_at", "duration": "duration_ms", "tokens": "total_tokens", "cost": "cost_usd"}
Sort = Literal["started", "-started", "duration", "-duration", "tokens", "-tokens", "cost", "-cost"]
RANGES = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "total_tokens": "total_tokens",
    "duration_ms": "duration_ms",
    "cost": "cost_usd",
}


class Page(Schema):
    """Which part of a list."""

    model_config = ConfigDict(extra="forbid")

    page: int = Field(1, ge=1, le=1_000_000)
    page_size: int = Field(100, ge=1, le=500)


class SessionFilter(Page):
    """What a session must have to be listed; all of it must hold."""

    text_search: str | None = Field(
        None, max_length=500, description='words, "phrases", -word, prefix* in what was said'
    )
    model: str | None = Field(None, description="a model, or how its name begins")
    provider: str | None = Field(None, description="it gave at least one answer")
    client: str | None = Field(None, description="claude-code, codex, opencode or other")
    project: str | None = None
    owner: str | None = Field(None, description="the user whose token it came with, in a team")
    tag: str | None = None
    session_id: str | None = None
    request_id: str | None = None
    success: bool | None = Field(None, description="false: at least one exchange failed")
    pinned: bool | None = Field(None, description="true: you gave it a star")
    is_streaming: bool | None = None
    finish_reason: str | None = None
    client_ip: str | None = None
    days: float | None = Field(None, gt=0, le=100_000, description="started in the last so many days")
    since: datetime | None = None
    until: datetime | None = None
    min_input_tokens: int | None = Field(None, ge=0)
    max_input_tokens: int | None = Field(None, ge=0)
    min_output_tokens: int | None = Field(None, ge=0)
    max_output_tokens: int | None = Field(None, ge=0)
    min_total_tokens: int | None = Field(None, ge=0)
    max_total_tokens: int | None = Field(None, ge=0)
    min_duration_ms: float | None = Field(None, ge=0)
    max_duration_ms: float | None = Field(None, ge=0)
    min_cost: float | None = Field(None, ge=0)
    max_cost: float | None = Field(None, ge=0)
    has_tool: str | None = Field(None, description="a tool was called")
    sort: Sort | None = Field(None, description="by default what fits text_search best, else the latest first")


def find(wanted: SessionFilter) -> QuerySet[Session]:
    """Give the sessions that `wanted` describes, sorted. Without a model's answer there is no conversation to list."""
    found = viewing.sessions().filter(Q(requests__gt=0) | Q(completed_at=None))
    for name in ("client", "project", "owner", "session_id", "success", "client_ip"):
        value = getattr(wanted, name)
        if value is not None:
            found = found.filter(**{name: value})
    if wanted.pinned is not None:
        found = viewing.starred(found, wanted.pinned)
    if wanted.model:
        found = found.filter(model_used__startswith=wanted.model)
    if wanted.tag:
        found = found.filter(tags__icontains=f'"{wanted.tag}"')
    since = wanted.since
    if wanted.days is not None:
        start = datetime.now(UTC) - timedelta(days=wanted.days)
        since = max(since, start) if since and since.tzinfo else start
    if since:
        found = found.filter(started_at__gte=in_utc(since))
    if wanted.until:
        found = found.filter(started_at__lte=in_utc(wanted.until))
    for name, column in RANGES.items():
        for prefix, operator in (("min", "gte"), ("max", "lte")):
            value = getattr(wanted, f"{prefix}_{name}")
            if value is not None:
                found = found.filter(**{f"{column}__{operator}": value})
    found = _by_exchange(found, wanted)
    places: dict[int, int] = {}
    if wanted.text_search:
        found, places = search.narrow(found, wanted.text_search)
    if places and wanted.sort is None:
        return found.order_by(search.place_in(places), "-started_at", "-pk")
    sort = wanted.sort or "-started"
    column = SORTS[sort.removeprefix("-")]
    descending = sort.startswith("-")
    return found.order_by(f"-{column}" if descending else column, "-pk" if descending else "pk")


def _by_exchange(found: QuerySet[Session], wanted: SessionFilter) -> QuerySet[Session]:
    exchanges = {
        name: value
        for name in ("request_id", "is_streaming", "finish_reason")
        if (value := getattr(wanted, name)) is not None
    }
    if exchanges:
        found = found.filter(Exists(Exchange.objects.filter(session=OuterRef("pk"), **exchanges)))
    if wanted.provider is not None:
        # Asked once for all sessions: an index holds it, where each session's exchanges would have to be read.
        found = found.filter(pk__in=Exchange.objects.filter(provider=wanted.provider).values("session"))
    if wanted.has_tool:
        found = found.filter(Exists(ToolCall.objects.filter(session=OuterRef("pk"), name=wanted.has_tool)))
    return found


def in_utc(time: datetime) -> datetime:
    """Give a time in UTC, which one without a zone is taken for. PostgreSQL knows no zone that is off by over 16 hours."""
    try:
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:  # at either end of the calendar
        return time.replace(tzinfo=UTC)


def tools_of(sessions: Iterable[Session]) -> dict[int, list[dict]]:
    """Give, for each session, its tools with calls, mean execution time (milliseconds) and failures."""
    rows = (
        ToolCall.objects.filter(session__in=[session.pk for session in sessions])
        .values("session_id", "name")
        .annotate(calls=Count("pk"), avg_ms=Avg("execution_ms"), errors=Count("pk", filter=Q(is_error=True)))
        .order_by("-calls", "name")
    )
    found: dict[int, list[dict]] = {}
    for row in rows:
        found.setdefault(row.pop("session_id"), []).append(row)
    return found
