"""What a trusted proxy says of the client, for LunaRoute's own pages; proxy/forwarded.py does it for what goes to providers."""

from collections.abc import Callable

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_and_async_middleware

from proxy.forwarded import Trusted


@sync_and_async_middleware
def forwarded(get_response: Callable) -> Callable:
    """Let REMOTE_ADDR be the client's, and take away what nobody trusted has said."""
    trusted = Trusted(settings.LUNAROUTE.trusted_proxies)
    if iscoroutinefunction(get_response):

        async def middleware(request: HttpRequest) -> HttpResponse:
            take(request.META, trusted)
            return await get_response(request)
    else:

        def middleware(request: HttpRequest) -> HttpResponse:
            take(request.META, trusted)
            return get_response(request)

    return middleware


def take(meta: dict, trusted: Trusted) -> None:
    """Change Django's `meta` of a request."""
    peer, chain = meta.get("REMOTE_ADDR") or "", meta.pop("HTTP_X_FORWARDED_FOR", "")
    if trusted.has(peer):
        meta["REMOTE_ADDR"] = trusted.client(peer, [part.strip() for part in chain.split(",") if part.strip()])
    else:
        meta.pop("HTTP_X_FORWARDED_PROTO", None)
