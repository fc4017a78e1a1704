"""The record in the admin: to look at, not to change."""

from django.contrib import admin
from django.http import HttpRequest

from sessions.models import Exchange, Session, ToolCall


class ReadOnlyAdmin(admin.ModelAdmin):
    """What was recorded stays what it was."""

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
    list_display = ("name", "call_id", "started_at", "execution_ms", "is_error", "input_bytes", "output_bytes")
    list_filter = ("is_error",)
    search_fields = ("name", "call_id", "session__session_id")
    exclude = ("arguments", "result")
    show_full_result_count = False
    ordering = ("-pk",)
