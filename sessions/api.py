"""The REST API."""

from functools import wraps
from math import ceil
from typing import Literal
from urllib.parse import urlencode

import orjson
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.cache import patch_vary_headers
from ninja import NinjaAPI, Query
from ninja.errors import HttpError, ValidationError
from ninja.renderers import BaseRenderer

from sessions import queries, reading, search
from sessions.dialects.parsing import loads
from sessions.models import Session, ToolCall
from sessions.queries import Page, SessionFilter
from sessions.schemas import ExchangeOut, NotFound, SessionOut, ToolCallOut


class JsonRenderer(BaseRenderer):
    """JSON by orjson."""

    media_type = "application/json"

    def render(self, request: HttpRequest, data: object, *, response_status: int) -> bytes:
        return orjson.dumps(data, default=str, option=orjson.OPT_NON_STR_KEYS)


api = NinjaAPI(
    title="LunaRoute",
    version="1",
    description="Recorded sessions of coding assistants.",
    docs_url="/api/docs",
    openapi_url="/api/openapi.json",
    renderer=JsonRenderer(),
    urls_namespace="api",
)


def known_parameters(schema: type) -> callable:
    """Refuse parameters that the address does not have: a misspelt filter would silently list everything."""
    known = set(schema.model_fields)

    def decorate(view):
        @wraps(view)
        def check(request: HttpRequest, *args, **kwargs):
            unknown = [name for name in request.GET if name not in known]
            if unknown:
                raise ValidationError(
                    [
                        {
                            "type": "extra_forbidden",
                            "loc": ["query", name],
                            "msg": f"unknown parameter; known: {', '.join(sorted(known))}",
                        }
                        for name in unknown
                    ]
                )
            return view(request, *args, **kwargs)

        return check

    return decorate


def paged(request: HttpRequest, response: HttpResponse, rows: QuerySet, page: Page) -> QuerySet:
    """Cut a page out of `rows`; the answer's headers name the whole and the other pages (RFC 8288)."""
    total = rows.count()
    last = max(ceil(total / page.page_size), 1)
    response["X-Total-Count"] = str(total)
    links = {"first": 1, "prev": page.page - 1, "next": page.page + 1, "last": last}
    response["Link"] = ", ".join(
        f'<{_address(request, number)}>; rel="{name}"' for name, number in links.items() if 1 <= number <= last
    )
    start = (page.page - 1) * page.page_size
    return rows[start : start + page.page_size]


def _address(request: HttpRequest, page: int) -> str:
    query = [(name, value) for name, values in request.GET.lists() for value in values if name != "page"]
    return request.build_absolute_uri(f"{request.path}?{urlencode([*query, ('page', page)])}")


def _session(session_id: str) -> Session:
    session = Session.objects.filter(session_id=session_id).first()
    if session is None:
        raise HttpError(404, f"there is no session {session_id}")
    return session


@api.get("/sessions", response=list[SessionOut], summary="List sessions", tags=["sessions"])
@known_parameters(SessionFilter)
def list_sessions(request: HttpRequest, response: HttpResponse, wanted: Query[SessionFilter]):
    """List sessions: what fits `text_search` best, else the latest first. `X-Total-Count` has their number, `Link` the other pages.

    A browser that asks for text/html gets the page instead.
    """
    sessions = list(paged(request, response, queries.find(wanted), wanted))
    tools = queries.tools_of(sessions)
    snippets = search.snippets(wanted.text_search or "", sessions)
    return [SessionOut.of(row, tools.get(row.pk, []), snippets.get(row.pk, ())) for row in sessions]


@api.get("/sessions/{session_id}", response={200: SessionOut, 404: NotFound}, summary="One session", tags=["sessions"])
def get_session(request: HttpRequest, session_id: str):
    """A session's figures."""
    session = _session(session_id)
    return SessionOut.of(session, queries.tools_of([session]).get(session.pk, []))


@api.get(
    "/sessions/{session_id}/exchanges",
    response={200: list[ExchangeOut], 404: NotFound},
    summary="A session's exchanges",
    tags=["sessions"],
)
@known_parameters(Page)
def list_exchanges(request: HttpRequest, response: HttpResponse, session_id: str, page: Query[Page]):
    """A session's requests and answers in order, each with what was new in it."""
    found = _session(session_id).exchanges.select_related("parent").order_by("started_at", "pk")
    exchanges = list(paged(request, response, found, page))
    messages, answers = reading.new_messages(exchanges), reading.answers(exchanges)
    return [ExchangeOut.of(row, [loads(m) for m in messages[row.pk]], answers[row.pk]) for row in exchanges]


@api.get(
    "/sessions/{session_id}/tools",
    response={200: list[ToolCallOut], 404: NotFound},
    summary="A session's tool calls",
    tags=["sessions"],
)
@known_parameters(Page)
def list_tools(request: HttpRequest, response: HttpResponse, session_id: str, page: Query[Page]):
    """A session's tool calls in order, with arguments, result and the time they took."""
    found = _session(session_id).tool_calls.select_related("exchange", "result_exchange").order_by("started_at", "pk")
    calls = list(paged(request, response, found, page))
    texts = reading.texts(key for call in calls for key in (call.arguments, call.result))
    return [_tool_call(call, texts) for call in calls]


def _tool_call(call: ToolCall, texts: dict[bytes, str]) -> ToolCallOut:
    return ToolCallOut(
        tool_call_id=call.call_id,
        name=call.name,
        request_id=call.exchange.request_id,
        result_request_id=call.result_exchange.request_id if call.result_exchange else None,
        started_at=call.started_at,
        execution_time_ms=call.execution_ms,
        is_error=call.is_error,
        input_size_bytes=call.input_bytes,
        output_size_bytes=call.output_bytes,
        arguments=texts.get(bytes(call.arguments), ""),
        result=texts.get(bytes(call.result), "") if call.result_exchange_id else None,
    )


def page_for_browsers(view):
    """Send a browser, which asks for text/html, from `/sessions` to the page with the same filters."""

    @wraps(view)
    def choose(request: HttpRequest, *args, **kwargs) -> HttpResponse:
        if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            query = f"?{request.GET.urlencode()}" if request.GET else ""
            response = HttpResponseRedirect(f"/ui/{request.path.strip('/')}{query}")
        else:
            response = view(request, *args, **kwargs)
        patch_vary_headers(response, ["Accept"])
        return response

    return choose


@api.get(
    "/sessions/{session_id}/exchanges/{request_id}/raw",
    summary="A request's body, byte for byte",
    tags=["sessions"],
    response={404: NotFound},
)
def get_raw(request: HttpRequest, session_id: str, request_id: str, part: Literal["request", "response"] = "request"):
    """The body as it was sent; `part=response` gives the answer's, decoded from its content coding."""
    exchange = _session(session_id).exchanges.filter(request_id=request_id).first()
    read = reading.response_body if part == "response" else reading.request_body
    body = read(exchange) if exchange else None
    if body is None:
        raise HttpError(404, f"nothing was kept of the {part} of {request_id}")
    return HttpResponse(body, content_type="application/octet-stream")
