"""The local owner's way into the admin: a link that works once, from this machine, for a minute.

Whoever can read the terminal or the home owns the record anyway; so no password has to be made up for it.
"""

import hashlib
import json
import os
import secrets
import time
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model, login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from lunaroute_site.access import address_of, remember
from proxy.forwarded import is_loopback

# Seconds for which a link works.
VALID = 60
FILE = "owner_link"
NAME = "owner"


def make_link(home: Path, url: str) -> str:
    """Make a link, in place of the one before it. Raises OSError where the home cannot be written."""
    token = secrets.token_urlsafe(32)
    content = json.dumps({"sha256": _digest(token), "until": time.time() + VALID})
    new = home / f"{FILE}.new"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
    os.replace(new, home / FILE)
    return f"{url}/owner/{token}"


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def use(home: Path, token: str) -> bool:
    """Tell whether `token` is that of the link; it is used up then."""
    path = home / FILE
    try:
        link = json.loads(path.read_text())
        is_right = secrets.compare_digest(link["sha256"], _digest(token)) and time.time() < link["until"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if not is_right:
        return False
    with suppress(OSError):
        path.unlink()  # of two at once, one succeeds
        return True
    return False


def enter(request: HttpRequest, token: str) -> HttpResponse:
    """Sign the owner in."""
    if not is_loopback(address_of(request)) or not use(settings.LUNAROUTE.home, token):
        message = "This link works once, within a minute, on this machine: `lunaroute-server login` makes another.\n"
        return HttpResponse(message, status=HTTPStatus.FORBIDDEN, content_type="text/plain; charset=utf-8")
    users = get_user_model()
    owner, is_new = users.objects.get_or_create(username=NAME, defaults={"is_staff": True, "is_superuser": True})
    if is_new:
        owner.set_unusable_password()
        owner.save()
    login(request, owner, backend="django.contrib.auth.backends.ModelBackend")
    response = HttpResponseRedirect("/admin/")
    remember(request, response)
    return response
