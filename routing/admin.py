"""Providers and rules in the admin, beside those of the configuration file."""

from collections.abc import Callable, Iterable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from routing import models, sources
from routing.definitions import FROM_FILE
from routing.forms import ProviderForm, RuleForm, rules_naming
from routing.masking import masked
from routing.overview import chain_of, key_of, requests_of, shown_url
from routing.rules import RuleSet

_LONGEST_SHOWN = 200
LOST_KEY = (
    "The base URL has another scheme, host or port, so the provider's key was removed: it is not sent to somebody else. "
    "Enter the key to use there."
)


class RoutingAdmin(admin.ModelAdmin):
    """What both lists share: the file's rows above the table, enabling, and a history that tells values."""

    actions = ("enable", "disable")
    list_filter = ("enabled",)
    search_fields = ("name",)

    def file_rows(self, definitions: sources.Definitions) -> list[dict[str, object]]:
        """Give what comes from the file, by the heads of columns."""
        raise NotImplementedError

    def warnings_about(self, row: Any, definitions: sources.Definitions) -> Iterable[str]:
        """Give what there is to say about a row that was saved."""
        raise NotImplementedError

    def changelist_view(self, request: HttpRequest, extra_context: dict | None = None) -> HttpResponse:
        definitions = sources.load(*sources.from_configuration())
        context = {"file_rows": self.file_rows(definitions), "warnings": definitions.warnings}
        return super().changelist_view(request, {**(extra_context or {}), **context})

    def construct_change_message(
        self, request: HttpRequest, form: forms.ModelForm, formsets: list, add: bool = False
    ) -> Any:
        """Say what was changed from what to what; keys are not told."""
        if getattr(form, "lost_key", False):
            messages.warning(request, LOST_KEY)
            return f"{self._changes(form)}; API key: removed, because the base URL is another one"
        if add or not form.changed_data:
            return super().construct_change_message(request, form, formsets, add)
        return self._changes(form)

    def _changes(self, form: forms.ModelForm) -> str:
        return "; ".join(filter(None, (_change(form, name) for name in form.changed_data)))

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        self._warn(request, obj)
        return super().response_add(request, obj, post_url_continue)

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        self._warn(request, obj)
        return super().response_change(request, obj)

    @admin.action(description="Enable", permissions=["change"])
    def enable(self, request: HttpRequest, chosen: QuerySet) -> None:
        """Enable the chosen rows."""
        self._switch(request, chosen, True)

    @admin.action(description="Disable", permissions=["change"])
    def disable(self, request: HttpRequest, chosen: QuerySet) -> None:
        """Disable the chosen rows."""
        self._switch(request, chosen, False)

    def _switch(self, request: HttpRequest, chosen: QuerySet, enabled: bool) -> None:
        rows = list(chosen.exclude(enabled=enabled))
        for row in rows:
            row.enabled = enabled
            row.save(update_fields=["enabled"])
            self.log_change(request, row, f"enabled: {_shown(not enabled)} → {_shown(enabled)}")
        self.message_user(request, f"{len(rows)} {'enabled' if enabled else 'disabled'}.")
        for row in rows:
            self._warn(request, row)

    def _warn(self, request: HttpRequest, row: Any) -> None:
        for warning in self.warnings_about(row, sources.load(*sources.from_configuration())):
            self.message_user(request, warning, messages.WARNING)


