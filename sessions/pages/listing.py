"""The list of sessions."""

from math import ceil

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from pydantic import ValidationError

from sessions import queries, search, viewing
from sessions.pages import page, wants_fragment

PAGE_SIZE = 50


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
    rows = viewing.with_own_stars(list(found[start : start + wanted.page_size]))
    snippets = search.snippets(wanted.text_search or "", rows)
    for row in rows:
        row.snippets = snippets.get(row.pk, ())
    context = {
        "place": "sessions",
        "sessions": rows,
        "total": total,
        "wanted": wanted,
        "problem": problem,
        "is_filtered": bool(set(given) - {"page", "page_size", "sort"}),
        "pages": _pages(request, wanted.page, ceil(total / wanted.page_size)),
        "address": f"{request.scheme}://{request.get_host()}",
    }
    template = "sessions/_list.html" if wants_fragment(request) else "sessions/list.html"
    if template == "sessions/list.html":
        context |= {name: _values(name) for name in ("client", "model_used", "project", "provider")}
    response = render(request, template, context, status=422 if problem and not wants_fragment(request) else 200)
    patch_vary_headers(response, ["HX-Request"])
    return response


def _values(name: str) -> list[str]:
    """The values that a filter offers."""
    return [v for v in viewing.sessions().order_by(name).values_list(name, flat=True).distinct()[:200] if v]


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
