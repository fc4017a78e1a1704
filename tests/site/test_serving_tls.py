"""LunaRoute itself over TLS: what goes to providers, pages, sockets, and certificates that change."""

import json
import os
import socket
import ssl

import httpx
import pytest
import trustme
from websockets.sync.client import connect

from tests.site.test_commands import run
from tests.support.server import eventually, start_server

BODY = b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"over TLS"}]}'


def issue(authority: trustme.CA, home) -> None:
    certificate = authority.issue_cert("lunaroute.example", "127.0.0.1")
    certificate.private_key_pem.write_to_path(home / "key.pem")
    with open(home / "cert.pem", "wb") as file:
        file.writelines(blob.bytes() for blob in certificate.cert_chain_pems)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def secure(provider, authority, tmp_path_factory):
    home = tmp_path_factory.mktemp("tls")
    issue(authority, home)
    (home / "c.yaml").write_text(f"tls: {{certificate: {home}/cert.pem, key: {home}/key.pem}}\n")
    server = start_tls(home, provider)
    yield server
    assert server.stop() == 0, server.output()
    assert "Traceback" not in server.output(), server.output()


def start_tls(home, provider):
    return start_server(home, provider.url, scheme="https", LUNAROUTE_CONFIG=str(home / "c.yaml"))


@pytest.fixture
def client(secure, authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with httpx.Client(base_url=secure.url, verify=context, trust_env=False) as client:
        yield client


def test_requests_pass_and_are_recorded(secure, client, upstream):
    upstream.script("echo")
    for size in (0, 100, 3_000_000):
        body = BODY + b" " * size
        assert client.post("/v1/messages", content=body, headers={"x-session-id": "tls"}).content == body
    secure.wait_recorded(3)
    assert client.get("/sessions").json()[0]["session_id"] == "tls"


def test_pages_know_that_they_are_secure(client):
    page = client.get("/admin/login/")
    assert page.status_code == 200
    assert "secure" in page.headers["set-cookie"].lower()
    form = {
        "username": "x",
        "password": "y",
        "csrfmiddlewaretoken": client.cookies[f"lunaroute_csrf_{client.base_url.port}"],
    }
    assert client.post("/admin/login/", data=form).status_code == 403, "Django asks for a Referer over TLS"
    referred = {"referer": str(page.url)}
    assert "correct" in client.post("/admin/login/", data=form, headers=referred).text
    assert client.get("/static/lunaroute/app.css").status_code == 200
    link = client.get("/sessions?page_size=1").headers["link"]
    assert "<https://" in link


def test_a_live_page_follows(secure, client, authority, upstream):
    upstream.script("echo")
    client.post("/v1/messages", content=BODY, headers={"x-session-id": "live"})
    eventually(lambda: client.get("/sessions/live").status_code == 200, "a session")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    url = f"{secure.url.replace('https', 'wss')}/ui/live/sessions/live"
    with connect(url, ssl=context, origin=secure.url, proxy=None) as page:
        page.send(json.dumps({"have": {}}))
        assert "over TLS" in page.recv(timeout=10)
        for _ in range(3):
            client.post("/v1/messages", content=BODY.replace(b"over", b"again over"), headers={"x-session-id": "live"})
        while "again over" not in page.recv(timeout=10):
            pass


def test_who_speaks_no_tls_is_turned_away_and_disturbs_nobody(secure, client):
    with socket.create_connection(("127.0.0.1", secure.port), 10) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b"HTTP/1.1 2" not in plain.recv(100)
    assert client.get("/healthz").status_code == 200


def test_the_commands_reach_it(secure):
    status = run(secure.home.parent, "status", LUNAROUTE_CONFIG=str(secure.home.parent / "c.yaml"))
    assert f"https://127.0.0.1:{secure.port}" in status.stdout
    assert "does not answer" not in status.stdout
    assert "Waiting for the recorder" in status.stdout


def test_a_renewed_certificate_is_taken_up_and_a_broken_one_is_not(secure, authority):
    home = secure.home.parent

    def serial() -> int:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", secure.port), 10) as plain, context.wrap_socket(plain) as wrapped:
            return hash(wrapped.getpeercert(True))

    before = serial()
    (home / "cert.pem").write_text("nonsense")
    eventually(lambda: "cannot be used, the one before it still is" in secure.output(), "a word about it")
    assert serial() == before
    issue(authority, home)
    eventually(lambda: serial() != before, "the new certificate")


def test_files_that_do_not_belong_together_stop_the_start(tmp_path, authority):
    issue(authority, tmp_path)
    key = (tmp_path / "key.pem").read_bytes()
    issue(authority, tmp_path)
    (tmp_path / "key.pem").write_bytes(key)
    (tmp_path / "c.yaml").write_text(f"tls: {{certificate: {tmp_path}/cert.pem, key: {tmp_path}/key.pem}}\n")
    done = run(tmp_path, "serve", LUNAROUTE_CONFIG=str(tmp_path / "c.yaml"), LUNAROUTE_PORT="0")
    assert done.returncode == 1
    assert "cert.pem and" in done.stderr
    os.unlink(tmp_path / "key.pem")
    done = run(tmp_path, "serve", LUNAROUTE_CONFIG=str(tmp_path / "c.yaml"), LUNAROUTE_PORT="0")
    assert done.returncode == 2
    assert "tls.key: expected a file in PEM format" in done.stderr
