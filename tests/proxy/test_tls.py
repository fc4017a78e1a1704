"""Providers over TLS, and through a proxy of the environment."""

import base64
import socket
import ssl
import threading

import pytest
import trustme

from tests.support.raw import RawClient
from tests.support.upstream import FakeUpstream


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def tls_provider(authority):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    provider = FakeUpstream(tls=context).start()
    yield provider
    provider.stop()


def test_a_provider_over_tls_is_trusted_by_the_systems_certificates(start, tls_provider, authority, tmp_path):
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(bundle)
    server = start(upstream_url=tls_provider.url, SSL_CERT_FILE=str(bundle))
    with RawClient(server.port) as client:
        assert client.request().status == 200
        assert client.request(body=b"x" * 3_000_000).status == 400


def test_a_certificate_that_nobody_vouches_for_is_a_502(start, tls_provider):
    server = start(upstream_url=tls_provider.url)
    with RawClient(server.port) as client:
        answer = client.request()
    assert answer.status == 502
    assert "TLS" in answer.json["error"]["message"]
    assert "self-signed" in answer.json["error"]["message"] or "issuer" in answer.json["error"]["message"]


class ForwardProxy:
    """A forward proxy: CONNECT for https, absolute targets for http."""

    def __init__(self, refuse: bool = False) -> None:
        self.heads: list[bytes] = []
        self._refuse = refuse
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            client, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(65536)
        self.heads.append(head)
        if self._refuse:
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            client.close()
            return
        method, target = head.split(b" ")[:2]
        authority = target if method == b"CONNECT" else target.split(b"/")[2]
        host, _, port = authority.partition(b":")
        server = socket.create_connection((host, int(port)))
        if method == b"CONNECT":
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            server.sendall(head.replace(b"http://" + authority, b"", 1))
        threading.Thread(target=self._pump, args=(server, client), daemon=True).start()
        self._pump(client, server)

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def test_https_goes_through_the_environments_proxy(start, tls_provider, authority, tmp_path):
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(bundle)
    proxy = ForwardProxy()
    url = f"https://localhost:{tls_provider.port}"
    address = f"http://user:p%40ss@127.0.0.1:{proxy.port}"
    server = start(upstream_url=url, SSL_CERT_FILE=str(bundle), HTTPS_PROXY=address, NO_PROXY="example.com")
    with RawClient(server.port) as client:
        assert client.request().status == 200
    assert proxy.heads[0].startswith(b"CONNECT localhost:%d HTTP/1.1\r\n" % tls_provider.port)
    assert b"Proxy-Authorization: Basic " + base64.b64encode(b"user:p@ss") in proxy.heads[0]
    assert tls_provider.requests[-1].header("proxy-authorization") is None


def test_http_goes_through_the_environments_proxy(start, upstream):
    proxy = ForwardProxy()
    server = start(HTTP_PROXY=f"http://127.0.0.1:{proxy.port}", NO_PROXY="example.com")
    with RawClient(server.port) as client:
        assert client.request(target=b"/v1/messages?x=1").status == 200
    assert proxy.heads[0].startswith(b"POST http://127.0.0.1:%d/v1/messages?x=1 HTTP/1.1\r\n" % upstream.port)


def test_no_proxy_is_honoured(start, tls_provider, authority, tmp_path):
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(bundle)
    proxy = ForwardProxy()
    url = f"https://localhost:{tls_provider.port}"
    address = f"http://127.0.0.1:{proxy.port}"
    server = start(upstream_url=url, SSL_CERT_FILE=str(bundle), HTTPS_PROXY=address, NO_PROXY="localhost")
    with RawClient(server.port) as client:
        assert client.request().status == 200
    assert not proxy.heads


def test_a_proxy_that_refuses_is_a_502_that_says_so(start):
    proxy = ForwardProxy(refuse=True)
    server = start(
        upstream_url="https://api.example.com",
        HTTPS_PROXY=f"http://127.0.0.1:{proxy.port}",
        LUNAROUTE_ANTHROPIC_MAX_RETRIES="0",
    )
    with RawClient(server.port) as client:
        answer = client.request()
    assert answer.status == 502
    assert "refused CONNECT" in answer.json["error"]["message"]
