"""What is believed of X-Forwarded-For: what a trusted proxy says, and nothing else."""

from ipaddress import ip_network

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.forwarded import Trusted, forwarded_for

TRUSTED = Trusted([ip_network("127.0.0.1/32"), ip_network("10.0.0.0/8"), ip_network("fd00::/8")])


@pytest.mark.parametrize(
    ("peer", "chain", "client"),
    [
        ("127.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("127.0.0.1", "198.51.100.1, 203.0.113.7", "203.0.113.7"),  # the first one was written by the client
        ("127.0.0.1", "203.0.113.7, 10.1.2.3", "203.0.113.7"),  # two proxies
        ("127.0.0.1", "10.9.9.9, 10.1.2.3", "10.9.9.9"),  # a client of one's own network
        ("::ffff:10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("fd00::1", "203.0.113.7", "203.0.113.7"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.7:4711", "203.0.113.7"),  # with the client's port, as some proxies write it
        ("127.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("127.0.0.1", "[2001:db8::1]", "2001:db8::1"),
        ("127.0.0.1", "203.0.113.7, 10.1.2.3:80", "203.0.113.7"),
        ("127.0.0.1", "203.0.113.7, nonsense", "unknown"),  # and not this machine
        ("127.0.0.1", "unknown", "unknown"),
        ("127.0.0.1", "[::1", "unknown"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),  # nobody who is trusted
    ],
)
def test_the_client_is_the_last_address_that_is_no_proxys(peer, chain, client):
    scope = {"client": (peer, 1234), "headers": [(b"X-Forwarded-For", chain.encode()), (b"x-other", b"1")]}
    TRUSTED.take(scope)
    assert scope["client"] == (client, 1234)


def test_what_the_proxy_added_goes_no_further_and_what_a_client_says_does():
    added = [
        (b"X-Forwarded-For", b"203.0.113.7"),
        (b"X-Forwarded-Proto", b"https"),
        (b"Forwarded", b"for=x"),
        (b"X-Real-IP", b"1"),
    ]
    for peer, kept in (("10.0.0.1", []), ("203.0.113.9", added)):
        scope = {"client": (peer, 1), "headers": [*added, (b"x-mine", b"1")]}
        TRUSTED.take(scope)
        assert scope["headers"] == [*kept, (b"x-mine", b"1")]


@given(st.binary(max_size=60))
def test_no_header_breaks_it(value):
    scope = {"client": ("10.0.0.1", 1), "headers": [(b"x-forwarded-for", value)]}
    TRUSTED.take(scope)
    assert scope["client"][1] == 1


def test_several_headers_are_one_list():
    headers = [(b"X-Forwarded-For", b"1.1.1.1, 2.2.2.2"), (b"x-forwarded-for", b"3.3.3.3")]
    assert forwarded_for(headers) == ["1.1.1.1", "2.2.2.2", "3.3.3.3"]


def test_the_record_and_the_pages_have_the_clients_address(start, upstream):
    upstream.script("echo")
    server = start(LUNAROUTE_TRUSTED_PROXIES="127.0.0.1, 10.0.0.0/8")
    headers = {"x-forwarded-for": "203.0.113.7", "x-forwarded-proto": "https", "x-session-id": "behind"}
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        client.post("/v1/messages", content=b'{"model":"m","messages":[]}', headers=headers)
        server.wait_recorded(1)
        assert server.rows("SELECT client_ip FROM exchanges") == [("203.0.113.7",)]
        assert not any(name.lower().startswith(b"x-forwarded") for name, _ in upstream.requests[-1].headers)
        page = client.get("/sessions?page_size=1", headers=headers)
        assert "<https://" in page.headers["link"], "known to have come over TLS"
        assert "secure" in client.get("/admin/login/", headers=headers).headers["set-cookie"].lower()
        assert "secure" not in client.get("/admin/login/").headers["set-cookie"].lower()
        # The owner's link is for this machine, and who is behind the proxy is not on it.
        assert client.get("/owner/x", headers=headers).status_code == 403


def test_without_trusted_proxies_such_headers_are_but_headers(server, upstream):
    upstream.script("echo")
    headers = {"x-forwarded-for": "203.0.113.7", "x-forwarded-proto": "https", "x-session-id": "not-behind"}
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        client.post("/v1/messages", content=b'{"model":"m","messages":[]}', headers=headers)
        assert any(name.lower() == b"x-forwarded-for" for name, _ in upstream.requests[-1].headers)
        assert "<http://" in client.get("/sessions?page_size=1", headers=headers).headers["link"]
