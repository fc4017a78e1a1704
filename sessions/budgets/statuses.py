"""How budgets stand now, and what their periods will have cost at the end."""

from dataclasses import dataclass
from datetime import datetime

from sessions.budgets import sources, spending
from sessions.budgets.definitions import Budget, Period, forecast


@dataclass(frozen=True, slots=True)
class Status:
    """A budget as it stands. `percent` is of the limit, whole; the forecast is in USD."""

    budget: Budget
    period: Period
    spent_usd: float
    forecast_usd: float
    unpriced: int

    @property
    def percent(self) -> int:
        """The share of the limit that is spent."""
        return int(self.spent_usd / self.budget.limit_usd * 100)

    @property
    def meter(self) -> int:
        """The same, as far as a bar shows it."""
        return min(self.percent, 100)

    @property
    def state(self) -> str:
        """Give "over", "near" (four fifths), "ahead" (it will be over at this pace) or "fine"."""
        if self.percent >= 100:
            return "over"
        if self.percent >= 80:
            return "near"
        return "ahead" if self.forecast_usd > self.budget.limit_usd else "fine"


def read(now: datetime) -> list[Status]:
    """Give all that are enabled, those of the file first. Raises what the database says."""
    budgets = [budget for budget in sources.load() if budget.enabled]
    totals = spending.read(budgets, now)
    paces = {key: spending.pace(key, now) for key in totals}
    found = []
    for budget in budgets:
        total = totals[budget.key]
        ahead = forecast(total.spent_usd, total.period, now, paces[budget.key])
        found.append(Status(budget, total.period, total.spent_usd, ahead, total.unpriced))
    return found
