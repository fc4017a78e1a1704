"""The API's statistics: the figures of ``sessions.stats``, for a span that the parameters name."""

from datetime import UTC, datetime, timedelta
from typing import Literal

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Schema
from ninja.errors import ValidationError
from pydantic import ConfigDict, Field

from sessions import stats
from sessions.api_common import BAD, known_parameters, problem
from sessions.queries import in_utc

router = Router(tags=["statistics"])


class SpanFilter(Schema):
    """Which exchanges are counted. Without a time: the last 30 days, today included."""

    model_config = ConfigDict(extra="forbid")

    days: int | None = Field(None, ge=1, le=3660, description="the last so many days by the calendar, today included")
    since: datetime | None = Field(None, description="with or without `until`; not with `days`")
    until: datetime | None = None
    project: str | None = None
    client: str | None = Field(None, description="claude-code, codex, opencode or other")
    model: str | None = Field(None, max_length=128, description="a model, or how its name begins")
    provider: str | None = None

    def span(self) -> stats.Span:
        """Give the span. Raises ValidationError."""
        filters = {name: getattr(self, name) for name in ("project", "client", "model", "provider")}
        if self.since is None and self.until is None:
            return stats.Span.days(self.days or 30, **filters)
        if self.days is not None:
            raise ValidationError([problem("days", "value_error", "expected days, or since and until, not both")])
        until = in_utc(self.until) if self.until else datetime.now(UTC)
        since = in_utc(self.since) if self.since else until - timedelta(days=30)
        if not since < until <= since + timedelta(days=3660):
            message = "expected a time before `until` and at most 3660 days from it"
            raise ValidationError([problem("since" if self.since else "until", "value_error", message)])
        return stats.Span(since, until, timezone.get_default_timezone(), **filters)


class Share(Schema):
    """Tokens of one model, project or client."""

    name: str
    tokens: stats.Tokens


class TokensOut(Schema):
    """Tokens of a span, and whose they are."""

    since: datetime
    until: datetime
    total: stats.Tokens
    by_model: list[Share]
    by_project: list[Share]
    by_client: list[Share]


class SpendingOut(Schema):
    """A span in equal steps: by the hour where it is at most two days long, else by day. Empty ones are there too."""

    since: datetime
    until: datetime
    by: Literal["hour", "day"]
    buckets: list[stats.Bucket]


class CostsOut(Schema):
    """Costs by day and model, by project, and by client."""

    since: datetime
    until: datetime
    cost_usd: float | None
    unpriced: int = Field(description="exchanges that spent tokens of a model without a known price")
    by_day: list[stats.Bucket]
    by_model: list[stats.ModelFigures]
    by_project: list[stats.ProjectFigures]
    by_client: list[stats.ClientFigures]


@router.get("/overview", response={200: stats.Overview, **BAD}, summary="A span in one look")
@known_parameters(SpanFilter)
def overview(request: HttpRequest, wanted: Query[SpanFilter]):
    """Sessions, requests, errors, tokens, cost, latencies; beside them the sums of the span before."""
    return stats.overview(wanted.span())


@router.get("/tokens", response={200: TokensOut, **BAD}, summary="Tokens by class")
@known_parameters(SpanFilter)
def tokens(request: HttpRequest, wanted: Query[SpanFilter]):
    """Tokens by class: of all, and by model, project and client."""
    span = wanted.span()
    found = stats.figures(span)
    return TokensOut(
        since=span.since,
        until=span.until,
        total=found.overview.sums.tokens,
        by_model=[Share(name=m.model, tokens=m.sums.tokens) for m in found.models],
        by_project=[Share(name=p.project, tokens=p.sums.tokens) for p in found.projects],
        by_client=[Share(name=c.client, tokens=c.sums.tokens) for c in found.clients],
    )


@router.get("/tools", response={200: list[stats.ToolFigures], **BAD}, summary="Tools")
@known_parameters(SpanFilter)
def tools(request: HttpRequest, wanted: Query[SpanFilter]):
    """Calls, failures and times by tool, the most called first."""
    return stats.tools(wanted.span())


@router.get("/models", response={200: list[stats.ModelFigures], **BAD}, summary="Models")
@known_parameters(SpanFilter)
def models(request: HttpRequest, wanted: Query[SpanFilter]):
    """Sums and latencies by model, the dearest first."""
    return stats.by_model(wanted.span())


@router.get("/hours", response={200: list[stats.Hour], **BAD}, summary="Hours of the week")
@known_parameters(SpanFilter)
def hours(request: HttpRequest, wanted: Query[SpanFilter]):
    """The 168 hours of the week, Monday 0 h first. A span of at most 400 days."""
    span = wanted.span()
    if span.until - span.since > timedelta(days=400):
        name = "days" if wanted.days else "since"
        raise ValidationError([problem(name, "value_error", "expected a span of at most 400 days")])
    return stats.hours(span)


@router.get("/spending", response={200: SpendingOut, **BAD}, summary="Spending over time")
@known_parameters(SpanFilter)
def spending(request: HttpRequest, wanted: Query[SpanFilter]):
    """Requests, errors, tokens and cost by day, or by hour in a span of at most two days."""
    span = wanted.span()
    by = "hour" if span.is_by_hour else "day"
    return SpendingOut(since=span.since, until=span.until, by=by, buckets=stats.spending(span))


@router.get("/redactions", response={200: list[stats.RedactionFigures], **BAD}, summary="What was redacted")
@known_parameters(SpanFilter)
def redactions(request: HttpRequest, wanted: Query[SpanFilter]):
    """Values that were replaced before they were stored, by type, the most first."""
    return stats.redactions(wanted.span())


@router.get("/costs", response={200: CostsOut, **BAD}, summary="Costs")
@known_parameters(SpanFilter)
def costs(request: HttpRequest, wanted: Query[SpanFilter]):
    """Where the money went."""
    span = wanted.span()
    found = stats.figures(span)
    return CostsOut(
        since=span.since,
        until=span.until,
        cost_usd=found.overview.sums.cost_usd,
        unpriced=found.overview.sums.unpriced,
        by_day=stats.costs(span),
        by_model=list(found.models),
        by_project=list(found.projects),
        by_client=list(found.clients),
    )
