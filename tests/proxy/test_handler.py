"""The lean handler alone: what it does when a view fails, or the client has gone."""

import asyncio
import json
import sys
import types

import pytest
from django.urls import re_path

from proxy.handler import DataPlane, RawResponse, UpstreamBroken


def run(view, send=None) -> list[dict]:
    """Call the data plane with a `view` for every path; gives what it sent."""
    sent: list[dict] = []

    async def collect(message: dict) -> None:
        sent.append(message)

    async def receive() -> dict:
        return {"type": "http.request", "body": b"", "more_body": False}

    name = f"urls_of_test_{id(view)}"
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].urlpatterns = [re_path(r"", view)]
    scope = {"method": "POST", "path": "/v1/chat/completions", "raw_path": b"/v1/chat/completions"}
    asyncio.run(DataPlane(name)({**scope, "query_string": b"", "headers": []}, receive, send or collect))
    return sent


class Chunks:
    """A body that breaks off after `chunks`."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks, self.closed = list(chunks), 0

    def __aiter__(self):
        return self

    async def __anext__(self) -> bytes:
        if not self._chunks:
            raise UpstreamBroken
        return self._chunks.pop(0)

    def close(self) -> None:
        self.closed += 1


def test_an_exception_in_a_view_is_answered_at_once(caplog):
    async def view(request):
        raise RuntimeError("a bug")

    start, body = run(view)
    assert start["status"] == 500
    assert (b"x-lunaroute-error", b"1") in start["headers"]
    assert json.loads(body["body"])["error"]["type"] == "server_error"
    assert "a bug" not in body["body"].decode()
    assert "a bug" in caplog.text


def test_the_log_of_an_exception_names_the_exchange_where_there_is_one(caplog):
    async def view(request):
        request.exchange = types.SimpleNamespace(request_id="r1")
        raise RuntimeError("a bug")

    async def early(request):
        raise RuntimeError("a bug")

    run(view)
    run(early)
    assert [getattr(record, "request_id", None) for record in caplog.records] == ["r1", None]


def test_a_body_that_breaks_off_is_not_ended(caplog):
    chunks = Chunks(b"half")

    async def view(request):
        return RawResponse(200, [], chunks)

    assert [message.get("more_body") for message in run(view)] == [None, True]
    assert chunks.closed == 1
    assert not caplog.text


@pytest.mark.parametrize("when", ["http.response.start", "http.response.body"])
def test_a_client_that_has_gone_closes_the_body(when):
    chunks = Chunks(b"one", b"two")

    async def view(request):
        return RawResponse(200, [], chunks)

    async def send(message: dict) -> None:
        if message["type"] == when:
            raise ConnectionResetError

    run(view, send)
    assert chunks.closed == 1


def test_a_view_sees_its_request_as_django_has_it():
    seen = {}

    async def view(request):
        seen.update(method=request.method, path=request.path, meta=request.META["PATH_INFO"], get=dict(request.GET))
        return RawResponse(204, [], (b"",))

    run(view)
    assert seen == {"method": "POST", "path": "/v1/chat/completions", "meta": "/v1/chat/completions", "get": {}}
