"""What a live page has to be told: the record as it is now, against what the page has."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count, Exists, OuterRef, Q
from django.template.loader import render_to_string

from sessions import stats, viewing
from sessions.browser.charts import broken_caches
from sessions.browser.tree import tree_of, turns_of
from sessions.models import Exchange, Session, ToolCall
from sessions.templatetags.record import compact, duration, usd
from sessions.timeline import version

# Sessions that a list is told of at its start, the latest first.
LISTED = 50


@dataclass(frozen=True, slots=True)
class State:
    """How far an exchange has come. A page that has its `version` needs nothing."""

    pk: int
    request_id: str
    number: int  # place in the session, from 1
    is_running: bool
    version: str


def states(session_id: str) -> list[State] | None:
    """Give the states of a session's exchanges in order, None where there is no such session."""
    session = viewing.sessions().filter(session_id=session_id).first()
    if session is None:
        return None
    tree = tree_of(session)
    broken = broken_caches(tree.uses)
    calls = ToolCall.objects.filter(session=session).exclude(result_exchange=None)
    results = dict(calls.values_list("exchange").annotate(count=Count("pk")))
    rows = session.exchanges.order_by("started_at", "pk")
    found = []
    for pk, request_id, success, first in rows.values_list("pk", "request_id", "success", "time_to_first_token_ms"):
        if number := tree.numbers.get(pk):  # else it has come since
            place = (tree.thread_of[pk], broken.get(number, 0))
            of = version(number, success, first, results.get(pk, 0), *place)
            found.append(State(pk, request_id, number, success is None, of))
    return found


def articles(session_id: str, wanted: Sequence[State]) -> dict[int, str]:
    """Render exchanges as the session's page has them: primary key → HTML."""
    session = viewing.sessions().filter(session_id=session_id).first()
    if session is None:
        return {}
    tree, found = tree_of(session), {}
    for turn in turns_of(session, tree, [state.pk for state in wanted]):
        found[turn.row.pk] = render_to_string("sessions/_turn.html", {"turn": turn, "session": session})
    return found


def figures(session_id: str) -> str:
    """Render the figures at the head of a session's page."""
    session = viewing.sessions().filter(session_id=session_id).first()
    if session is None:
        return ""
    context = {
        "session": session,
        "cache_saving": stats.cache_saving_of(session),
        "redactions": stats.redactions_of([session]).get(session.pk),
    }
    return render_to_string("sessions/_figures.html", context)


def rows(session_ids: Sequence[str], latest: int = 0) -> list[dict]:
    """Give the figures of these sessions, and of the `latest` ones, oldest first: plain values, and their `version`."""
    found = (
        viewing.sessions()
        .filter(Q(requests__gt=0) | Q(completed_at=None))
        .annotate(running=Exists(Exchange.objects.filter(session=OuterRef("pk"), success=None)))
    )
    chosen = {row.pk: row for row in found.filter(session_id__in=session_ids)} if session_ids else {}
    if latest:
        chosen.update({row.pk: row for row in found.order_by("-started_at", "-pk")[:latest]})
    return [_row(row) for row in sorted(chosen.values(), key=lambda row: (row.started_at, row.pk))]


def _row(session: Session) -> dict:
    figures = {
        "session_id": session.session_id,
        "title": session.title,
        "client": session.client,
        "provider": session.provider,
        "model": session.model_used,
        "project": session.project,
        "started_at": session.started_at.isoformat(),
        "requests": session.requests,
        "total_tokens": session.total_tokens,
        "cost_usd": session.cost_usd,
        "duration_ms": session.duration_ms,
        "success": session.success,
        "running": session.running,
        "shown": {
            "requests": str(session.requests),
            "tokens": compact(session.total_tokens),
            "duration": duration(session.duration_ms),
            "cost": usd(session.cost_usd),
        },
    }
    version = (
        f"{session.requests}-{session.errors}-{session.total_tokens}-{session.duration_ms:.0f}-{int(session.running)}"
    )
    return {**figures, "version": version}
