"""The pages of the browser: thin views over queries and pure functions."""

from collections.abc import Callable
from functools import wraps

from django.conf import settings
from django.http import HttpRequest, HttpResponse


def page(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A page exists only while the browser is switched on (ui.enabled)."""

    @wraps(view)
    def check(request: HttpRequest, *args, **kwargs) -> HttpResponse:
        if not settings.LUNAROUTE.ui.enabled:
            text = "The session browser is switched off (ui.enabled in the configuration, or LUNAROUTE_UI_ENABLED).\n"
            return HttpResponse(text, status=404, content_type="text/plain; charset=utf-8")
        return view(request, *args, **kwargs)

    return check


def wants_fragment(request: HttpRequest) -> bool:
    """Whether htmx asks for a piece of the page that it shows already."""
    return request.headers.get("HX-Request") == "true" and request.headers.get("HX-History-Restore-Request") != "true"
