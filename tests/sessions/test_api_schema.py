"""The API against its own description: whatever the schema allows, and much that it does not."""

from datetime import UTC, datetime, timedelta

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from sessions import content
from sessions.models import Exchange, Session, ToolCall

load_all_checks()
WANTED = CHECKS.get_by_names(
    ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"]
)


@pytest.fixture
def data(both_databases) -> None:
    """Three sessions with an exchange and a tool call each."""
    now = datetime.now(UTC)
    for number in range(3):
        row = Session.objects.create(
            session_id=f"s{number}", title="a", started_at=now - timedelta(hours=number), completed_at=now, requests=1,
            tags=["t"],
        )  # fmt: skip
        keys = content.put_many(
            [b'{"content": [{"text": "\\ud800"}], "n": 123456789012345678901234567890}', b'{"a": 1}', b"result"]
        )
        asked = Exchange.objects.create(
            session=row, recorder="t", request_id=f"r{number}", listener="anthropic", provider="anthropic", method="POST",
            path="/v1/messages", model_used="claude-sonnet-4-5", success=number != 1, status=200, started_at=now, duration_ms=5.0,
            time_to_first_token_ms=1.0, answer=keys[0], request_headers=[["accept", "*/*"]], total_tokens=7,
            cost_usd=0.5 if number else None,
        )  # fmt: skip
        ToolCall.objects.create(
            session=row, exchange=asked, result_exchange=asked, call_id="c", name="Read", arguments=keys[1], result=keys[2],
            started_at=now, execution_ms=1.5, output_bytes=6,
        )  # fmt: skip


@pytest.fixture
def application():
    """The site, in this thread and transaction: at its requests' ends no connection is closed."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield get_wsgi_application()
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


IDS = {"session_id": "s1", "request_id": "r1"}


@pytest.mark.usefixtures("data")
def test_whatever_is_asked_is_answered_as_the_schema_says(application):
    schema = schemathesis.openapi.from_wsgi("/api/openapi.json", application)
    asked = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        ids = {name: IDS[name] for name in IDS if f"{{{name}}}" in operation.path}
        cases = [operation.as_strategy(mode) for mode in GenerationMode]
        if ids:
            cases.append(operation.as_strategy(path_parameters=ids))

        @settings(
            max_examples=4 * len(cases), deadline=None, derandomize=True, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(st.one_of(cases))
        def check(case):
            nonlocal asked
            asked += 1
            case.call_and_validate(checks=WANTED)

        check()
    assert asked > 100
