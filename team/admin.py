"""Users' tokens, projects and the audit log in the admin."""

from django.contrib import admin, messages
from django.forms import ModelForm
from django.http import HttpRequest

from team import tokens
from team.models import AuditEntry, Limit, Project, Token


@admin.register(Token)
class TokenAdmin(admin.ModelAdmin):
    """A token is shown once, when it is made; after that it can only be revoked (deleted)."""

    list_display = ("name", "user", "hint", "created_at", "expires_at")
    list_filter = ("user",)
    search_fields = ("name", "user__username")
    autocomplete_fields = ("user",)
    fields = ("user", "name", "expires_at")

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Token, form: ModelForm, change: bool) -> None:
        row, secret = tokens.make(obj.user, obj.name, obj.expires_at)
        obj.pk = row.pk
        messages.warning(request, f"The token of {obj.user}: {secret}. It is not shown again.")


@admin.register(Project)
class ProjectAdmin(admin.ModelAdmin):
    """Whose members see each other's sessions of it."""

    list_display = ("name", "count")
    search_fields = ("name",)
    filter_horizontal = ("members",)

    @admin.display(description="members")
    def count(self, project: Project) -> int:
        return project.members.count()


@admin.register(Limit)
class LimitAdmin(admin.ModelAdmin):
    """Requests a minute, tokens a day, USD a month."""

    list_display = ("__str__", "requests_per_minute", "tokens_per_day", "usd_per_month")
    autocomplete_fields = ("user",)


@admin.register(AuditEntry)
class AuditAdmin(admin.ModelAdmin):
    """To read; nobody changes it here."""

    list_display = ("at", "user", "action", "target", "status", "address")
    list_filter = ("action",)
    search_fields = ("user", "target", "address")
    date_hierarchy = "at"
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False
