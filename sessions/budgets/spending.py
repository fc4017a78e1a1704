"""What has been spent in the running periods, by the record and by what was written down of it.

What is deleted from the record stays spent: of each period a row keeps the sum, and grows by what the record has grown
since. Two processes that write it do not disturb each other, for both write what it comes to together with the record's
sum at that moment.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db.models import F
from django.utils import timezone

from sessions import viewing
from sessions.budgets.definitions import Budget, Key, Period, period_at
from sessions.budgets.models import BudgetSpend
from sessions.stats.span import Span, rows

# The last days, whose pace a forecast goes on with.
PACE = timedelta(days=7)
# Sums are kept so long after their period.
KEPT = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class Total:
    """A sum in USD. ``unpriced`` exchanges of the period spent tokens, but have no known cost."""

    period: Period
    spent_usd: float = 0.0
    unpriced: int = 0


@dataclass(frozen=True, slots=True)
class _Part:
    """What one project spent by one client."""

    project: str
    client: str
    cost_usd: float
    unpriced: int


def read(budgets: Iterable[Budget], now: datetime, added: dict[Key, float] | None = None, write: bool = False) -> dict:
    """Give the total of each key of `budgets`, with `write` note it too.

    `added` is what is in no record and not yet noted, in USD: with recording off the rows alone know what was spent.
    """
    zone, has_record = timezone.get_default_timezone(), settings.LUNAROUTE.session_recording.enabled
    keys = {budget.key for budget in budgets if budget.enabled}
    parts: dict[str, list[_Part]] = {}
    totals = {}
    for key in keys:
        period = period_at(key.period, now, zone)
        if key.period not in parts:
            parts[key.period] = _parts(period.start, period.end) if has_record else []
        mine = [part for part in parts[key.period] if key.takes(part.project, part.client)]
        recorded = sum(part.cost_usd for part in mine)
        more = 0.0 if has_record else (added or {}).get(key, 0.0)
        spent = _spent(key, period, recorded, more, write)
        totals[key] = Total(period, spent, sum(part.unpriced for part in mine))
    return totals


def pace(key: Key, now: datetime) -> float | None:
    """Give what a second of the last days cost, in USD; None where there is too little of a record to tell."""
    if not settings.LUNAROUTE.session_recording.enabled:
        return None
    found = rows("SELECT min(started_at) FROM exchanges", [])[0][0]
    if found is None:
        return None
    first = datetime.fromisoformat(found) if isinstance(found, str) else found
    first = first if first.tzinfo else first.replace(tzinfo=UTC)
    since = max(first, now - PACE)
    if now - since < timedelta(days=1):
        return None  # the hours of one day tell nothing about the next
    spent = sum(part.cost_usd for part in _parts(since, now) if key.takes(part.project, part.client))
    return spent / (now - since).total_seconds()


def forget(now: datetime) -> None:
    """Delete sums of periods that were over long ago."""
    BudgetSpend.objects.filter(start__lt=now - KEPT).delete()


def _spent(key: Key, period: Period, recorded: float, more: float, write: bool) -> float:
    place = {"scope": key.scope, "value": key.value, "period": key.period, "start": period.start}
    row = BudgetSpend.objects.filter(**place).first()
    if row is None:
        if write and (recorded or more):
            BudgetSpend.objects.get_or_create(
                **place, defaults={"spent_usd": recorded + more, "recorded_usd": recorded}
            )
        return recorded + more
    spent = row.spent_usd + max(recorded - row.recorded_usd, 0.0) + more
    if write and more:
        BudgetSpend.objects.filter(pk=row.pk).update(spent_usd=F("spent_usd") + more)
    elif write and recorded != row.recorded_usd:
        BudgetSpend.objects.filter(pk=row.pk).update(spent_usd=spent, recorded_usd=recorded)
    return spent


def _parts(since: datetime, until: datetime) -> list[_Part]:
    with viewing.viewed_by(None):  # a budget is of all costs, whoever asks
        joins, condition, parameters = Span(since, until).where()
    if "sessions s" not in joins:
        joins += " JOIN sessions s ON s.id = e.session_id"
    sql = (
        "SELECT COALESCE(e.project, s.project), e.client, COALESCE(SUM(e.cost_usd), 0),"
        " SUM(CASE WHEN e.cost_usd IS NULL AND e.total_tokens > 0 THEN 1 ELSE 0 END)"
        f" FROM exchanges e{joins} WHERE {condition} GROUP BY COALESCE(e.project, s.project), e.client"
    )
    return [_Part(*row) for row in rows(sql, parameters)]
