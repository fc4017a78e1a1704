"""Providers and rules of the configuration file and of the database, put together."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from django.conf import settings
from django.db import Error, connection
from django.db.models import F

from routing import models
from routing.definitions import Provider, Rule
from routing.keys import KeyProblem
from routing.provider_validation import Address, problems_of_provider
from routing.validation import problems_of, warnings_of

logger = logging.getLogger("lunaroute.routing")


@dataclass(frozen=True, slots=True)
class Definitions:
    """All that there is at one moment."""

    providers: Mapping[str, Provider]
    rules: tuple[Rule, ...]  # the file's, then those of the admin
    warnings: tuple[str, ...] = ()  # what was left out, and what can take no effect
    rule_warnings: Mapping[str, str] = field(default_factory=dict)  # by the rule's name: why it takes no request
    resets: Mapping[str, int] = field(default_factory=dict)  # by the provider's name: how often it was reset
    is_complete: bool = True  # whether the database could be read


def load(
    file_providers: Mapping[str, Provider], file_rules: Iterable[Rule], before: Definitions | None = None
) -> Definitions:
    """Read the database, and put what it has beside what the file has. Raises nothing.

    A row that cannot be used is left out with a warning, a provider without its key counts as disabled. Where the
    database cannot be read, what was there `before` stays, and ``is_complete`` is False.
    """
    rules = tuple(file_rules)
    try:
        if not connection.in_atomic_block:  # else it is in use, and would be closed in the middle
            connection.close_if_unusable_or_obsolete()
        rows = list(models.Provider.objects.all()), list(models.Rule.objects.all())
        resets = dict(models.Reset.objects.values_list("provider", "number"))
    except Error as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        warning = f"The database cannot be read, so what is in the admin does not count: {lines[0]}"
        if before is not None:
            warning = f"The database cannot be read, so changes in the admin do not count yet: {lines[0]}"
        logger.warning(warning)
        kept = before or _together(file_providers, rules, [], [])
        known = kept.warnings if kept.is_complete else kept.warnings[1:]
        return replace(kept, warnings=(warning, *known), is_complete=False)
    return replace(_together(file_providers, rules, *rows), resets=resets)


def from_configuration() -> tuple[dict[str, Provider], tuple[Rule, ...]]:
    """Give the providers and rules of the configuration of this process."""
    config = settings.LUNAROUTE
    providers = {name: provider.definition() for name, provider in config.providers.items()}
    return providers, tuple([rule.definition() for rule in config.routing.rules])


def own_address() -> Address:
    """Give the address that no provider may have, and what else providers may have."""
    return Address(settings.LUNAROUTE.host, settings.LUNAROUTE.port, settings.LUNAROUTE.allowed_addresses)


def reset(name: str) -> None:
    """Let every process close the breaker of the provider `name` and end its rest, at its next request."""
    models.Rest.objects.filter(provider=name).delete()
    made, _ = models.Reset.objects.get_or_create(provider=name)
    models.Reset.objects.filter(pk=made.pk).update(number=F("number") + 1)


def _together(
    file_providers: Mapping[str, Provider],
    file_rules: tuple[Rule, ...],
    provider_rows: list[models.Provider],
    rule_rows: list[models.Rule],
) -> Definitions:
    warnings: list[str] = []
    providers = dict(file_providers)
    for row in provider_rows:
        provider, warning = _provider(row, file_providers)
        warnings += [warning] if warning else []
        if provider is not None:
            providers[provider.name] = provider
    rules, taken = list(file_rules), {rule.name for rule in file_rules}
    for rule_row in rule_rows:
        rule, warning = _rule(rule_row, taken, providers)
        warnings += [warning] if warning else []
        if rule is not None:
            rules.append(rule)
    idle = warnings_of(rules, providers)
    warnings += [f"Rule {rule.name}: {why}" for rule, why in idle]
    return Definitions(providers, tuple(rules), tuple(warnings), {rule.name: why for rule, why in idle})


def _provider(row: models.Provider, taken: Mapping[str, Provider]) -> tuple[Provider | None, str]:
    """Give what the row defines, and what there is to say about it."""
    where = f"Provider {row.name!r} of the admin"
    if row.name in taken:
        return None, f"{where} is left out: the configuration file has one of that name."
    try:
        problems = problems_of_provider(row.without_key(), own_address())
        if problems:
            return None, f"{where} is left out: {'; '.join(problems)}."
        return row.definition(), ""
    except KeyProblem as problem:
        return replace(row.without_key(), enabled=False), f"{where} is not asked: {problem}."
    except (TypeError, ValueError, AttributeError) as error:
        return None, f"{where} is left out: {error}."


def _rule(row: models.Rule, taken: set[str], providers: Mapping[str, Provider]) -> tuple[Rule | None, str]:
    where = f"Rule {row.name!r} of the admin"
    if row.name in taken:
        return None, f"{where} is left out: the configuration file has one of that name."
    try:
        rule = row.definition()
        problems = problems_of(rule, providers)
    except (TypeError, ValueError, AttributeError) as error:
        problems = [str(error)]
    return (None, f"{where} is left out: {'; '.join(problems)}.") if problems else (rule, "")
