"""Signing in and out, and a user's own page: tokens, and how a client gets one."""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.contrib.auth import authenticate, login, logout, update_session_auth_hash
from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.signals import user_login_failed
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from team import accounts, audit, limits, membership, tokens
from team.models import Account, Invitation, Limit, Project, Token

# Tokens that a user may have, and days that one may last at most; 0: for good.
MAX_TOKENS, MAX_DAYS = 50, 3650
BACKEND = "django.contrib.auth.backends.ModelBackend"


def who(request: HttpRequest) -> dict[str, Any]:
    """Give pages what they have to know of a team: a context processor."""
    if not settings.LUNAROUTE.team.enabled:
        return {"team": False, "administers": True}
    user = getattr(request, "user", None)
    return {
        "team": True,
        "administers": bool(user is not None and user.is_staff),
        "concerns": lambda: _news_for(user),  # asked by pages that have a place for it
    }


def _news_for(user: Any) -> int:
    if user is None or not user.is_authenticated:
        return 0
    account = Account.objects.filter(user=user).first()
    return audit.news_for(user.get_username(), account.told_until if account is not None else None)


def target_of(request: HttpRequest, wanted: str) -> str:
    """Give where somebody goes after signing in: a page of this server."""
    is_ours = url_has_allowed_host_and_scheme(wanted, None) and wanted.startswith("/")
    return wanted if is_ours else "/ui/"


@never_cache
def sign_in(request: HttpRequest) -> HttpResponse:
    """Ask for a name and password, or a token in place of both."""
    wanted = target_of(request, request.GET.get("next", ""))
    oidc = settings.LUNAROUTE.team.oidc
    context = {"oidc": oidc.label if oidc is not None else "", "next": wanted}
    if request.method == "POST":
        user = _user(request)
        if user is not None:
            login(request, user, backend=BACKEND)
            tokens.mark(request.session, "" if _name(request) else _secret(request))
            return HttpResponseRedirect(wanted)
        return render(request, "team/login.html", {**context, "is_wrong": True}, status=HTTPStatus.UNAUTHORIZED)
    return render(request, "team/login.html", context)


def _user(request: HttpRequest) -> Any | None:
    if name := _name(request):
        return authenticate(request, username=name, password=request.POST.get("password", ""))
    user = tokens.user_of(_secret(request))
    if user is None:
        # Counted as other wrong guesses are (lunaroute_site/access.py).
        user_login_failed.send(sender=__name__, credentials={}, request=request)
    return user


def _name(request: HttpRequest) -> str:
    return request.POST.get("username", "").strip()


def _secret(request: HttpRequest) -> str:
    return request.POST.get("password", "").strip()


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the browser's session."""
    logout(request)
    return HttpResponseRedirect("/login")


@never_cache
def account(request: HttpRequest) -> HttpResponse:
    """Show a user's tokens and projects; by POST make a token."""
    _only_in_teams()
    user, context = request.user, {"place": "account", "address": f"{request.scheme}://{request.get_host()}"}
    status = HTTPStatus.OK
    if request.method == "POST":
        problem, days = _problem(request)
        if problem:
            context["problem"], status = problem, HTTPStatus.UNPROCESSABLE_ENTITY
        else:
            expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
            _, context["secret"] = tokens.make(user, request.POST["name"].strip(), expires_at)
    context |= {
        "tokens": user.tokens.all(),
        "projects": user.shared_projects.prefetch_related("members"),
        "invitations": user.invitations.select_related("project").prefetch_related("project__members"),
        "to_decide": membership.to_decide(user),
        "concerning": audit.concerning(user.get_username()),
        "has_password": user.has_usable_password(),
        "reads_all": user.get_username() in settings.LUNAROUTE.team.readers,
        "now": datetime.now(UTC),
        "used": limits.used_by_all().get(user.get_username(), limits.Used()),
        "limit": Limit.objects.filter(user=user).first() or Limit.objects.filter(user=None).first(),
    }
    response = render(request, "team/account.html", context, status=status)
    Account.objects.update_or_create(user=user, defaults={"told_until": datetime.now(UTC)})
    return response


