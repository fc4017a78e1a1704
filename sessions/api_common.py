"""What all addresses of the API share: JSON, parameters, pages, and finding what is asked for."""

import json
from collections.abc import AsyncIterator, Callable, Generator
from datetime import datetime
from functools import wraps
from math import ceil
from urllib.parse import urlencode

import orjson
from asgiref.sync import sync_to_async
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from ninja import Schema
from ninja.errors import HttpError, ValidationError
from ninja.renderers import BaseRenderer

from routing.session_ids import valid_session_id
from sessions import viewing
from sessions.models import Exchange, Session
from sessions.queries import Page
from sessions.schemas import BadParameters, Problem

# What every address may answer.
BAD = {422: BadParameters}
MISSING = {404: Problem, **BAD}


class JsonRenderer(BaseRenderer):
    """JSON by orjson."""

    media_type = "application/json"

    def render(self, request: HttpRequest, data: object, *, response_status: int) -> bytes:
        return to_json(data)


def to_json(data: object) -> bytes:
    """Give `data` as JSON. What orjson refuses (integers beyond 64 bits, lone surrogates) the standard library takes."""
    try:
        return orjson.dumps(data, default=str, option=orjson.OPT_NON_STR_KEYS)
    except (TypeError, orjson.JSONEncodeError):
        return json.dumps(data, default=_time_or_text).encode()


def _time_or_text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def known_parameters(schema: type[Schema] | None = None, *names: str) -> Callable:
    """Refuse parameters that the address does not have: a misspelt filter would silently list everything.

    Known are the fields of `schema` and `names`. Values that no database could hold are refused too.
    """
    known = {*(schema.model_fields if schema else ()), *names}
    hint = f"unknown parameter; known: {', '.join(sorted(known))}" if known else "unknown parameter; there are none"

    def decorate(view: Callable) -> Callable:
        @wraps(view)
        def check(request: HttpRequest, *args, **kwargs):
            problems = [problem(name, "extra_forbidden", hint) for name in request.GET if name not in known]
            for name, values in request.GET.lists():
                if name in known and any("\0" in value for value in values):
                    problems.append(problem(name, "value_error", "a NUL character cannot be part of it"))
            for value in kwargs.values():
                if isinstance(value, Schema):
                    problems += _impossible_times(value)
            if problems:
                raise ValidationError(problems)
            return view(request, *args, **kwargs)

        return check

    return decorate


def problem(name: str, kind: str, message: str) -> dict:
    """Say what is wrong with a parameter."""
    return {"type": kind, "loc": ["query", name], "msg": message}


def _impossible_times(wanted: Schema) -> list[dict]:
    """Times at the ends of the calendar have no equivalent in other time zones."""
    return [
        problem(name, "value_error", "expected a year from 2 to 9998")
        for name, value in wanted
        if isinstance(value, datetime) and not 2 <= value.year <= 9998
    ]


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


def session_of(session_id: str) -> Session:
    """Find a session. Raises HttpError 404."""
    # What cannot be an id is asked of no database: PostgreSQL would choke on NUL.
    session = viewing.sessions().filter(session_id=session_id).first() if valid_session_id(session_id) else None
    if session is None:
        raise HttpError(404, f"there is no session {_shown(session_id)}")
    return session


def exchange_of(session: Session, request_id: str) -> Exchange:
    """Find an exchange of a session. Raises HttpError 404."""
    found = session.exchanges.select_related("parent")
    exchange = found.filter(request_id=request_id).first() if valid_session_id(request_id) else None
    if exchange is None:
        raise HttpError(404, f"session {session.session_id} has no exchange {_shown(request_id)}")
    return exchange


def _shown(name: str) -> str:
    return name if name.isprintable() and len(name) <= 255 else ascii(name[:255])


def streamed(request: HttpRequest, pieces: Generator[bytes, None, None], media_type: str) -> StreamingHttpResponse:
    """Send `pieces` as they are made, on ASGI too, where Django would first collect what a plain iterator gives."""
    is_async = hasattr(request, "scope")
    return StreamingHttpResponse(_async(pieces) if is_async else pieces, content_type=media_type)


async def _async(pieces: Generator[bytes, None, None]) -> AsyncIterator[bytes]:
    try:
        while (piece := await sync_to_async(next)(pieces, None)) is not None:
            yield piece
    finally:
        # Where the client has left: its cursors and files are closed in the thread that opened them.
        await sync_to_async(pieces.close)()
