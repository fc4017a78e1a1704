"""What every page of LunaRoute carries."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_and_async_middleware

# Pages show what strangers wrote into a conversation: nothing runs but our own files, nothing loads from elsewhere.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@sync_and_async_middleware
def content_security_policy(get_response: Callable) -> Callable:
    """Send the policy with every answer that does not bring its own."""
    from asgiref.sync import iscoroutinefunction

    if iscoroutinefunction(get_response):

        async def middleware(request: HttpRequest) -> HttpResponse:
            return _add(request, await get_response(request))
    else:

        def middleware(request: HttpRequest) -> HttpResponse:
            return _add(request, get_response(request))

    return middleware


def _add(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    response.headers.setdefault("Content-Security-Policy", POLICY)
    # Nor may another site's page show an image of ours.
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    if request.is_secure():  # by LunaRoute's own TLS or that of a trusted proxy: then no cookie goes without
        for cookie in response.cookies.values():
            cookie["secure"] = True
    return response
