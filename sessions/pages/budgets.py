"""Notices of budgets, which every page shows while they hold."""

from datetime import UTC, datetime

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.functional import SimpleLazyObject
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from sessions.budgets import notices
from sessions.pages import page, wants_fragment


def shown_notices(request: HttpRequest) -> dict:
    """Let templates have the notices; those that show none ask for none."""
    return {"notices": SimpleLazyObject(lambda: notices.shown(datetime.now(UTC)))}


@page
@never_cache
def current(request: HttpRequest) -> HttpResponse:
    """For htmx: the notices that hold now."""
    return render(request, "figures/_notices.html")


@page
@require_POST
def dismiss(request: HttpRequest, pk: int) -> HttpResponse:
    """Show a notice no more in its period."""
    notices.dismiss(pk)
    if wants_fragment(request):
        return render(request, "figures/_notices.html")
    back = request.POST.get("back", "")
    allowed = back.startswith("/ui/") and url_has_allowed_host_and_scheme(back, None)
    return HttpResponseRedirect(back if allowed else "/ui/")
