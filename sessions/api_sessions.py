"""The API's sessions: lists, one session with its exchanges and tool calls, export, deletion."""

from typing import Literal

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from ninja import Query, Router
from ninja.errors import HttpError

from sessions import deletion, queries, reading, search, stats, viewing
from sessions.api_common import BAD, MISSING, exchange_of, known_parameters, paged, session_of, streamed
from sessions.dialects.parsing import loads
from sessions.export import FORMATS, file_name
from sessions.queries import Page, SessionFilter
from sessions.schemas import ExchangeOut, ExchangeWhole, Problem, SessionOut, ToolCallOut

router = Router(tags=["sessions"])


@router.get("/sessions", response={200: list[SessionOut], **BAD}, summary="List sessions")
@known_parameters(SessionFilter)
def list_sessions(request: HttpRequest, response: HttpResponse, wanted: Query[SessionFilter]):
    """List sessions: what fits `text_search` best, else the latest first. `X-Total-Count` has their number, `Link` the other pages.

    A browser that asks for text/html gets the page instead.
    """
    sessions = viewing.with_own_stars(list(paged(request, response, queries.find(wanted), wanted)))
    tools, redactions = queries.tools_of(sessions), stats.redactions_of(sessions)
    snippets = search.snippets(wanted.text_search or "", sessions)
    return [
        SessionOut.of(row, tools.get(row.pk, []), redactions.get(row.pk, {}), snippets.get(row.pk, ()))
        for row in sessions
    ]


@router.get("/sessions/{session_id}", response={200: SessionOut, **MISSING}, summary="One session")
@known_parameters()
def get_session(request: HttpRequest, session_id: str):
    """A session's figures."""
    (session,) = viewing.with_own_stars([session_of(session_id)])
    tools, redactions = queries.tools_of([session]), stats.redactions_of([session])
    return SessionOut.of(session, tools.get(session.pk, []), redactions.get(session.pk, {}))


@router.delete(
    "/sessions/{session_id}",
    response={204: None, 403: Problem, 409: Problem, **MISSING},
    summary="Delete a session",
)
@known_parameters()
def delete_session(request: HttpRequest, session_id: str):
    """Delete a session for good: its rows, its files, and the contents that only it used."""
    if not settings.LUNAROUTE.ui.delete_enabled:
        raise HttpError(403, "deleting is switched off; ui.delete_enabled: true in the configuration switches it on")
    session = session_of(session_id)
    if not viewing.may_change(session):
        raise HttpError(403, f"session {session_id} is somebody else's")
    try:
        found = deletion.delete_session(session.session_id)
    except deletion.StillRunning:
        raise HttpError(409, f"an exchange of session {session_id} is still running") from None
    if not found:
        raise HttpError(404, f"there is no session {session_id}")
    return 204, None


@router.put("/sessions/{session_id}/pin", response={204: None, **MISSING}, summary="Give a session a star")
@known_parameters()
def pin_session(request: HttpRequest, session_id: str):
    """Give a session a star. One that has it keeps it."""
    viewing.star(session_of(session_id), True)
    return 204, None


@router.delete("/sessions/{session_id}/pin", response={204: None, **MISSING}, summary="Take a session's star away")
@known_parameters()
def unpin_session(request: HttpRequest, session_id: str):
    """Take a session's star away. One that has none stays without."""
    viewing.star(session_of(session_id), False)
    return 204, None


@router.get(
    "/sessions/{session_id}/exchanges", response={200: list[ExchangeOut], **MISSING}, summary="A session's exchanges"
)
@known_parameters(Page)
def list_exchanges(request: HttpRequest, response: HttpResponse, session_id: str, page: Query[Page]):
    """A session's requests and answers in order, each with what was new in it."""
    found = session_of(session_id).exchanges.select_related("parent").order_by("started_at", "pk")
    exchanges = list(paged(request, response, found, page))
    messages, answers = reading.new_messages(exchanges), reading.answers(exchanges)
    return [ExchangeOut.of(row, [loads(m) for m in messages[row.pk]], answers[row.pk]) for row in exchanges]


