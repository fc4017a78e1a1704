"""One session: its exchanges in order, the raw text of each, and what differs between two requests."""

import orjson
from django.conf import settings
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from sessions import queries, reading, stats, timeline, viewing
from sessions.browser.charts import context_chart
from sessions.browser.commands import curl_command, resume_command
from sessions.browser.compare import compare
from sessions.browser.rendering import pretty_json
from sessions.browser.routes import route_of
from sessions.browser.tree import Tree, tree_of, turns_of
from sessions.content import get_many
from sessions.deletion import StillRunning, delete_session
from sessions.dialects.messages import parse_message
from sessions.models import Exchange, Session
from sessions.pages import page, wants_fragment

# Exchanges that come with the page, and with each piece that follows as somebody reads on.
CHUNK = 20
FORMATS = ("html", "markdown", "json", "jsonl", "csv")


def find(session_id: str) -> Session | None:
    """The session, or None."""
    return viewing.sessions().filter(session_id=session_id).first()


def _missing(request: HttpRequest, session_id: str) -> HttpResponse:
    return render(request, "sessions/missing.html", {"session_id": session_id}, status=404)


def _number(request: HttpRequest, name: str, low: int, high: int, default: int) -> int:
    value = request.GET.get(name, "")
    if not value:
        return default
    if not (value.isascii() and value.isdecimal() and len(value) < 10 and low <= int(value) <= high):
        raise Http404
    return int(value)


@page
def session(request: HttpRequest, session_id: str) -> HttpResponse:
    """The session's page. `turn` or `at` (a request id) says where to begin, `thread` shows one branch alone.

    For htmx: the exchanges from `turn` on, or those before `before`.
    """
    row = find(session_id)
    if row is None:
        return _missing(request, session_id)
    tree = tree_of(row)
    thread = _number(request, "thread", 1, len(tree.threads), 0)
    shown = list(tree.numbers) if not thread else list(tree.threads[thread - 1].exchanges)
    start = _start(request, tree, shown)
    before = _number(request, "before", 1, len(shown) + 1, 0)
    if before:
        start, end = max(before - CHUNK, 1), before
    else:
        end = min(start + CHUNK, len(shown) + 1)
    keys = shown[start - 1 : end - 1]
    context = {
        "place": "sessions",
        "session": row,
        "turns": turns_of(row, tree, keys),
        "thread": tree.threads[thread - 1] if thread else None,
        "earlier": _address(request, before=start) if start > 1 else "",
        "next": _address(request, turn=end) if end <= len(shown) and not before else "",
        "total": len(tree.numbers),
    }
    if wants_fragment(request):
        return render(request, "sessions/_turns.html", context)
    viewing.with_own_stars([row])
    context |= {
        "frame": timeline.frame_of(row),
        "tools": queries.tools_of([row]).get(row.pk, []),
        "branches": [(t, tree.threads.index(t) + 1, tree.numbers[t.exchanges[0]]) for t in tree.branches],
        "at": request.GET.get("at", ""),
        "find": request.GET.get("find", ""),
        "resume": resume_command(row),
        "cache_saving": stats.cache_saving_of(row),
        "redactions": stats.redactions_of([row]).get(row.pk),
        "formats": FORMATS if settings.LUNAROUTE.ui.export_enabled else (),
        "can_delete": settings.LUNAROUTE.ui.delete_enabled and viewing.may_change(row),
    }
    return render(request, "sessions/session.html", context)


def _start(request: HttpRequest, tree: Tree, shown: list[int]) -> int:
    """Where to begin: the place in `shown`, from 1."""
    at = request.GET.get("at")
    if at:
        number = tree.by_request.get(at, 1)
        return next((place for place, pk in enumerate(shown, 1) if tree.numbers[pk] >= number), 1)
    return _number(request, "turn", 1, max(len(shown), 1), 1)


def _address(request: HttpRequest, **changes: int) -> str:
    query = request.GET.copy()
    for name in ("turn", "at", "before"):
        query.pop(name, None)
    for name, value in changes.items():
        query[name] = str(value)
    return f"{request.path}?{query.urlencode()}"


@page
def outline(request: HttpRequest, session_id: str) -> HttpResponse:
    """For htmx: a line for each exchange."""
    row = find(session_id)
    if row is None:
        raise Http404
    tree = tree_of(row)
    labels = timeline.labels(row)
    entries = [
        (number, labels.get(pk, ""), tree.thread_of[pk], pk in tree.failed) for pk, number in tree.numbers.items()
    ]
    return render(request, "sessions/_outline.html", {"entries": entries, "session": row})


