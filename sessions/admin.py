"""The record in the admin, to look at, not to change; and one's own prices, to change."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from routing.masking import masked_webhook
from sessions import viewing
from sessions.budgets.definitions import problems_of
from sessions.budgets.sources import from_file
from sessions.models import Budget, Exchange, ModelPrice, Session, ToolCall
from sessions.repricing import models_of, reprice


class ReadOnlyAdmin(admin.ModelAdmin):
    """What was recorded stays what it was, and is shown to who may see it elsewhere. `to_session` leads to the session."""

    to_session = ""

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        rows = super().get_queryset(request)
        if viewing.current() is None:
            return rows
        return rows.filter(**{f"{self.to_session}__in" if self.to_session else "pk__in": viewing.sessions()})

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(Session)
class SessionAdmin(ReadOnlyAdmin):
    list_display = (
        "title_or_id",
        "client",
        "model_used",
        "started_at",
        "requests",
        "total_tokens",
        "cost_usd",
        "success",
    )
    list_filter = ("client", "provider", "model_used", "success")
    search_fields = ("session_id", "title")
    date_hierarchy = "started_at"
    ordering = ("-started_at",)

    @admin.display(description="session", ordering="title")
    def title_or_id(self, session: Session) -> str:
        return str(session)


@admin.register(Exchange)
class ExchangeAdmin(ReadOnlyAdmin):
    to_session = "session"
    list_display = (
        "request_id",
        "kind",
        "model_used",
        "started_at",
        "status",
        "success",
        "total_tokens",
        "duration_ms",
    )
    list_filter = ("kind", "provider", "dialect", "success")
    search_fields = ("request_id", "session__session_id", "response_id")
    exclude = ("leaf", "thread", "system", "tools", "recipe", "patches", "body_sha256", "response", "answer")
    list_select_related = ("session",)
    show_full_result_count = False
    ordering = ("-pk",)


@admin.register(ToolCall)
class ToolCallAdmin(ReadOnlyAdmin):
    to_session = "session"
    list_display = ("name", "call_id", "started_at", "execution_ms", "is_error", "input_bytes", "output_bytes")
    list_filter = ("is_error",)
    search_fields = ("name", "call_id", "session__session_id")
    exclude = ("arguments", "result")
    show_full_result_count = False
    ordering = ("-pk",)


@admin.register(ModelPrice)
class ModelPriceAdmin(admin.ModelAdmin):
    list_display = ("pattern", "provider_type", "input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
    list_filter = ("provider_type",)
    search_fields = ("pattern",)
    ordering = ("pattern",)
    actions = ("price_anew",)

    @admin.action(description="Price recorded exchanges of these models anew", permissions=["change"])
    def price_anew(self, request: HttpRequest, chosen: QuerySet[ModelPrice]) -> None:
        done = reprice(models_of(chosen))
        self.message_user(request, f"{done.exchanges} exchanges of {done.sessions} sessions have a new cost.")


class BudgetForm(forms.ModelForm):
    """Says of each field what is wrong with it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._kept = self.initial.get("webhook_url", "")
        self.initial["webhook_url"] = masked_webhook(self._kept)

    def clean_webhook_url(self) -> str:
        """Give the address; as it was shown, it is the one that there was."""
        given = self.cleaned_data["webhook_url"]
        return self._kept if given and given == masked_webhook(self._kept) else given

    class Meta:
        model = Budget
        fields = ("name", "enabled", "scope", "value", "period", "limit_usd", "refuse", "webhook_url")

    def clean(self) -> dict:
        cleaned = super().clean()
        if not self.errors:
            budget = Budget(**cleaned).definition()
            if budget.name in {known.name for known in from_file()}:
                self.add_error("name", "expected another name: a budget of the configuration file has it")
            for problem in problems_of(budget, settings.LUNAROUTE.allowed_addresses):
                field, _, words = problem.partition(": ")
                self.add_error(field, words)
        return cleaned


@admin.register(Budget)
class BudgetAdmin(admin.ModelAdmin):
    """Budgets beside those of the file, which are read-only (docs/budgets.md)."""

    form = BudgetForm
    list_display = ("name", "enabled", "scope", "value", "period", "limit_usd", "refuse")
    list_filter = ("enabled", "scope", "period")
    search_fields = ("name", "value")
