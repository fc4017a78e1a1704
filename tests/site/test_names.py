"""By which name a request asks: its one Host, or what its target names; and what a target is made of."""

import pytest

from proxy.targets import split
from tests.support.raw import RawClient

EVIL = b"host: evil.example\r\n"
OURS = b"host: localhost\r\n"
SOCKET = (
    b"connection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
)


def ask(server, target: bytes, headers: bytes) -> int:
    with RawClient(server.port) as client:
        client.send(b"GET %b HTTP/1.1\r\n%b\r\n" % (target, headers))
        return client.answer().status


@pytest.mark.parametrize("target", [b"/sessions", b"/metrics", b"/healthz", b"/static/x", b"/v1/models"])
def test_a_request_has_one_host(server, upstream, target):
    for headers in (b"", OURS + OURS, OURS + EVIL, EVIL + OURS):
        assert ask(server, target, headers) == 400, headers
        assert ask(server, target, headers + SOCKET) == 400, headers
    assert not upstream.requests


def test_http_1_0_knew_no_host(server):
    with RawClient(server.port) as client:
        client.send(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert client.rest().startswith(b"HTTP/1.0 200 ")


@pytest.mark.parametrize(
    "authority",
    [b"evil.example", b"EVIL.example:80", b"localhost@evil.example", b"evil.example@localhost", b"localhost:x", b""],
)
def test_the_name_that_a_target_names_is_the_one_that_counts(server, upstream, authority):
    for scheme in (b"http", b"HTTPS"):
        for path in (b"/sessions", b"/metrics", b"?x", b"/v1/models"):
            assert ask(server, b"%b://%b%b" % (scheme, authority, path), OURS) in (400, 403), (scheme, path)
        assert ask(server, b"%b://%b/ui/live" % (scheme, authority), OURS + SOCKET) in (400, 403), scheme
    assert not upstream.requests


def test_and_its_own_name_in_a_target_is_enough(server, upstream):
    assert ask(server, b"http://localhost/sessions?page=1", EVIL) == 200
    assert ask(server, b"HTTP://LOCALHOST:%d/v1/models?x=1" % server.port, EVIL) == 200
    assert [request.target for request in upstream.requests] == [b"/v1/models?x=1"]


@pytest.mark.parametrize("odd", [b"\x00", b"\x01", b"\x1f", b"\x7f", b"\x80", b"\xc3\xa9", b"\r", b"\x0b"])
def test_a_target_of_ours_is_made_of_printable_characters(server, upstream, odd):
    for target in (b"/sessions%b", b"/sessions?text_search=%b", b"/ui/%b", b"/sessions/a%bb", b"/healthz%b"):
        assert ask(server, target % odd, OURS) == 400, target
    assert ask(server, b"/ui/live%b" % odd, OURS + SOCKET) == 400
    assert not upstream.requests


@pytest.mark.parametrize(
    ("target", "host", "path"),
    [
        (b"/v1/messages", None, b"/v1/messages"),
        (b"http://a:1/b?c", b"a:1", b"/b?c"),
        (b"HTTPS://a", b"a", b"/"),
        (b"http://a?b/c", b"a", b"/?b/c"),
        (b"http:///a", None, b"http:///a"),
        (b"http:/a", None, b"http:/a"),
        (b"ftp://a/b", None, b"ftp://a/b"),
        (b"//a/b", None, b"//a/b"),
        (b"*", None, b"*"),
    ],
)
def test_a_target_is_cut_into_host_and_path(target, host, path):
    assert split(target) == (host, path)
