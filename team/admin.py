"""Users, their tokens, projects and the audit log in the admin: what administers, and opens nobody's sessions by that.

An administrator of the pages makes users and lets them go, revokes tokens, sets limits and invites to projects. Whoever is to read
others' sessions stands in the configuration file, or is let in by one of those who recorded them (membership.py).
"""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse

from team import accounts, audit, membership
from team.models import AuditEntry, Invitation, Limit, Project, Token

ROLES = ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")


def step(request: HttpRequest, action: str, what: str, subject: Any) -> None:
    """Write down a step that somebody else has to know of."""
    address = request.META.get("REMOTE_ADDR") or ""
    audit.write(request.user.get_username(), action, what, 200, address, subject.get_username())


def _in_a_team() -> bool:
    return settings.LUNAROUTE.team.enabled


class NewUserForm(AdminUserCreationForm):
    """A user's name, and a first password, which they have to replace."""

    def clean_username(self) -> str:
        """Give the name, if nobody's sessions are opened by it."""
        name = super().clean_username()
        if _in_a_team() and (problem := accounts.problem_of_name(name or "")):
            raise forms.ValidationError(problem)
        return name


class TeamUserAdmin(UserAdmin):
    """Names stay as they are, for sessions are owned by name. A password is the user's own from the first sign-in on."""

    add_form = NewUserForm

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple:
        own = ("username", "last_login", "date_joined") if obj is not None and _in_a_team() else ()
        return (*super().get_readonly_fields(request, obj), *own)

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not _in_a_team():
            return
        if not change and obj.has_usable_password():
            accounts.password_is_known(obj)
            step(request, audit.CREDENTIAL, f"user {obj}: first password", obj)
        if change and (changed := [name for name in ROLES if name in form.changed_data]):
            roles = [
                name.removeprefix("is_") for name in ("is_active", "is_staff", "is_superuser") if getattr(obj, name)
            ]
            step(
                request,
                audit.ROLE,
                f"user {obj}: {', '.join(changed)} changed; now {', '.join(roles) or 'nothing'}",
                obj,
            )

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        user = self.get_object(request, id) if _in_a_team() else None
        if user is not None and not accounts.is_fresh(user):
            messages.error(
                request,
                "Nobody sets the password of another here: `lunaroute-server users password` on the server does.",
            )
            raise PermissionDenied
        response = super().user_change_password(request, id, form_url)
        if user is not None and request.method == "POST" and response.status_code == 302:
            accounts.password_is_known(user)
            step(request, audit.CREDENTIAL, f"user {user}: first password", user)
        return response


admin.site.unregister(get_user_model())
admin.site.register(get_user_model(), TeamUserAdmin)


@admin.register(Token)
class TokenAdmin(admin.ModelAdmin):
    """Users make their own (on their account page); here a token can be revoked."""

    list_display = ("name", "user", "hint", "created_at", "expires_at")
    list_filter = ("user",)
    search_fields = ("name", "user__username")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


class ProjectForm(forms.ModelForm):
    """Who is to be a member, and who no more."""

    invite = forms.ModelMultipleChoiceField(
        get_user_model().objects.order_by("username"),
        required=False,
        help_text="They are members when they have accepted on their account page and, where the project has members or sessions, "
        "one of those has agreed.",
    )
    remove = forms.ModelMultipleChoiceField(
        get_user_model().objects.none(), required=False, help_text="Members, and those who are invited."
    )

    class Meta:
        model = Project
        fields = ("name",)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if self.instance.pk:
            users = get_user_model().objects
            inside = users.filter(shared_projects=self.instance) | users.filter(invitations__project=self.instance)
            self.fields["remove"].queryset = inside.distinct().order_by("username")


@admin.register(Project)
class ProjectAdmin(admin.ModelAdmin):
    """Whose members see each other's sessions of it. It keeps its name, by which sessions belong to it."""

    form = ProjectForm
    list_display = ("name", "shared_by", "invited")
    search_fields = ("name",)
    fields = ("name", "shared_by", "invited", "invite", "remove")

    def get_readonly_fields(self, request: HttpRequest, obj: Project | None = None) -> tuple:
        return ("shared_by", "invited", *(() if obj is None else ("name",)))

    @admin.display(description="members")
    def shared_by(self, project: Project) -> str:
        """Name the members."""
        return ", ".join(project.members.values_list("username", flat=True).order_by("username")) if project.pk else ""

    @admin.display(description="invited")
    def invited(self, project: Project) -> str:
        """Name those who are invited, and what is missing."""
        return ", ".join(_missing(i) for i in project.invitations.select_related("user")) if project.pk else ""

    def save_model(self, request: HttpRequest, obj: Project, form: forms.ModelForm, change: bool) -> None:
        super().save_model(request, obj, form, change)
        for user in form.cleaned_data.get("remove", ()):
            obj.members.remove(user)
            obj.invitations.filter(user=user).delete()
            step(request, audit.MEMBER, f"project {obj}: {user} removed", user)
        for user in form.cleaned_data.get("invite", ()):
            if membership.invite(obj, user, request.user) is not None:
                step(request, audit.MEMBER, f"project {obj}: {user} invited", user)
                for member in obj.members.exclude(pk=user.pk):
                    step(request, audit.MEMBER, f"project {obj}: {user} invited", member)


def _missing(invitation: Invitation) -> str:
    said = [] if invitation.accepted else ["has to accept"]
    if not invitation.consented_by and membership.needs_consent(invitation.project, invitation.user):
        said.append("a member has to agree")
    return f"{invitation.user} ({', '.join(said)})" if said else str(invitation.user)


@admin.register(Limit)
class LimitAdmin(admin.ModelAdmin):
    """Requests a minute, tokens a day, USD a month."""

    list_display = ("__str__", "requests_per_minute", "tokens_per_day", "usd_per_month")
    autocomplete_fields = ("user",)


@admin.register(AuditEntry)
class AuditAdmin(admin.ModelAdmin):
    """To read; nobody changes it here."""

    list_display = ("at", "user", "action", "target", "subject", "status", "address")
    list_filter = ("action",)
    search_fields = ("user", "subject", "target", "address")
    date_hierarchy = "at"
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False
