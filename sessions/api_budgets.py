"""The API's view of budgets and of the quotas that providers report."""

from datetime import UTC, datetime

from django.http import HttpRequest
from ninja import Router, Schema
from pydantic import Field

from sessions.api_common import BAD, known_parameters
from sessions.budgets import quotas as windows
from sessions.budgets import statuses

router = Router(tags=["budgets"])


class BudgetOut(Schema):
    """A budget as it stands. Amounts are USD."""

    name: str
    source: str = Field(description="file or admin")
    scope: str = Field(description="all, project or client")
    value: str = Field(description="the project or client")
    period: str = Field(description="day or month")
    limit_usd: float
    spent_usd: float
    percent: int
    forecast_usd: float = Field(description="at the end of the period, at the pace of the last days")
    unpriced: int = Field(description="exchanges without a known price: they do not count")
    refuse: bool = Field(description="requests beyond the limit are answered with 429")
    starts_at: datetime
    resets_at: datetime


class QuotaWindowOut(Schema):
    """A limit as its provider last told it. Where it tells only a share, `limit` is 1."""

    provider: str
    account: str = Field(description="tells accounts apart; empty where no answer named one")
    window: str
    limit: float | None
    remaining: float | None
    used_percent: int | None
    reset_at: datetime | None
    seen_at: datetime


@router.get("/budgets", response={200: list[BudgetOut], **BAD}, summary="Budgets")
@known_parameters()
def budgets(request: HttpRequest):
    """What was spent of each budget in its period, and what it will come to."""
    return [
        BudgetOut(
            name=s.budget.name, source=s.budget.source, scope=s.budget.scope, value=s.budget.value, period=s.budget.period,
            limit_usd=s.budget.limit_usd, spent_usd=s.spent_usd, percent=s.percent, forecast_usd=s.forecast_usd,
            unpriced=s.unpriced, refuse=s.budget.refuse, starts_at=s.period.start, resets_at=s.period.end,
        )
        for s in statuses.read(datetime.now(UTC))
    ]  # fmt: skip


@router.get("/quotas", response={200: list[QuotaWindowOut], **BAD}, summary="Quotas of providers")
@known_parameters()
def quotas(request: HttpRequest):
    """What providers have said of their limits in the last days."""
    return [
        QuotaWindowOut(
            provider=w.provider, account=w.account, window=w.window, limit=w.limit, remaining=w.remaining,
            used_percent=w.used_percent, reset_at=w.resets, seen_at=w.seen_at,
        )
        for w in windows.shown(datetime.now(UTC))
    ]  # fmt: skip
