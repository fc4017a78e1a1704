"""Signing in and out, and a user's own page: tokens, and how a client gets one."""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.contrib.auth import authenticate, login, logout
from django.contrib.auth.signals import user_login_failed
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from team import limits, tokens
from team.models import Limit, Token

# Tokens that a user may have, and days that one may last at most; 0: for good.
MAX_TOKENS, MAX_DAYS = 50, 3650
BACKEND = "django.contrib.auth.backends.ModelBackend"


def who(request: HttpRequest) -> dict[str, Any]:
    """Give pages what they have to know of a team: a context processor."""
    if not settings.LUNAROUTE.team.enabled:
        return {"team": False, "administers": True}
    user = getattr(request, "user", None)
    return {"team": True, "administers": bool(user is not None and user.is_staff)}


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
            return HttpResponseRedirect(wanted)
        return render(request, "team/login.html", {**context, "is_wrong": True}, status=HTTPStatus.UNAUTHORIZED)
    return render(request, "team/login.html", context)


def _user(request: HttpRequest) -> Any | None:
    name, password = request.POST.get("username", "").strip(), request.POST.get("password", "")
    if name:
        return authenticate(request, username=name, password=password)
    user = tokens.user_of(password.strip())
    if user is None:
        # Counted as other wrong guesses are (lunaroute_site/access.py).
        user_login_failed.send(sender=__name__, credentials={}, request=request)
    return user


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
        "projects": user.shared_projects.all(),
        "reads_all": user.get_username() in settings.LUNAROUTE.team.readers,
        "now": datetime.now(UTC),
        "used": limits.used_by_all().get(user.get_username(), limits.Used()),
        "limit": Limit.objects.filter(user=user).first() or Limit.objects.filter(user=None).first(),
    }
    return render(request, "team/account.html", context, status=status)


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


def _only_in_teams() -> None:
    if not settings.LUNAROUTE.team.enabled:
        raise Http404
