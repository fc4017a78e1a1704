"""Signing in by an OpenID provider. The protocol is Authlib's: discovery, PKCE, state, nonce, the ID token's signature.

https://openid.net/specs/openid-connect-core-1_0.html
"""

import logging
import re
from functools import cache
from http import HTTPStatus
from typing import Any

from authlib.common.errors import AuthlibBaseError
from authlib.integrations.django_client import OAuth
from django.conf import settings
from django.contrib.auth import get_user_model, login
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from joserfc.errors import JoseError
from requests.exceptions import RequestException

from sessions.models import Session
from team import audit, tokens
from team.models import Login
from team.pages import BACKEND, target_of

logger = logging.getLogger("lunaroute.team")

NEXT = "oidc_next"


class NotAllowed(Exception):
    """Why somebody whom the provider knows may not come in, in a sentence."""


@cache
def _client() -> Any:
    oidc = settings.LUNAROUTE.team.oidc
    oauth = OAuth()
    oauth.register(
        "oidc",
        client_id=oidc.client_id,
        client_secret=oidc.client_secret.get_secret_value(),
        server_metadata_url=oidc.discovery_url,
        client_kwargs={"scope": "openid profile email", "code_challenge_method": "S256", "timeout": 10},
    )
    return oauth.oidc


@never_cache
def begin(request: HttpRequest) -> HttpResponse:
    """Send the browser to the provider."""
    request.session[NEXT] = target_of(request, request.GET.get("next", ""))
    try:
        return _client().authorize_redirect(request, request.build_absolute_uri("/login/oidc/callback"))
    except (AuthlibBaseError, RequestException, ValueError, RuntimeError) as error:
        return _failed(request, error)


@never_cache
def callback(request: HttpRequest) -> HttpResponse:
    """Take the browser back, with what the provider says of its user."""
    try:
        claims = _client().authorize_access_token(request).get("userinfo") or {}
        user = user_of(claims)
    except NotAllowed as why:
        logger.warning("single sign-on: %s", why)
        return _refused(request, f"{why}", HTTPStatus.FORBIDDEN)
    except (AuthlibBaseError, JoseError, RequestException, ValueError, RuntimeError) as error:
        return _failed(request, error)
    wanted = target_of(request, request.session.pop(NEXT, ""))
    login(request, user, backend=BACKEND)
    tokens.mark(request.session, "")
    return HttpResponseRedirect(wanted)


def user_of(claims: dict[str, Any]) -> Any:
    """Give the user of an ID token's claims, made at the first sign-in. Raises NotAllowed.

    Found by issuer and subject alone: a name that somebody is given later opens nobody else's account.
    """
    oidc = settings.LUNAROUTE.team.oidc
    issuer, subject = str(claims.get("iss") or "")[:255], str(claims.get("sub") or "")[:255]
    if not issuer or not subject:
        raise NotAllowed("The identity provider does not say who this is (claims iss and sub).")
    if oidc.allowed_domains:
        email = str(claims.get("email") or "")
        domain = email.rpartition("@")[2].lower()
        if claims.get("email_verified") is False or domain not in {d.lower() for d in oidc.allowed_domains}:
            raise NotAllowed("This e-mail address may not sign in here (team.oidc.allowed_domains).")
    known = Login.objects.select_related("user").filter(issuer=issuer, subject=subject).first()
    user = known.user if known is not None else _new(claims, issuer, subject)
    if not user.is_active:
        raise NotAllowed("This account has been disabled.")
    if oidc.admin_group is not None:
        groups = claims.get("groups")
        is_admin = isinstance(groups, list) and oidc.admin_group in groups
        if (user.is_staff, user.is_superuser) != (is_admin, is_admin):
            user.is_staff = user.is_superuser = is_admin
            user.save(update_fields=["is_staff", "is_superuser"])
            what = f"user {user}: {'administers' if is_admin else 'administers no more'}, by {oidc.admin_group}"
            audit.write("(single sign-on)", audit.ROLE, what, HTTPStatus.OK, "", user.get_username())
    return user


def _new(claims: dict[str, Any], issuer: str, subject: str) -> Any:
    wanted = str(claims.get(settings.LUNAROUTE.team.oidc.username_claim) or "")
    name = re.sub(r"[^A-Za-z0-9@.+_-]", "", wanted)[:150]
    if not name:
        raise NotAllowed("The identity provider does not say how this user is called (team.oidc.username_claim).")
    if not get_user_model().objects.filter(username=name).exists():
        if Session.objects.filter(owner=name).exists():
            raise NotAllowed(
                f"There are sessions of an earlier user {name} here, which would be yours: another name is needed."
            )
        # Names are often the user's to choose at the identity provider.
        if name in settings.LUNAROUTE.team.readers:
            raise NotAllowed(
                f"team.readers names {name}, whom nobody here is yet: a reader signs in first, and is named there afterwards."
            )
    try:
        with transaction.atomic():
            user = get_user_model().objects.create_user(name)  # without a password that could be used
            Login.objects.create(user=user, issuer=issuer, subject=subject)
    except IntegrityError:
        # Whoever has that name here need not be who has it there.
        raise NotAllowed(
            f"There is a user {name} here already, who did not come by single sign-on: an administrator can delete them."
        ) from None
    return user


def _failed(request: HttpRequest, error: Exception) -> HttpResponse:
    reason = " ".join(str(error).split()) or type(error).__name__
    logger.warning("single sign-on failed: %s: %s", type(error).__name__, reason)
    return _refused(
        request, "Signing in by the identity provider failed; the server's log says why.", HTTPStatus.BAD_GATEWAY
    )


def _refused(request: HttpRequest, problem: str, status: HTTPStatus) -> HttpResponse:
    context = {"oidc": settings.LUNAROUTE.team.oidc.label, "next": "/ui/", "problem": problem}
    return render(request, "team/login.html", context, status=status)
