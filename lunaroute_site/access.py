"""Who may see LunaRoute's own pages, API and metrics: no page of another site, and where there is a token, who knows it.

Providers are guarded by proxy/guard.py. Who administers signs in besides (lunaroute_site/owner.py, Django's admin).
"""

from collections.abc import Callable
from http import HTTPStatus
from math import ceil
from urllib.parse import urlencode

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.contrib.auth.signals import user_login_failed
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.request import split_domain_port, validate_host
from django.shortcuts import render
from django.utils.crypto import salted_hmac
from django.utils.decorators import sync_and_async_middleware
from django.utils.http import url_has_allowed_host_and_scheme

from proxy.forwarded import is_loopback, place_of
from proxy.guard import NOT_OURS, is_foreign, is_same
from proxy.throttle import throttle
from team import audit
from team.access import refuse, token_of

LOGIN = "/login"
# Seconds that a browser is remembered.
REMEMBERED = 30 * 24 * 3600
# What anybody may ask.
PROBES = ("/healthz", "/readyz")
# The link of owner.py brings a secret of its own.
OWNER = "/owner/"
SIGN_INS = (LOGIN, "/admin/login/")


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
    """Give the answer to who may not see what it asks for; None to who may. In a team it is on the audit log."""
    response = _refusal(request)
    if response is not None and settings.LUNAROUTE.team.enabled:
        audit.refused("", request.path_info, response.status_code, address_of(request))
    return response


def _refusal(request: HttpRequest) -> HttpResponse | None:
    if request.path_info in PROBES:
        return None
    host = request.headers.get("Host")
    if host is not None and not validate_host(split_domain_port(host)[0], settings.ALLOWED_HOSTS):
        return refuse(request, HTTPStatus.BAD_REQUEST, NOT_OURS)  # Django's own answer would not say why
    if _is_foreign(request):
        return refuse(request, HTTPStatus.FORBIDDEN, "A page of another site may not ask LunaRoute.")
    is_team = settings.LUNAROUTE.team.enabled
    given = secret_of(request.headers, {} if is_team else request.COOKIES)
    is_form = request.method == "POST" and request.path_info in SIGN_INS
    if given or is_form:
        seconds = throttle.wait(address_of(request), b"" if is_form else given)
        if seconds:
            response = refuse(request, HTTPStatus.TOO_MANY_REQUESTS, f"Too many attempts: wait {seconds:.0f} s.")
            response["Retry-After"] = str(ceil(seconds))
            return response
    if is_team:
        # Everybody signs in as themselves (team/access.py); the server's token is for who reads its metrics.
        token = token_of_configuration()
        request.is_scraper = bool(token) and is_same(token_of(request.headers).encode("utf-8", "replace"), token)
        return None
    if request.path_info == LOGIN or request.path_info.startswith(OWNER) or _is_known(request):
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


def knows_token(headers, cookies, address: str) -> bool:
    """Tell whether a request with these headers and cookies has the token, where there is one. Names in any case.

    A wrong one counts as a guess of `address`.
    """
    token = token_of_configuration()
    if not token:
        return True
    given = secret_of(headers, cookies)
    if not given or throttle.wait(address, given):
        return False
    is_right = is_same(given, token if token_of(headers) else cookie_value(token, address))
    (throttle.passed if is_right else throttle.failed)(address, given)
    return is_right


def secret_of(headers, cookies) -> bytes:
    """Give what a request with these headers and cookies shows in order to come in: a token, else its cookie, else nothing."""
    return (token_of(headers) or cookies.get(cookie_name(), "")).encode("utf-8", "replace")


def _is_known(request: HttpRequest) -> bool:
    return knows_token(request.headers, request.COOKIES, address_of(request))


def token_of_configuration() -> str:
    """Give the token, or ""."""
    secret = settings.LUNAROUTE.auth_token
    return secret.get_secret_value() if secret is not None else ""


def cookie_name() -> str:
    """Name the cookie, so that two servers of one host do not take each other's."""
    return f"lunaroute_access_{settings.LUNAROUTE.port}"


def cookie_value(token: str, address: str) -> str:
    """What a browser at `address` that has given the token keeps.

    It is worth nothing once the token or the home's key is another, at a LunaRoute on another port, and in the hands of
    another machine: browsers send cookies to every port of a host, so that other servers on it get to see this one.
    """
    place = "loopback" if is_loopback(address) else place_of(address)
    about = f"{settings.LUNAROUTE.port} {place} {token}"
    return salted_hmac("lunaroute.access", about, algorithm="sha256").hexdigest()


def remember(request: HttpRequest, response: HttpResponse) -> None:
    """Let the browser come in without the token from now on."""
    token = token_of_configuration()
    if token:
        value = cookie_value(token, address_of(request))
        response.set_cookie(cookie_name(), value, REMEMBERED, secure=request.is_secure(), httponly=True, samesite="Lax")


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
    if _is_known(request):
        return HttpResponseRedirect(target)
    return render(request, "login.html")


def address_of(request: HttpRequest) -> str:
    """Give the client's address."""
    return request.META.get("REMOTE_ADDR") or ""


def _count_failure(request: HttpRequest | None = None, **about: object) -> None:
    if request is not None:
        throttle.failed(address_of(request))


user_login_failed.connect(_count_failure, dispatch_uid="lunaroute.throttle")
