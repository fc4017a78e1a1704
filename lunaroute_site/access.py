"""Who may see LunaRoute's own pages, API and metrics: no page of another site, and where there is a token, who knows it.

Providers are guarded by proxy/guard.py. Who administers signs in besides (lunaroute_site/owner.py, Django's admin).
"""

from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import urlencode

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.contrib.auth.signals import user_login_failed
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.crypto import salted_hmac
from django.utils.decorators import sync_and_async_middleware
from django.utils.http import url_has_allowed_host_and_scheme

from lunaroute_site.throttle import Throttle
from proxy.guard import is_foreign, is_same
from team.access import refuse

COOKIE = "lunaroute_access"
LOGIN = "/login"
# Seconds that a browser is remembered.
REMEMBERED = 30 * 24 * 3600
# What anybody may ask.
PROBES = ("/healthz", "/readyz")
# The link of owner.py brings a secret of its own.
OWNER = "/owner/"
SIGN_INS = (LOGIN, "/admin/login/")

throttle = Throttle()


@sync_and_async_middleware
def gate(get_response: Callable) -> Callable:
    """Let pass who may."""
    if iscoroutinefunction(get_response):

        async def middleware(request: HttpRequest) -> HttpResponse:
            return refusal(request) or await get_response(request)
    else:

        def middleware(request: HttpRequest) -> HttpResponse:
            return refusal(request) or get_response(request)

    return middleware


def refusal(request: HttpRequest) -> HttpResponse | None:
    """Give the answer to who may not see what it asks for; None to who may."""
    if request.path_info in PROBES:
        return None
    if _is_foreign(request):
        return refuse(request, HTTPStatus.FORBIDDEN, "A page of another site may not ask LunaRoute.")
    if request.method == "POST" and request.path_info in SIGN_INS:
        seconds = throttle.wait(address_of(request))
        if seconds:
            response = refuse(request, HTTPStatus.TOO_MANY_REQUESTS, f"Too many attempts: wait {seconds:.0f} s.")
            response["Retry-After"] = f"{seconds:.0f}"
            return response
    if settings.LUNAROUTE.team.enabled:
        # Everybody signs in as themselves (team/access.py); the server's token is for who reads its metrics.
        request.is_scraper = bool(token_of_configuration()) and knows_token(request.headers, {})
        return None
    if (
        request.path_info == LOGIN
        or request.path_info.startswith(OWNER)
        or knows_token(request.headers, request.COOKIES)
    ):
        return None
    if "text/html" in request.headers.get("Accept", "") and request.method in ("GET", "HEAD"):
        return HttpResponseRedirect(f"{LOGIN}?{urlencode({'next': request.get_full_path_info()})}")
    response = refuse(
        request, HTTPStatus.UNAUTHORIZED, "LunaRoute asks for its token (LUNAROUTE_AUTH_TOKEN) as a bearer token."
    )
    response["WWW-Authenticate"] = 'Bearer realm="LunaRoute"'
    return response


def _is_foreign(request: HttpRequest) -> bool:
    headers = request.headers
    site, origin = headers.get("Sec-Fetch-Site"), headers.get("Origin")
    if not is_foreign(
        headers.get("Host", "").encode(), origin and origin.encode(), site.encode() if site is not None else None
    ):
        return False
    # A link to a page of ours, as a chat or an issue may have it: whoever set it cannot read what it shows.
    is_link = headers.get("Sec-Fetch-Mode") == "navigate" and headers.get("Sec-Fetch-Dest") == "document"
    return not (is_link and origin is None and request.method == "GET")


def knows_token(headers, cookies) -> bool:
    """Tell whether a request with these headers and cookies has the token, where there is one. Names in any case."""
    token = token_of_configuration()
    if not token:
        return True
    scheme, _, bearer = headers.get("Authorization", "").partition(" ")
    given = bearer if scheme.lower() == "bearer" else headers.get("X-LunaRoute-Token", "")
    if given:
        return is_same(given.strip().encode("utf-8", "replace"), token)
    return is_same(cookies.get(COOKIE, "").encode("utf-8", "replace"), cookie_value(token))


def token_of_configuration() -> str:
    """Give the token, or ""."""
    secret = settings.LUNAROUTE.auth_token
    return secret.get_secret_value() if secret is not None else ""


def cookie_value(token: str) -> str:
    """What a browser that has given the token keeps: worth nothing once the token or the home's key is another."""
    return salted_hmac("lunaroute.access", token, algorithm="sha256").hexdigest()


def remember(request: HttpRequest, response: HttpResponse) -> None:
    """Let the browser come in without the token from now on."""
    token = token_of_configuration()
    if token:
        response.set_cookie(
            COOKIE, cookie_value(token), REMEMBERED, secure=request.is_secure(), httponly=True, samesite="Lax"
        )


def login(request: HttpRequest) -> HttpResponse:
    """Ask for the token, once in a browser."""
    wanted = request.GET.get("next", "")
    target = wanted if url_has_allowed_host_and_scheme(wanted, None) and wanted.startswith("/") else "/ui/"
    if request.method == "POST":
        token = token_of_configuration()
        if is_same(request.POST.get("token", "").strip().encode("utf-8", "replace"), token):
            response = HttpResponseRedirect(target)
            remember(request, response)
            return response
        throttle.failed(address_of(request))
        return render(request, "login.html", {"is_wrong": True}, status=HTTPStatus.UNAUTHORIZED)
    if knows_token(request.headers, request.COOKIES):
        return HttpResponseRedirect(target)
    return render(request, "login.html")


def address_of(request: HttpRequest) -> str:
    """Give the client's address."""
    return request.META.get("REMOTE_ADDR") or ""


def _count_failure(request: HttpRequest | None = None, **about: object) -> None:
    if request is not None:
        throttle.failed(address_of(request))


user_login_failed.connect(_count_failure, dispatch_uid="lunaroute.throttle")
