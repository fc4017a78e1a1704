"""Providers over TLS."""

import datetime
import socket
import threading

import pytest

from tests.proxy.conftest import serve_tls
from tests.support.raw import RawClient, assert_error
from tests.support.server import start_server


@pytest.fixture(scope="module")
def secure(tls_of_session, bundle, tmp_path_factory):
    """A server in front of `tls_provider`."""
    server = start_server(tmp_path_factory.mktemp("secure"), tls_of_session.url, SSL_CERT_FILE=str(bundle))
    yield server
    server.stop()


def test_a_provider_over_tls_is_trusted_by_the_systems_certificates(secure, tls_provider):
    tls_provider.script("echo")
    with RawClient(secure.port) as client:
        assert client.request(body=b"{}").body == b"{}"
        assert client.request(body=b"x" * 3_000_000).body == b"x" * 3_000_000


def test_a_connection_that_the_provider_closed_between_requests_is_no_error(secure, tls_provider):
    with RawClient(secure.port) as client:
        for _ in range(20):
            assert client.request().status == 200
            tls_provider.close_idle()


def test_chunks_pass_as_they_come(secure, tls_provider):
    gate = tls_provider.event()

    async def script(exchange):
        await exchange.read_body()
        await exchange.start_stream()
        await exchange.chunk(b"data: 1\n\n")
        await gate.wait()
        await exchange.end_stream()

    tls_provider.script(script)
    with RawClient(secure.port) as client:
        client.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
        assert client.head().status == 200
        assert client.chunk() == b"data: 1\n\n"
        gate.open()
        assert client.chunk() == b""


def test_a_client_that_leaves_cancels(secure, tls_provider):
    tls_provider.script("stall")
    client = RawClient(secure.port)
    client.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
    client.head()
    client.close()
    assert tls_provider.lost.wait(1)


@pytest.mark.parametrize("framing", [b"content-length: 100", b"transfer-encoding: chunked"])
@pytest.mark.parametrize("how", ["close", "reset"])
def test_an_answer_that_breaks_off_never_looks_complete(secure, tls_provider, framing, how):
    async def script(exchange):
        await exchange.read_body()
        await exchange.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n4\r\nhalf\r\n")
        exchange.keep = False
        if how == "reset":
            exchange.reset()

    tls_provider.script(script)
    with RawClient(secure.port) as client:
        client.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
        answer = client.rest()
    # Reset at once, the provider may not even have begun to answer.
    assert not answer.endswith(b"0\r\n\r\n")
    assert len(answer.partition(b"\r\n\r\n")[2]) < 100 or answer.startswith(b"HTTP/1.1 502")


def test_a_certificate_that_nobody_vouches_for_is_a_502(start, tls_provider):
    server = start(upstream_url=tls_provider.url, LUNAROUTE_ENABLE_SESSION_RECORDING="false")
    with RawClient(server.port) as client:
        answer = client.request()
    assert_error(answer, "anthropic", 502, "anthropic", "TLS")
    assert "self-signed" in answer.json["error"]["message"] or "issuer" in answer.json["error"]["message"]


def test_a_certificate_for_another_name_is_a_502(start, authority, bundle):
    provider = serve_tls(authority, "example.com")
    server = start(upstream_url=provider.url, SSL_CERT_FILE=str(bundle))
    with RawClient(server.port) as client:
        assert_error(client.request(), "anthropic", 502, "TLS", "127.0.0.1")
    provider.stop()


def test_a_certificate_that_has_expired_is_a_502(start, authority, bundle):
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    provider = serve_tls(authority, "127.0.0.1", not_after=yesterday)
    server = start(upstream_url=provider.url, SSL_CERT_FILE=str(bundle))
    with RawClient(server.port) as client:
        assert_error(client.request(), "anthropic", 502, "TLS", "expired")
    provider.stop()


def test_a_provider_that_speaks_no_tls_is_a_502(start):
    def answer_in_plain_text() -> None:
        client, _ = listener.accept()
        client.recv(65536)
        client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\nThis is HTTP.")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer_in_plain_text, daemon=True).start()
        server = start(upstream_url=f"https://127.0.0.1:{listener.getsockname()[1]}")
        with RawClient(server.port) as client:
            assert_error(client.request(), "anthropic", 502, "TLS")