@router.get(
    "/sessions/{session_id}/exchanges/{request_id}",
    response={200: ExchangeWhole, **MISSING},
    summary="One exchange, whole",
)
@known_parameters()
def get_exchange(request: HttpRequest, session_id: str, request_id: str):
    """One request and its answer: heads without credentials, new messages, the answer, its tool calls."""
    row = exchange_of(session_of(session_id), request_id)
    calls = list(row.tool_calls.select_related("exchange", "result_exchange").order_by("position"))
    texts = reading.texts(key for call in calls for key in (call.arguments, call.result))
    messages = [loads(m) for m in reading.new_messages([row])[row.pk]]
    return ExchangeWhole.whole(row, messages, reading.answers([row])[row.pk], [ToolCallOut.of(c, texts) for c in calls])


@router.get(
    "/sessions/{session_id}/tools", response={200: list[ToolCallOut], **MISSING}, summary="A session's tool calls"
)
@known_parameters(Page)
def list_tools(request: HttpRequest, response: HttpResponse, session_id: str, page: Query[Page]):
    """A session's tool calls in order, with arguments, result and the time they took."""
    found = session_of(session_id).tool_calls.select_related("exchange", "result_exchange").order_by("started_at", "pk")
    calls = list(paged(request, response, found, page))
    texts = reading.texts(key for call in calls for key in (call.arguments, call.result))
    return [ToolCallOut.of(call, texts) for call in calls]


@router.get(
    "/sessions/{session_id}/exchanges/{request_id}/raw",
    response=MISSING,
    summary="A request's body, byte for byte",
    openapi_extra={
        "responses": {200: {"description": "The bytes", "content": {"application/octet-stream": {"schema": {}}}}}
    },
)
@known_parameters(None, "part")
def get_raw(request: HttpRequest, session_id: str, request_id: str, part: Literal["request", "response"] = "request"):
    """The body as it was sent; `part=response` gives the answer's, decoded from its content coding.

    What was redacted before it was stored stays so: `x-lunaroute-redacted` then says of what and how much.
    """
    exchange = exchange_of(session_of(session_id), request_id)
    body = reading.response_body(exchange) if part == "response" else reading.request_body(exchange)
    if body is None:
        raise HttpError(404, f"nothing was kept of the {part} of {request_id}")
    answer = HttpResponse(body, content_type="application/octet-stream")
    if redactions := reading.redactions_in(exchange, body):
        answer["x-lunaroute-redacted"] = ", ".join(f"{kind}={count}" for kind, count in sorted(redactions.items()))
    return answer


@router.get(
    "/sessions/{session_id}/export",
    response=MISSING,
    summary="A session as one file",
    openapi_extra={
        "responses": {
            200: {
                "description": "The file",
                "content": {
                    kind.media_type.partition(";")[0]: {"schema": {"type": "string"} if name != "json" else {}}
                    for name, kind in FORMATS.items()
                },
            }
        }
    },
)
@known_parameters(None, "format")
def export_session(
    request: HttpRequest, session_id: str, format: Literal["jsonl", "json", "markdown", "html", "csv"] = "jsonl"
):
    """A session as a file: its JSONL lines, one JSON object, Markdown, a page that needs nothing else, or a table."""
    if not settings.LUNAROUTE.ui.export_enabled:
        raise HttpError(404, "export is switched off (ui.export_enabled in the configuration)")
    session = session_of(session_id)
    kind = FORMATS[format]
    response = streamed(request, kind.write(session), kind.media_type)
    response["Content-Disposition"] = f'attachment; filename="{file_name(session, kind.suffix)}"'
    # Opened in place or not: nothing in it runs, nothing is loaded.
    response["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
    response["X-Content-Type-Options"] = "nosniff"
    return response
