"""What somebody is told of a budget: once for each threshold and period, whoever tells it and however often it starts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import Error

from sessions.budgets import sources
from sessions.budgets.definitions import THRESHOLDS, Budget, Key
from sessions.budgets.models import BudgetNotice
from sessions.budgets.spending import Total


@dataclass(frozen=True, slots=True)
class Told:
    """That a budget has reached a share of its limit."""

    budget: Budget
    total: Total
    threshold: int  # percent

    @property
    def words(self) -> str:
        """Say it in a sentence."""
        return words(self.budget, self.total.spent_usd, self.budget.limit_usd, self.threshold)


@dataclass(frozen=True, slots=True)
class Shown:
    """A notice on a page."""

    pk: int
    words: str
    is_over: bool


def words(budget: Budget, spent_usd: float, limit_usd: float, threshold: int) -> str:
    """Say that `threshold` percent are reached."""
    what = "is used up" if threshold >= 100 else f"has reached {threshold} %"
    return f"Budget {budget.name} ({budget.covers}, {budget.period}) {what}: ${spent_usd:,.2f} of ${limit_usd:,.2f}."


def write(budgets: Iterable[Budget], totals: Mapping[Key, Total]) -> list[Told]:
    """Note which thresholds are reached; gives those that nobody had noted before, which are to be told now."""
    news = []
    for budget in budgets:
        total = totals.get(budget.key)
        if not budget.enabled or total is None:
            continue
        here = BudgetNotice.objects.filter(budget=budget.name, start=total.period.start)
        known = {row.threshold: row for row in here}
        for threshold in THRESHOLDS:
            is_reached = total.spent_usd >= budget.limit_usd * threshold / 100
            row = known.get(threshold)
            if row is not None and not is_reached and row.limit_usd != budget.limit_usd:
                row.delete()  # the limit is another: it may be reached anew
            elif row is None and is_reached and _note(budget, total, threshold):
                news.append(Told(budget, total, threshold))
    return news


def _note(budget: Budget, total: Total, threshold: int) -> bool:
    """Give whether this process is the first."""
    values = {"end": total.period.end, "spent_usd": total.spent_usd, "limit_usd": budget.limit_usd}
    _, is_new = BudgetNotice.objects.get_or_create(
        budget=budget.name, start=total.period.start, threshold=threshold, defaults=values
    )
    return is_new


def shown(now: datetime) -> list[Shown]:
    """Give the notices that hold, for a page: of each budget the highest, unless somebody has dismissed it."""
    try:
        rows = list(BudgetNotice.objects.filter(start__lte=now, end__gt=now).order_by("budget", "threshold"))
        if all(row.dismissed for row in rows):
            return []
        budgets = {budget.name: budget for budget in sources.load() if budget.enabled}
    except Error:
        return []  # a page has its own way to say so
    highest = {row.budget: row for row in rows if row.budget in budgets}
    return [
        Shown(row.pk, words(budgets[name], row.spent_usd, row.limit_usd, row.threshold), row.threshold >= 100)
        for name, row in highest.items()
        if not row.dismissed
    ]


def dismiss(pk: int) -> None:
    """Show a notice no more in its period."""
    BudgetNotice.objects.filter(pk=pk).update(dismissed=True)
