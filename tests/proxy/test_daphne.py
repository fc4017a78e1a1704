"""Daphne's habits, each of which would break a proxy."""

import os

from tests.support.raw import RawClient
from tests.support.server import eventually


def test_a_form_reaches_the_provider_unparsed(raw, upstream):
    body = b"--b\r\ncontent-disposition: form-data; name=file; filename=x\r\n\r\nhello\r\n--b--\r\n"
    raw.request(target=b"/v1/files", body=body, headers=b"content-type: multipart/form-data; boundary=b\r\n")
    assert upstream.requests[-1].body == body


def test_a_large_body_is_written_to_no_file(server, upstream):
    web = server.children()["web"]

    async def script(exchange):
        await exchange.reader.readexactly(300_000)
        await gate.wait()
        exchange.request.body = await exchange.reader.readexactly(700_000)
        await exchange.json({})

    gate = upstream.event()
    upstream.script(script)
    with RawClient(server.port) as client:
        client.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n" + b"x" * 400_000)
        eventually(lambda: upstream.requests, "the request at the provider")
        files = [file.path for file in web.open_files() if "/tmp" in file.path and "(deleted)" in file.path]
        assert not files
        targets = [os.readlink(f"/proc/{web.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{web.pid}/fd")]
        assert not [
            target
            for target in targets
            if "/tmp/" in target and ".lunaroute" not in target and "output.log" not in target
        ]
        gate.open()
        client.send(b"x" * 600_000)
        assert client.answer().status == 200


def test_own_pages_and_proxied_requests_share_the_port(server, upstream):
    for _ in range(3):
        with RawClient(server.port) as client:
            answer = client.request(b"GET", b"/healthz", b"")
            assert (answer.status, answer.body) == (200, b'{"status":"ok"}')
            assert answer.header(b"connection") == b"close"
        with RawClient(server.port) as client:
            assert client.request().status == 200


def test_an_own_page_after_a_proxied_request_on_one_connection(raw, upstream):
    assert raw.request().status == 200
    answer = raw.request(b"GET", b"/healthz", b"")
    assert answer.body == b'{"status":"ok"}'


def test_an_own_request_in_pieces(raw):
    for part in (b"GET /hea", b"lthz HTTP/1.1\r\n", b"host: localhost\r\n", b"\r\n"):
        raw.send(part)
    assert raw.answer(b"GET").body == b'{"status":"ok"}'


def test_an_own_requests_body_right_behind_its_head_comes_in_order(server):
    """The connection changes hands between the two."""
    body = b"username=a&password=" + b"b" * 50_000
    for _ in range(20):
        with RawClient(server.port) as client:
            client.send(
                b"POST /admin/login/ HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n"
                b"content-type: application/x-www-form-urlencoded\r\n\r\n" % len(body)
            )
            client.send(body)
            assert client.answer().status == 403


def test_many_own_requests_at_once(server):
    clients = [RawClient(server.port) for _ in range(50)]
    for client in clients:
        client.send(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
    for client in clients:
        assert client.answer().body == b'{"status":"ok"}'
        assert client.rest() == b""
        client.close()


def test_an_own_page_closes_the_connection_so_that_the_next_request_is_looked_at(raw, upstream):
    """Sent ahead on the same connection, a provider's request must not reach Django."""
    raw.send(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n" + b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n")
    assert raw.answer(b"GET").body == b'{"status":"ok"}'
    assert raw.rest() == b""
    assert not upstream.requests


def test_a_form_of_an_own_page_still_works(raw):
    body = b"username=a&password=b"
    answer = raw.request(
        target=b"/admin/login/", body=body, headers=b"content-type: application/x-www-form-urlencoded\r\n"
    )
    assert answer.status == 403  # Django has read the form, and misses its CSRF token


def test_paths_that_only_look_like_ours_go_to_the_provider(raw, upstream):
    raw.request(target=b"/api/claude_cli/bootstrap")
    assert upstream.requests[-1].target == b"/api/claude_cli/bootstrap"
