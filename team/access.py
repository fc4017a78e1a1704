"""Who may see what in a team: everybody their own sessions and those of their projects, administrators the rest of the server.

A middleware, so that no page, address of the API or file of the admin can be forgotten. Content is kept apart from
administration: only users named in ``team.readers`` of the configuration read everybody's, and no page changes that.
"""

from collections.abc import Callable
from http import HTTPStatus
from importlib import import_module
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth import SESSION_KEY, get_user
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse

from proxy.throttle import throttle
from sessions.viewing import Viewer, look_as
from team import audit, tokens
from team.accounts import MUST_CHANGE

# Not a name that a user can have.
NOBODY = Viewer("(nobody)")
SWITCHING = HTTPStatus.SWITCHING_PROTOCOLS.value
# What is served to who is not signed in, or asks for more than a user's session itself.
OPEN = ("/healthz", "/readyz", "/login", "/logout", "/admin/login/", "/admin/logout/")
OPEN_UNDER = ("/login/", "/owner/", "/static/")
# What is served to who has to set a password of their own first.
CHANGING = ("/ui/account/password", "/logout")
# What administers the server, or tells of all users at once.
STAFF_UNDER = (
    "/admin/", "/metrics", "/ui/routing", "/ui/settings", "/ui/store", "/ui/notices", "/ui/pii", "/api/providers",
    "/api/rules", "/api/config", "/api/retention", "/api/budgets", "/api/quotas",
)  # fmt: skip


def members_only(get_response: Callable) -> Callable:
    """Let pass who may, as themselves. Only with ``team.enabled``."""
    if not settings.LUNAROUTE.team.enabled:
        raise MiddlewareNotUsed

    def middleware(request: HttpRequest) -> HttpResponse:
        look_as(NOBODY)
        path = request.path_info  # that the view is resolved from
        if path in OPEN or path.startswith(OPEN_UNDER) or (path == "/metrics" and request.is_scraper):
            action = audit.action_of(request.method or "", path, request.GET)
            response = get_response(request)
            audit.note(request, response, action)
            return response
        user = user_of(request.headers, request)
        note_guess(request.headers, user, request.META.get("REMOTE_ADDR") or "")
        if user is None:
            gave_token = bool(token_of(request.headers))
            audit.refused(
                "", path, HTTPStatus.UNAUTHORIZED, _address(request), audit.TOKEN if gave_token else audit.REFUSED
            )
            return _ask(request)
        request.user = user
        if is_staff_only(path) and not user.is_staff:
            audit.refused(user.get_username(), path, HTTPStatus.FORBIDDEN, _address(request))
            return refuse(request, HTTPStatus.FORBIDDEN, "Only an administrator may see this.")
        if request.session.get(MUST_CHANGE) and path not in CHANGING:
            return _ask_to_change(request)
        look_as(viewer_of(user))
        action = audit.action_of(request.method or "", path, request.GET)
        subject = audit.subject_of(action, path, user.get_username())
        response = get_response(request)
        audit.note(request, response, action, subject)
        return response

    return middleware


def user_of(headers: Any, request: HttpRequest) -> Any | None:
    """Give the user of a request with these headers (names in any case): by a token, else by its session. None: nobody."""
    given = token_of(headers)
    if given:
        return tokens.user_of(given)
    if request.session.get(SESSION_KEY) is None:
        return None
    user = get_user(request)
    return user if user.is_authenticated and user.is_active and not tokens.is_ended(request.session, user) else None


def token_of(headers: Any) -> str:
    """Give the token in these headers (names in any case), or ""."""
    scheme, _, bearer = headers.get("Authorization", "").partition(" ")
    return (bearer if scheme.lower() == "bearer" else headers.get("X-LunaRoute-Token", "")).strip()


def note_guess(headers: Any, user: Any | None, address: str) -> None:
    """Count a wrong token as a guess; `user` is whose it is."""
    given = token_of(headers).encode("utf-8", "replace")
    if given:
        (throttle.failed if user is None else throttle.passed)(address, given)


def viewer_of(user: Any) -> Viewer:
    """Give what `user` may see."""
    projects = frozenset(user.shared_projects.values_list("name", flat=True))
    return Viewer(user.get_username(), projects, user.get_username() in settings.LUNAROUTE.team.readers)


def viewer_of_socket(headers: Any, cookies: dict[str, str], path: str, address: str) -> Viewer | None:
    """Give who opens a WebSocket with these headers and cookies, None for nobody that is known. Following is reading."""
    given = token_of(headers).encode("utf-8", "replace")
    if given and throttle.wait(address, given):
        return None
    viewer = viewer_of_headers(headers, cookies)
    note_guess(headers, viewer, address)
    if viewer is None:
        audit.refused("", path, HTTPStatus.UNAUTHORIZED, address, audit.TOKEN if token_of(headers) else audit.REFUSED)
    elif path.startswith("/ui/live/sessions/"):
        audit.write(viewer.name, "read", path, SWITCHING, address, audit.subject_of("read", path, viewer.name))
    elif viewer.sees_all:
        audit.write(viewer.name, "list", path, SWITCHING, address)
    return viewer


def viewer_of_headers(headers: Any, cookies: dict[str, str]) -> Viewer | None:
    """Give who sends these headers and cookies, and what they may see now; None for nobody that is known."""
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(cookies.get(settings.SESSION_COOKIE_NAME))
    user = user_of(headers, request)
    return viewer_of(user) if user is not None and not request.session.get(MUST_CHANGE) else None


def is_staff_only(path: str) -> bool:
    """Tell whether only administrators may ask for `path`."""
    return any(path == place.rstrip("/") or path.startswith(place.rstrip("/") + "/") for place in STAFF_UNDER)


def _ask_to_change(request: HttpRequest) -> HttpResponse:
    if "text/html" in request.headers.get("Accept", "") and request.method in ("GET", "HEAD"):
        return HttpResponseRedirect(CHANGING[0])
    return refuse(
        request, HTTPStatus.FORBIDDEN, f"Somebody else knows your password: set your own at {CHANGING[0]} first."
    )


def _address(request: HttpRequest) -> str:
    return request.META.get("REMOTE_ADDR") or ""


def _ask(request: HttpRequest) -> HttpResponse:
    if "text/html" in request.headers.get("Accept", "") and request.method in ("GET", "HEAD"):
        return HttpResponseRedirect(f"/login?{urlencode({'next': request.get_full_path_info()})}")
    response = refuse(
        request, HTTPStatus.UNAUTHORIZED, "Sign in at /login, or send a token of yours as a bearer token."
    )
    response["WWW-Authenticate"] = 'Bearer realm="LunaRoute"'
    return response


def refuse(request: HttpRequest, status: HTTPStatus, message: str) -> HttpResponse:
    """Give an answer that says why, to a browser as text and to a program as JSON."""
    if "text/html" in request.headers.get("Accept", ""):
        return HttpResponse(f"{message}\n", status=status, content_type="text/plain; charset=utf-8")
    return JsonResponse({"detail": message}, status=status)