def _problem(request: HttpRequest) -> tuple[str, int]:
    """Say what is wrong with the form of a new token, and give the days that it shall last."""
    name, days = request.POST.get("name", "").strip(), request.POST.get("days", "") or "0"
    if not 0 < len(name) <= 100 or not name.isprintable():
        return "name: expected up to 100 printable characters", 0
    if not (days.isascii() and days.isdecimal() and len(days) < 6 and int(days) <= MAX_DAYS):
        return f"days: expected a number up to {MAX_DAYS}, or nothing", 0
    if request.user.tokens.count() >= MAX_TOKENS:
        return f"You have {MAX_TOKENS} tokens: revoke one that is not in use.", 0
    return "", int(days)


@require_POST
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    """Revoke a token of one's own."""
    _only_in_teams()
    get_object_or_404(Token, pk=pk, user=request.user).delete()
    return HttpResponseRedirect("/ui/account")


@never_cache
def password(request: HttpRequest) -> HttpResponse:
    """Set a password of one's own, in place of the one that is known here."""
    _only_in_teams()
    user = request.user
    if not user.has_usable_password():
        raise Http404
    form = PasswordChangeForm(user, request.POST or None)
    if request.method == "POST" and form.is_valid():
        form.save()
        accounts.password_is_own(user)
        request.session.pop(accounts.MUST_CHANGE, None)
        update_session_auth_hash(request, user)
        return HttpResponseRedirect("/ui/account")
    must_change = bool(request.session.get(accounts.MUST_CHANGE))
    context = {"place": "account", "form": form, "must_change": must_change}
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK
    return render(request, "team/password.html", context, status=status)


@require_POST
def invited(request: HttpRequest, pk: int) -> HttpResponse:
    """Answer an invitation of one's own: accept it, or refuse."""
    _only_in_teams()
    invitation = get_object_or_404(Invitation.objects.select_related("project", "user"), pk=pk, user=request.user)
    project = invitation.project
    if request.POST.get("answer") == "accept":
        _tell(request, project, f"{request.user} accepted", request.user)
        if membership.accept(invitation):
            _tell(request, project, f"{request.user} is a member", request.user)
    else:
        invitation.delete()
        _tell(request, project, f"{request.user} refused", request.user)
    return HttpResponseRedirect("/ui/account")


@require_POST
def decide(request: HttpRequest, pk: int) -> HttpResponse:
    """Let somebody into a project that one is a member of, or not."""
    _only_in_teams()
    invitation = get_object_or_404(membership.to_decide(request.user), pk=pk)
    project, user = invitation.project, invitation.user
    if request.POST.get("answer") == "accept":
        is_member = membership.consent(invitation, request.user)
        _tell(request, project, f"{request.user} agrees to {user}", user)
        if is_member:
            _tell(request, project, f"{user} is a member", user)
    else:
        invitation.delete()
        _tell(request, project, f"{request.user} refuses {user}", user)
    return HttpResponseRedirect("/ui/account")


@require_POST
def leave(request: HttpRequest, pk: int) -> HttpResponse:
    """Be a member of a project no more."""
    _only_in_teams()
    project = get_object_or_404(request.user.shared_projects, pk=pk)
    project.members.remove(request.user)
    _tell(request, project, f"{request.user} left", request.user)
    return HttpResponseRedirect("/ui/account")


def _tell(request: HttpRequest, project: Project, what: str, about: Any) -> None:
    """Write a step of membership down, once for each whom it concerns."""
    address = request.META.get("REMOTE_ADDR") or ""
    concerned = {about.get_username(), *project.members.values_list("username", flat=True)}
    for name in sorted(concerned):
        audit.write(
            request.user.get_username(), audit.MEMBER, f"project {project}: {what}", HTTPStatus.OK, address, name
        )


def _only_in_teams() -> None:
    if not settings.LUNAROUTE.team.enabled:
        raise Http404
