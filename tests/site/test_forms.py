"""What a page is sent stays in memory: nothing has redacted it."""

import asyncio
import tempfile

import pytest
from django.core.asgi import get_asgi_application
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from tests.support.raw import RawClient

FORM = b"content-type: application/x-www-form-urlencoded\r\n"
LIMIT = 2_621_440


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_form_over_the_limit_is_refused(server, framing):
    with RawClient(server.port) as client:
        body = b"text=" + b"a" * LIMIT
        if framing == "length":
            answer = client.request(target=b"/ui/pii/", body=body, headers=FORM)
        else:
            client.send(b"POST /ui/pii/ HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n" + FORM + b"\r\n")
            client.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
            answer = client.answer()
    assert answer.status == 413
    assert b"2,621,440" in answer.body
    with RawClient(server.port) as client:
        assert client.request(target=b"/ui/pii/", body=body[:LIMIT], headers=FORM).status == 403  # it has no CSRF token


@pytest.mark.django_db
def test_no_form_and_no_file_gets_into_a_temporary_file(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")

    async def receive() -> dict:
        return {"type": "http.request", "body": b"a" * LIMIT}

    assert len(asyncio.run(get_asgi_application().read_body(receive)).read()) == LIMIT
    large = SimpleUploadedFile("x.txt", b"a" * (LIMIT + 1000))
    assert Client().post("/ui/pii/", {"text": "nothing", "file": large}).status_code == 200
