"""The ASGI application of LunaRoute's own pages, API and WebSockets, and, under another server, of the proxy too.

`lunaroute-server` serves the data plane by its own protocol, beside this application; see lunaroute_site/server.py.
"""

import os
from collections.abc import Callable
from functools import partial

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lunaroute_site.settings")

from channels.db import database_sync_to_async
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import WebsocketDenier
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import parse_cookie
from django.http.request import HttpHeaders, split_domain_port, validate_host
from django.urls import re_path

http = get_asgi_application()

# By which a client of Daphne's moves the path.
ROOT_PATH = b"daphne-root-path"

from lunaroute_site.access import knows_token  # noqa: E402 (needs Django's apps)
from routing import revision  # noqa: E402
from sessions.live import routes  # noqa: E402
from sessions.viewing import look_as  # noqa: E402
from team.access import NOBODY, viewer_of_headers, viewer_of_socket  # noqa: E402


def same_origin(application: Callable) -> Callable:
    """Refuse (403) a socket that another site's page opens, or that comes by a name that is not ours (DNS rebinding).

    Browsers always name the page's origin. Who names none is no browser, and may read as curl may.
    """
    deny = WebsocketDenier.as_asgi()

    async def check(scope: dict, receive: Callable, send: Callable) -> None:
        headers = {name: value.decode("latin-1").lower() for name, value in scope["headers"]}
        host, origin = headers.get(b"host", ""), headers.get(b"origin")
        is_ours = validate_host(split_domain_port(host)[0], settings.ALLOWED_HOSTS)
        is_same = origin is None or origin in (f"http://{host}", f"https://{host}")
        allowed = is_ours and is_same and settings.LUNAROUTE.ui.enabled and await _may_enter(scope)
        await (application if allowed else deny)(scope, receive, send)

    return check


async def _may_enter(scope: dict) -> bool:
    """Tell whether a socket may be opened. In a team it is its user's from then on."""
    texts = HttpHeaders(
        {f"HTTP_{n.decode('latin-1').upper().replace('-', '_')}": v.decode("latin-1") for n, v in scope["headers"]}
    )
    cookies = parse_cookie(texts.get("Cookie", ""))
    address = scope["client"][0] if scope.get("client") else ""
    if not settings.LUNAROUTE.team.enabled:
        return knows_token(texts, cookies, address)
    # Asked again while it is open: now and then, and when users, tokens or projects have changed.
    scope["viewer"], scope["access_now"] = partial(viewer_of_headers, texts, cookies), revision.counter().value
    scope["access"] = revision.counter().value()
    viewer = await database_sync_to_async(viewer_of_socket)(texts, cookies, scope["path"], address)
    look_as(viewer or NOBODY)
    return viewer is not None


def without_root_path(application: Callable) -> Callable:
    """Let what is judged and what is served be the same path, whichever server calls.

    LunaRoute is not mounted below a root path. A server may take one from a header (Daphne does), and Django and
    Channels resolve what is left of the path then.
    """

    async def call(scope: dict, receive: Callable, send: Callable) -> None:
        if scope["type"] in ("http", "websocket"):
            headers = [(name, value) for name, value in scope["headers"] if name.lower() != ROOT_PATH]
            scope = {**scope, "root_path": "", "headers": headers}
        await application(scope, receive, send)

    return call


websocket = same_origin(URLRouter([*routes, re_path(r"", WebsocketDenier.as_asgi())]))
application = without_root_path(ProtocolTypeRouter({"http": http, "websocket": websocket}))
