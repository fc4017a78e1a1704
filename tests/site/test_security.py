"""The threat model: that each of its lines has a test, and those tests that belong to no other subject."""

import re
import stat

import psutil
import pytest

from tests.support.raw import RawClient
from tests.support.server import ROOT, RunningServer, start_server

SECRETS = {"ANTHROPIC_API_KEY": "sk-ant-nobody-sees-this", "LUNAROUTE_AUTH_TOKEN": "a-token-that-nobody-sees"}


@pytest.fixture(scope="module")
def keyed(tmp_path_factory, provider) -> RunningServer:
    provider.reset()
    server = start_server(tmp_path_factory.mktemp("keyed"), provider.url, worker=True, fork=False, **SECRETS)
    with RawClient(server.port) as client:
        token = SECRETS["LUNAROUTE_AUTH_TOKEN"].encode()
        client.send(
            b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nx-lunaroute-token: %b\r\nContent-Length: 2\r\n\r\n{}"
            % token
        )
        assert client.answer().status == 200
    server.wait_recorded(1)
    yield server
    assert server.stop() == 0


def test_each_line_of_the_threat_model_has_its_test():
    page = (ROOT / "docs/security.md").read_text()
    rows = [
        line
        for line in page.splitlines()
        if line.startswith("| ") and not line.startswith(("| ---", "| it ", "| they "))
    ]
    assert len(rows) > 20
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row)
        assert named, row
        for path, name in named:
            assert f"def {name}(" in (ROOT / path).read_text(), (path, name)


@pytest.mark.parametrize(
    "path", ["/ui/", "/ui/sessions", "/ui/settings", "/login", "/admin/login/", "/api/docs", "/metrics"]
)
def test_every_page_says_what_a_browser_may_do_with_it(keyed, path):
    status, headers, _ = keyed.get(path, {"x-lunaroute-token": SECRETS["LUNAROUTE_AUTH_TOKEN"]})
    assert status in (200, 302)
    policy = dict(part.strip().partition(" ")[::2] for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"].startswith("'self'")
    assert "unsafe" not in policy["script-src"]
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["form-action"] == "'self'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_nobody_else_can_read_what_is_in_the_home(keyed):
    found = [keyed.home, *keyed.home.rglob("*")]
    assert len(found) > 5
    for path in found:
        mode = stat.S_IMODE(path.lstat().st_mode)
        assert mode & 0o077 == 0, (path, oct(mode))


def test_no_secret_is_an_argument_of_a_process(keyed):
    supervisor = psutil.Process(keyed.process.pid)
    for process in (supervisor, *supervisor.children(recursive=True)):
        assert not any(secret in " ".join(process.cmdline()) for secret in SECRETS.values())


def test_no_secret_is_kept_logged_or_counted(keyed):
    texts = {str(path): path.read_bytes() for path in keyed.home.rglob("*") if path.is_file()}
    texts["output"] = keyed.output().encode()
    for path in ("/metrics", "/ui/settings", "/api/providers", "/sessions"):
        texts[path] = keyed.get(path, {"x-lunaroute-token": SECRETS["LUNAROUTE_AUTH_TOKEN"]})[2]
    for name, text in texts.items():
        assert not any(secret.encode() in text for secret in SECRETS.values()), name
