"""The pages of the record."""

from collections.abc import Callable
from functools import wraps
from math import ceil

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from pydantic import ValidationError

from sessions import queries, timeline
from sessions.models import Session

PAGE_SIZE, TURNS_PER_PAGE = 50, 100


def page(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A page exists only while the browser is switched on (ui.enabled)."""

    @wraps(view)
    def check(request: HttpRequest, *args, **kwargs) -> HttpResponse:
        if not settings.LUNAROUTE.ui.enabled:
            text = "The session browser is switched off (ui.enabled in the configuration, or LUNAROUTE_UI_ENABLED).\n"
            return HttpResponse(text, status=404, content_type="text/plain; charset=utf-8")
        return view(request, *args, **kwargs)

    return check


@page
def sessions(request: HttpRequest) -> HttpResponse:
    """The list of sessions; its filters stand in the address, by the API's names."""
    given = {name: value for name, value in request.GET.items() if value != ""}
    problem = ""
    try:
        wanted = queries.SessionFilter(**{"page_size": PAGE_SIZE, **given})
    except ValidationError as error:
        first = error.errors()[0]
        problem = f"{first['loc'][0]}: {first['msg']}"
        wanted = queries.SessionFilter(page_size=PAGE_SIZE)
    found = queries.find(wanted)
    total = found.count()
    start = (wanted.page - 1) * wanted.page_size
    rows = list(found[start : start + wanted.page_size])
    context = {
        "sessions": rows,
        "total": total,
        "wanted": wanted,
        "problem": problem,
        "is_filtered": bool(set(given) - {"page", "page_size", "sort"}),
        "pages": _pages(request, wanted.page, ceil(total / wanted.page_size)),
        "clients": [c for c in Session.objects.order_by("client").values_list("client", flat=True).distinct() if c],
        "models": [
            m for m in Session.objects.order_by("model_used").values_list("model_used", flat=True).distinct() if m
        ],
        "address": f"{request.scheme}://{request.get_host()}",
    }
    return render(request, "sessions/list.html", context, status=422 if problem else 200)


@page
def session(request: HttpRequest, session_id: str) -> HttpResponse:
    """One session: its figures, and its exchanges in order."""
    row = Session.objects.filter(session_id=session_id).first()
    if row is None:
        return render(request, "sessions/missing.html", {"session_id": session_id}, status=404)
    total = row.exchanges.count()
    last = max(ceil(total / TURNS_PER_PAGE), 1)
    number = request.GET.get("page", "1")
    if not number.isdecimal() or not 1 <= int(number) <= last:
        raise Http404
    start = (int(number) - 1) * TURNS_PER_PAGE
    exchanges = list(row.exchanges.order_by("started_at", "pk")[start : start + TURNS_PER_PAGE])
    context = {
        "session": row,
        "turns": timeline.turns(row, exchanges, start + 1),
        "frame": timeline.frame_of(row),
        "tools": queries.tools_of([row]).get(row.pk, []),
        "total": total,
        "pages": _pages(request, int(number), last),
    }
    return render(request, "sessions/session.html", context)


def _pages(request: HttpRequest, number: int, last: int) -> dict[str, object]:
    """Addresses of the pages beside this one, with the same filters."""

    def address(page_number: int) -> str:
        query = request.GET.copy()
        query["page"] = str(page_number)
        return "?" + query.urlencode()

    return {
        "number": number,
        "last": last,
        "previous": address(number - 1) if number > 1 else "",
        "next": address(number + 1) if number < last else "",
    }
