"""A session as one JSON object."""

from collections.abc import Generator

from sessions import queries, reading, stats
from sessions.api_common import to_json
from sessions.dialects.parsing import loads
from sessions.export.parts import parts
from sessions.models import Session
from sessions.schemas import ExchangeOut, SessionOut, ToolCallOut


def json_object(session: Session) -> Generator[bytes, None, None]:
    """`{"session": …, "exchanges": […], "tools": […]}`, each as the API gives it."""
    tools = queries.tools_of([session]).get(session.pk, [])
    redactions = stats.redactions_of([session]).get(session.pk, {})
    yield b'{"session":' + to_json(SessionOut.of(session, tools, redactions).model_dump()) + b',"exchanges":['
    before = b""
    for rows in parts(session):
        messages, answers = reading.new_messages(rows), reading.answers(rows)
        for row in rows:
            new = [loads(message) for message in messages[row.pk]]
            yield before + to_json(ExchangeOut.of(row, new, answers[row.pk]).model_dump())
            before = b",\n"
    yield b'],"tools":['
    before = b""
    for rows in parts(session):
        calls = list(session.tool_calls.filter(exchange__in=rows).select_related("exchange", "result_exchange"))
        texts = reading.texts(key for call in calls for key in (call.arguments, call.result))
        for call in sorted(calls, key=lambda call: (call.started_at, call.pk)):
            yield before + to_json(ToolCallOut.of(call, texts).model_dump())
            before = b",\n"
    yield b"]}\n"
