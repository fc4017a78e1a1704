"""Budgets of the admin, what has been spent, what somebody was told, and the quotas that providers report."""

from datetime import UTC, datetime

from django.core.validators import MinValueValidator
from django.db import models

from sessions.budgets import definitions


class Budget(models.Model):
    """So many USD in each period; those of the configuration file are not here."""

    name = models.CharField(max_length=100, unique=True)
    enabled = models.BooleanField(default=True)
    scope = models.CharField(max_length=16, choices=[(s, s) for s in definitions.SCOPES], default=definitions.ALL)
    value = models.CharField(
        max_length=255, blank=True, help_text="the project's name or the client's; empty with scope all"
    )
    period = models.CharField(max_length=8, choices=[(p, p) for p in definitions.PERIODS], default=definitions.MONTH)
    limit_usd = models.DecimalField(
        "limit in USD", max_digits=12, decimal_places=4, validators=[MinValueValidator(0)], help_text="in each period"
    )
    refuse = models.BooleanField(default=False, help_text="requests beyond the limit are answered with 429")
    webhook_url = models.CharField(
        "webhook", max_length=1000, blank=True, help_text="gets a POST at 80 % and at 100 %, once in each period"
    )

    class Meta:
        db_table = "budgets"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def definition(self) -> definitions.Budget:
        """Give what is worked with."""
        return definitions.Budget(
            self.name, self.scope, self.value, self.period, float(self.limit_usd or 0), self.refuse, self.webhook_url,
            self.enabled, "admin",
        )  # fmt: skip


class BudgetSpend(models.Model):
    """What was spent in a period: it stays when the record of it is deleted."""

    scope = models.CharField(max_length=16)
    value = models.CharField(max_length=255, blank=True)
    period = models.CharField(max_length=8)
    start = models.DateTimeField()
    spent_usd = models.FloatField(default=0)
    recorded_usd = models.FloatField(default=0, help_text="what the record came to when this was written")

    class Meta:
        db_table = "budget_spends"
        constraints = [models.UniqueConstraint(fields=["scope", "value", "period", "start"], name="budget_spends_once")]


class BudgetNotice(models.Model):
    """That a share of a budget was reached, once in each period. By name: the file's budgets have no row."""

    budget = models.CharField(max_length=100)
    start = models.DateTimeField(help_text="of the period")
    end = models.DateTimeField()
    threshold = models.PositiveSmallIntegerField(help_text="percent of the limit")
    spent_usd = models.FloatField()
    limit_usd = models.FloatField()
    dismissed = models.BooleanField(default=False)

    class Meta:
        db_table = "budget_notices"
        constraints = [
            models.UniqueConstraint(fields=["budget", "start", "threshold"], name="budget_notices_once"),
        ]


class QuotaWindow(models.Model):
    """What a provider has last said of one of its limits."""

    provider = models.CharField(max_length=64)
    account = models.CharField(max_length=16, blank=True, help_text="tells accounts apart; made of no key")
    window = models.CharField(max_length=64)
    limit = models.FloatField(null=True)
    remaining = models.FloatField(null=True)
    reset_at = models.FloatField(null=True, help_text="seconds since the epoch")
    seen_at = models.DateTimeField()

    class Meta:
        db_table = "quota_windows"
        constraints = [models.UniqueConstraint(fields=["provider", "account", "window"], name="quota_windows_once")]

    @property
    def used_percent(self) -> int | None:
        """The share that is used, where it is known."""
        if not self.limit or self.remaining is None:
            return None
        return min(max(round((1 - self.remaining / self.limit) * 100), 0), 100)

    @property
    def resets(self) -> datetime | None:
        """When it begins anew."""
        try:
            return None if self.reset_at is None else datetime.fromtimestamp(self.reset_at, UTC)
        except (ValueError, OverflowError, OSError):
            return None  # a time that no calendar has

    @property
    def is_past(self) -> bool:
        """Whether it has begun anew since it was told of."""
        return self.resets is not None and self.resets < datetime.now(UTC)
