"""Budgets of the configuration file and of the database, put together."""

import logging

from django.conf import settings

from sessions.budgets.definitions import Budget, problems_of
from sessions.budgets.models import Budget as Row

logger = logging.getLogger("lunaroute.budgets")


def from_file() -> tuple[Budget, ...]:
    """Give the budgets of the configuration of this process."""
    return tuple([budget.definition() for budget in settings.LUNAROUTE.budgets])


def load() -> tuple[Budget, ...]:
    """Give all budgets, the file's first. A row that cannot be used is left out. Raises what the database says."""
    found = list(from_file())
    allowed = settings.LUNAROUTE.allowed_addresses
    taken = {budget.name for budget in found}
    rows = [row.definition() for row in Row.objects.all()]
    return (*found, *(b for b in rows if b.name not in taken and not problems_of(b, allowed)))
