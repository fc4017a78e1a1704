"""Providers behind a forward proxy of the environment: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY."""

import base64
import socket

import pytest

from tests.support.forward import ForwardProxy
from tests.support.raw import RawClient, assert_error
from tests.support.server import free_port


def test_https_goes_through_the_environments_proxy(start, tls_provider, bundle):
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


def test_no_proxy_is_honoured(start, tls_provider, bundle):
    proxy = ForwardProxy()
    url = f"https://localhost:{tls_provider.port}"
    address = f"http://127.0.0.1:{proxy.port}"
    server = start(upstream_url=url, SSL_CERT_FILE=str(bundle), HTTPS_PROXY=address, NO_PROXY="localhost")
    with RawClient(server.port) as client:
        assert client.request().status == 200
    assert not proxy.heads


def test_a_proxy_that_refuses_is_a_502_that_says_so(start):
    proxy = ForwardProxy(answer=b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
    server = start(
        upstream_url="https://api.example.com",
        HTTPS_PROXY=f"http://127.0.0.1:{proxy.port}",
        LUNAROUTE_ANTHROPIC_MAX_RETRIES="0",
    )
    with RawClient(server.port) as client:
        answer = client.request()
    assert_error(answer, "anthropic", 502, "refused CONNECT", "407 Proxy Authentication Required")


def test_one_tunnel_serves_many_requests_and_streams(start, tls_provider, bundle):
    proxy = ForwardProxy()
    url = f"https://localhost:{tls_provider.port}"
    address = f"http://127.0.0.1:{proxy.port}"
    server = start(upstream_url=url, SSL_CERT_FILE=str(bundle), ALL_PROXY=address, NO_PROXY="example.com")
    with RawClient(server.port) as client:
        for _ in range(3):
            answer = client.request(body=b'{"stream": true}')
            assert answer.complete
            assert b"message_stop" in answer.body
        tls_provider.script("echo")
        assert client.request(body=b"x" * 2_000_000).body == b"x" * 2_000_000
    assert len(proxy.heads) == 1


def test_plain_requests_carry_the_proxys_credentials_to_the_proxy_each_time(start, upstream):
    proxy = ForwardProxy()
    server = start(HTTP_PROXY=f"http://user:pass@127.0.0.1:{proxy.port}", NO_PROXY="example.com")
    with RawClient(server.port) as client:
        for _ in range(2):
            assert client.request(headers=b"proxy-authorization: mine\r\n").status == 200
    # The second one as the proxy would have seen it: this one passes it on as it is.
    again = upstream.requests[-1]
    assert again.target == b"http://127.0.0.1:%d/v1/messages" % upstream.port
    expected = b"Basic " + base64.b64encode(b"user:pass")
    assert again.headers_named("proxy-authorization") == [expected]


def test_this_machine_is_asked_directly(start, upstream):
    gone = f"http://127.0.0.1:{free_port()}"
    server = start(HTTP_PROXY=gone, HTTPS_PROXY=gone, ALL_PROXY=gone)
    with RawClient(server.port) as client:
        assert client.request().status == 200


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("socks5://127.0.0.1:1080", ["HTTPS_PROXY", "socks5://"]),
        ("http://127.0.0.1:nine", ["HTTPS_PROXY"]),
        ("http://127.0.0.1:1", ["connection refused", "proxy"]),
        ("http://nobody.invalid:3128", ["does not resolve", "proxy"]),
    ],
)
def test_a_proxy_that_cannot_be_used_is_a_502_that_says_so(start, address, words):
    server = start(
        upstream_url="https://api.example.com", HTTPS_PROXY=address, LUNAROUTE_ANTHROPIC_MAX_RETRIES="0",
        LUNAROUTE_ENABLE_SESSION_RECORDING="false",
    )  # fmt: skip
    with RawClient(server.port) as client:
        assert_error(client.request(), "anthropic", 502, "api.example.com", *words)


def test_a_proxy_that_says_nothing_is_a_504(start):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = start(
            upstream_url="https://api.example.com", HTTPS_PROXY=f"http://127.0.0.1:{silent.getsockname()[1]}",
            LUNAROUTE_ANTHROPIC_CONNECT_TIMEOUT_SECS="0.3", LUNAROUTE_ENABLE_SESSION_RECORDING="false",
        )  # fmt: skip
        with RawClient(server.port) as client:
            assert_error(client.request(), "anthropic", 504, "0.3 s")


def test_a_proxy_that_closes_without_an_answer_is_a_502(start):
    proxy = ForwardProxy(answer=b"")
    server = start(
        upstream_url="https://api.example.com", HTTPS_PROXY=f"http://127.0.0.1:{proxy.port}",
        LUNAROUTE_ANTHROPIC_MAX_RETRIES="0", LUNAROUTE_ENABLE_SESSION_RECORDING="false",
    )  # fmt: skip
    with RawClient(server.port) as client:
        assert_error(client.request(), "anthropic", 502, "no answer to CONNECT")
