"""The token, the guard and the throttle judge the path that is served, however a client writes it."""

import json

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from proxy.throttle import FAILURES
from tests.support.paths import MOVING, ask, is_served, ways
from tests.support.server import RunningServer, start_server

TOKEN = "a-token-that-nobody-guesses"
BEARER = f"Authorization: Bearer {TOKEN}\r\n"


@pytest.fixture(scope="module")
def locked(tmp_path_factory, provider) -> RunningServer:
    """A server with a token."""
    server = start_server(tmp_path_factory.mktemp("locked"), provider.url, LUNAROUTE_AUTH_TOKEN=TOKEN)
    yield server
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("path", "root"), [("/sessions", "/owner"), ("/metrics", "/static"), ("/ui/settings", "/login")]
)
def test_no_way_of_writing_a_path_passes_the_token(locked, upstream, path, root):
    for target, header in ways(locked, path, root):
        answer = ask(locked, target, header)
        assert not is_served(answer), (target, header, answer.status)
    assert is_served(ask(locked, path, BEARER + MOVING[0].format(root, root[1:]) + "\r\n"))


def test_none_passes_the_guard_against_other_sites(locked, upstream):
    for target, header in ways(locked, "/sessions"):
        assert not is_served(ask(locked, target, f"Origin: https://evil.example\r\n{BEARER}{header}")), (target, header)


def test_no_header_opens_a_socket(locked):
    for header in MOVING[:6]:
        for line in header.format("/ui", "ui").split("\r\n"):
            name, _, value = line.partition(":")
            for path in ("/ui/ui/live", "/ui/live", "/owner/ui/live"):
                with pytest.raises(InvalidStatus) as refused:
                    connect(f"ws://localhost:{locked.port}{path}", additional_headers={name: value}, proxy=None).close()
                assert refused.value.response.status_code in (403, 404), (path, header)


def test_a_socket_is_at_its_own_path_whatever_a_header_says(locked):
    headers = {"Authorization": f"Bearer {TOKEN}", "Daphne-Root-Path": "/ui"}
    with connect(f"ws://localhost:{locked.port}/ui/live", additional_headers=headers, proxy=None) as socket:
        socket.send(json.dumps({"have": {}}))
        assert json.loads(socket.recv(10)) == {"ready": True}


def test_none_escapes_the_throttle(locked, upstream):
    page = httpx.get(f"{locked.url}/login", trust_env=False)
    csrf = page.cookies[f"lunaroute_csrf_{locked.port}"]
    more = f"Cookie: lunaroute_csrf_{locked.port}={csrf}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    body = f"csrfmiddlewaretoken={csrf}&token=".encode()
    for _ in range(FAILURES):
        assert ask(locked, "/login", more, "POST", body + b"a-wrong-token").status == 401
    for target, header in ways(locked, "/login"):
        answer = ask(locked, target, more + header, "POST", body + TOKEN.encode())
        assert answer.header(b"set-cookie") is None, (target, header)