@admin.register(models.Provider)
class ProviderAdmin(RoutingAdmin):
    form = ProviderForm
    list_display = ("name", "enabled", "provider_type", "address", "own_key", "model")
    list_filter = ("enabled", "provider_type")
    actions = ("enable", "disable", "reset")
    fieldsets = (
        (None, {"fields": ("name", "enabled", "provider_type", "base_url", "api_key", "remove_key")}),
        ("Model", {"fields": ("model", "model_map", "openai_api")}),
        (
            "Changes of each request",
            {"fields": ("request_headers", "body_defaults", "body_overrides", "prepend_messages", "switch_notification")},
        ),
        (
            "Connections",
            {
                "classes": ("collapse",),
                "fields": (
                    "timeout_secs", "connect_timeout_secs", "max_retries", "pool_max_idle_per_host", "pool_idle_timeout_secs",
                    "tcp_keepalive_secs",
                ),
            },
        ),
        (
            "Codex CLI's login",
            {
                "classes": ("collapse",),
                "fields": ("codex_enabled", "codex_auth_file", "codex_token_field", "codex_account_id"),
            },
        ),
    )  # fmt: skip

    @admin.display(description="base URL", ordering="base_url")
    def address(self, provider: models.Provider) -> str:
        """Give where it is, without a password."""
        return shown_url(provider.base_url)

    @admin.display(description="own key", boolean=True)
    def own_key(self, provider: models.Provider) -> bool:
        """Tell whether it has a key."""
        return bool(provider.encrypted_key)

    @admin.action(description="Close the breaker and end the rest", permissions=["change"])
    def reset(self, request: HttpRequest, chosen: QuerySet) -> None:
        """Reset the chosen providers in every process."""
        for provider in chosen:
            sources.reset(provider.name)
            self.log_change(request, provider, "breaker closed, rest ended")
        self.message_user(request, f"{len(chosen)} reset: they are asked again from the next request on.")

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple:
        """Refuse where a rule names one of them."""
        to_delete, counts, needed, protected = super().get_deleted_objects(objs, request)
        for provider in objs:
            for rule in rules_naming(provider.name):
                protected.append(f"the rule {rule!r} names {provider.name!r}: change the rule first")
        return to_delete, counts, needed, protected

    def file_rows(self, definitions: sources.Definitions) -> list[dict[str, object]]:
        return [
            {
                "Name": provider.name,
                "Enabled": _shown(provider.enabled),
                "Type": provider.provider_type,
                "Base URL": shown_url(provider.base_url),
                "Key": key_of(provider),
                "Model": provider.model,
            }
            for provider in definitions.providers.values()
            if provider.source == FROM_FILE
        ]

    def warnings_about(self, row: models.Provider, definitions: sources.Definitions) -> Iterable[str]:
        rules = {rule.name for rule in definitions.rules if row.name in rule.all_providers()}
        about = f"Provider {row.name!r} of the admin"
        yield from (warning for warning in definitions.warnings if warning.startswith(about))
        yield from (f"Rule {name}: {why}" for name, why in definitions.rule_warnings.items() if name in rules)


@admin.register(models.Rule)
class RuleAdmin(RoutingAdmin):
    form = RuleForm
    list_display = ("name", "priority", "enabled", "conditions", "strategy", "chain")
    list_editable = ("priority",)
    list_filter = ("enabled", "strategy", "client", "dialect")
    fieldsets = (
        (None, {"fields": ("name", "enabled", "priority")}),
        ("Which requests", {"fields": ("model_pattern", "path_pattern", "headers", "client", "dialect")}),
        (
            "Who serves them",
            {"fields": ("strategy", "providers", "weights", "alternatives", "fallbacks", "backoff_base_secs")},
        ),
    )

    @admin.display(description="which requests")
    def conditions(self, rule: models.Rule) -> str:
        """Give its conditions in words."""
        return _of(rule, requests_of)

    @admin.display(description="who serves them")
    def chain(self, rule: models.Rule) -> str:
        """Give its providers in words."""
        return _of(rule, chain_of)

    def file_rows(self, definitions: sources.Definitions) -> list[dict[str, object]]:
        return [
            {
                "Name": rule.name,
                "Priority": rule.priority,
                "Enabled": _shown(rule.enabled),
                "Which requests": requests_of(rule),
                "Strategy": rule.strategy,
                "Who serves them": chain_of(rule),
            }
            for rule in RuleSet(definitions.rules).rules
            if rule.source == FROM_FILE
        ]

    def warnings_about(self, row: models.Rule, definitions: sources.Definitions) -> Iterable[str]:
        about = (f"Rule {row.name!r} of the admin", f"Rule {row.name}: ")
        return [warning for warning in definitions.warnings if warning.startswith(about)]


def _of(rule: models.Rule, say: Callable) -> str:
    try:
        return say(rule.definition())
    except (TypeError, ValueError):
        return "(cannot be read)"


def _change(form: forms.ModelForm, name: str) -> str:
    """Say what happened to one field."""
    if name == "api_key":
        return "API key: a new one"
    if name == "remove_key":
        return "API key: removed" if form.cleaned_data[name] else ""
    label = str(form.fields[name].label or name).lower() if form.fields[name].label else name
    before, after = form.initial.get(name), form.cleaned_data.get(name)
    if name == "base_url":
        before, after = shown_url(before or ""), shown_url(after or "")
    return f"{label}: {_shown(before, name)} → {_shown(after, name)}"


def _shown(value: Any, name: str = "") -> str:
    """Give a value for the history: short, and without what may be a key."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value in (None, "", [], {}):
        return "nothing"
    text = str(masked(value, name))
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
