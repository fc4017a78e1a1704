"""The section of budgets, and the definitions that they become."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from lunaroute_site.config_types import Section
from routing.destinations import Network
from sessions.budgets import definitions


class Budget(Section):
    name: str
    scope: Literal["all", "project", "client"] = "all"
    value: str = ""
    period: Literal["day", "month"] = "month"
    limit_usd: Annotated[float, Field(gt=0, le=definitions.MAX_USD, allow_inf_nan=False)]
    refuse: bool = False
    webhook_url: SecretStr | None = None  # its path is a secret as a rule
    enabled: bool = True

    def definition(self) -> definitions.Budget:
        """Give what is worked with."""
        url = self.webhook_url.get_secret_value() if self.webhook_url else ""
        return definitions.Budget(
            self.name, self.scope, self.value, self.period, self.limit_usd, self.refuse, url, self.enabled
        )


def problem_of(budgets: tuple[Budget, ...], allowed: tuple[Network, ...]) -> str:
    """Say what is wrong with the list beyond its types, or nothing. `allowed` are networks that webhooks may be in."""
    names: set[str] = set()
    for budget in budgets:
        if budget.name in names:
            return f"budgets: expected another name than {budget.name!r}, which is in use"
        names.add(budget.name)
        for problem in definitions.problems_of(budget.definition(), allowed):
            return f"budgets: budget {budget.name!r}: {problem}"
    return ""