@page
def chart(request: HttpRequest, session_id: str) -> HttpResponse:
    """For htmx: the context's growth over the requests."""
    row = find(session_id)
    if row is None:
        raise Http404
    return render(request, "sessions/_chart.html", {"chart": context_chart(tree_of(row).uses), "session": row})


def _exchange(session_id: str, request_id: str) -> Exchange:
    seen = viewing.sessions().filter(session_id=session_id)
    found = Exchange.objects.filter(session__in=seen, request_id=request_id).select_related("session", "parent")
    exchange = found.first()
    if exchange is None:
        raise Http404
    return exchange


@page
def exchange(request: HttpRequest, session_id: str, request_id: str) -> HttpResponse:
    """One exchange as it went over the wire."""
    row = _exchange(session_id, request_id)
    sent, received = reading.request_body(row), reading.response_body(row)
    answer = reading.answers([row])[row.pk]
    context = {
        "place": "sessions",
        "row": row,
        "session": row.session,
        "curl": curl_command(row, sent, f"{request.scheme}://{request.get_host()}"),
        "redactions": reading.redactions_in(row, sent, received),
        "route": route_of(row),
        "request_text": _shown(sent),
        "response_text": _shown(received),
        "answer": _shown(orjson.dumps(answer, default=str)) if row.is_streaming and answer is not None else None,
    }
    return render(request, "sessions/exchange.html", context)


def _shown(body: bytes | None) -> timeline.Text | None:
    """A body for reading: JSON indented, all else as it is."""
    if body is None:
        return None
    pretty = pretty_json(body)
    if pretty is None:
        return timeline.Text.of(body.decode("utf-8", "replace"), 15_000, "code")
    return timeline.Text.code(pretty, 15_000, language="json")


@page
def comparison(request: HttpRequest, session_id: str) -> HttpResponse:
    """What differs between the requests `a` and `b` (request ids)."""
    if not request.GET.get("a") or not request.GET.get("b"):
        raise BadRequest("a and b name the two requests")
    a, b = (_exchange(session_id, request.GET[name]) for name in ("a", "b"))
    bodies = [reading.request_body(row) for row in (a, b)]
    kept = None not in bodies
    found = compare(*bodies, b.dialect if a.dialect == b.dialect else "") if kept else None
    numbers = tree_of(b.session).by_request
    context = {
        "place": "sessions",
        "session": b.session,
        "a": a,
        "b": b,
        "number_a": numbers[a.request_id],
        "number_b": numbers[b.request_id],
        "comparison": found,
        "requests": sorted((number, request_id) for request_id, number in numbers.items()),
    }
    return render(request, "sessions/comparison.html", context)


@page
def image(request: HttpRequest, key: str, dialect: str, number: str) -> HttpResponse:
    """The image that is block `number` of a recorded message, by the key of the message."""
    raw = get_many([bytes.fromhex(key)]).get(bytes.fromhex(key))
    blocks = parse_message(dialect, raw).blocks if raw else ()
    found = timeline.image_of(blocks[int(number)]) if int(number) < len(blocks) else None
    if found is None:
        raise Http404
    media_type, data = found
    return HttpResponse(data, content_type=media_type, headers={"Cache-Control": "private, max-age=86400, immutable"})


@page
@require_POST
def pin(request: HttpRequest, session_id: str) -> HttpResponse:
    """Give the session its star (`pinned=true`), or take it away. For htmx: the button as it is then."""
    row = find(session_id)
    if row is None:
        return _missing(request, session_id)
    viewing.star(row, request.POST.get("pinned") == "true")
    if wants_fragment(request):
        return render(request, "sessions/_star.html", {"s": row})
    return redirect("session", session_id)


@page
@require_POST
def delete(request: HttpRequest, session_id: str) -> HttpResponse:
    """Delete the session, where that is allowed (ui.delete_enabled)."""
    if not settings.LUNAROUTE.ui.delete_enabled:
        return _notice(
            request, 403, "Nothing was deleted", "Deletion is switched off (ui.delete_enabled in the configuration)."
        )
    row = find(session_id)
    if row is None:
        return _missing(request, session_id)
    if not viewing.may_change(row):
        return _notice(request, 403, "Nothing was deleted", "This is somebody else's session.")
    try:
        found = delete_session(session_id)
    except StillRunning:
        return _notice(
            request,
            409,
            "Nothing was deleted",
            "An exchange of this session is still running. Try again when it has ended.",
        )
    return redirect("sessions") if found else _missing(request, session_id)


def _notice(request: HttpRequest, status: int, title: str, words: str) -> HttpResponse:
    return render(request, "notice.html", {"title": title, "words": words, "place": "sessions"}, status=status)
