"""Nothing on a connection makes one message pass for two, or one's part for another's."""

import json

import pytest

from tests.support.raw import RawClient

HEAD = b"POST /v1/messages HTTP/1.1\r\nhost: x\r\n"


def test_connection_cannot_name_the_length_away(raw, upstream):
    inner = b"GET /v1/smuggled HTTP/1.1\r\nhost: x\r\n\r\n"
    raw.request(body=inner, headers=b"Connection: content-length\r\n")
    assert raw.request(body=b"{}").status == 200
    assert [(r.target, r.body) for r in upstream.requests] == [(b"/v1/messages", inner), (b"/v1/messages", b"{}")]


def test_a_trailer_of_the_answer_is_no_header(raw, upstream):
    async def script(exchange):
        await exchange.read_body()
        head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        await exchange.send(head + b"5\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n")

    upstream.script(script)
    answer = raw.request()
    assert answer.body == b"hello"
    assert answer.header(b"x-trailer") is None
    assert answer.complete


@pytest.mark.parametrize("extra", [b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil", b"HTTP/1.1 200", b"\r\nxx"])
@pytest.mark.parametrize("method", [b"POST", b"HEAD"])
def test_what_a_provider_sends_beyond_its_answer_answers_nobody(raw, upstream, extra, method):
    async def script(exchange):
        await exchange.read_body()
        await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n" + b"{}" * (method == b"POST") + extra)
        exchange.upstream.script("echo")

    upstream.script(script)
    assert raw.request(method, body=b"one").status == 200
    assert raw.request(body=b"two").body == b"two"
    assert raw.request(body=b"three").body == b"three"


def test_an_answer_that_nobody_asked_for_is_not_taken(raw, upstream):
    """Load balancers say 408 on an idle connection before they close it."""
    gate = upstream.event()

    async def script(exchange):
        await exchange.read_body()
        await exchange.json({})
        await gate.wait()
        await exchange.send(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await exchange.until_gone()

    upstream.script(script)
    assert raw.request().status == 200
    gate.open()
    assert upstream.lost.wait(5)
    upstream.script("echo")
    assert raw.request(body=b"two").body == b"two"


def test_a_protocol_switch_that_nobody_asked_for_is_a_502(raw, upstream):
    async def script(exchange):
        await exchange.read_body()
        await exchange.send(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nraw")
        await exchange.until_gone()

    upstream.script(script)
    answer = raw.request()
    assert answer.status == 502
    assert "101" in answer.json["error"]["message"]


def test_an_own_page_sent_ahead_never_reaches_a_provider(raw, upstream):
    """Its first line comes with the request before it, its end after that one's answer."""
    raw.send(HEAD + b"content-length: 2\r\n\r\n{}GET /heal")
    assert raw.answer().status == 200
    raw.send(b"thz HTTP/1.1\r\nhost: localhost\r\n\r\n")
    raw.rest()
    assert [request.target for request in upstream.requests] == [b"/v1/messages"]


def test_a_request_that_asks_for_http_2_is_answered_as_http_1(server, upstream):
    """Java's client offers h2c with every request to an http address."""
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n"
    for framed in (
        b"content-length: 5\r\n\r\nhello",
        b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"content-length: 0\r\n\r\n",
    ):
        upstream.script("echo")
        with RawClient(server.port) as client:
            client.send(HEAD + offer + framed)
            assert client.answer().body == (b"hello" if b"hello" in framed else b"")
        assert upstream.requests[-1].header("upgrade") is None
        assert upstream.requests[-1].header("http2-settings") is None


def test_a_body_after_an_offer_of_http_2_may_come_late(raw, upstream):
    upstream.script("echo")
    raw.send(HEAD + b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: 10\r\n\r\n")
    raw.send(b"hello")
    raw.send(b"world")
    assert raw.answer().body == b"helloworld"


def test_a_target_in_absolute_form_is_understood(server, upstream):
    with RawClient(server.port) as client:
        client.request(target=b"http://localhost:%d/v1/messages?a=1" % server.port)
        assert upstream.requests[-1].target == b"/v1/messages?a=1"
    with RawClient(server.port) as client:
        answer = client.request(b"GET", b"http://localhost:%d/healthz" % server.port, b"")
        assert answer.body == b'{"status":"ok"}'


def test_lunaroute_is_no_forward_proxy(raw, upstream):
    raw.send(b"CONNECT api.anthropic.com:443 HTTP/1.1\r\nhost: api.anthropic.com:443\r\n\r\n")
    answer = raw.answer()
    assert answer.status == 400
    assert "ANTHROPIC_BASE_URL" in answer.json["error"]["message"]
    assert not upstream.requests


@pytest.mark.parametrize("target", [b"*", b"v1/messages", b"?x=1", b"api.anthropic.com:443"])
def test_a_target_that_is_no_path_is_a_400(server, upstream, target):
    for method in (b"POST", b"OPTIONS"):
        with RawClient(server.port) as client:
            client.send(b"%b %b HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}" % (method, target))
            assert client.answer().status == 400
    assert not upstream.requests


@pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.2", b"HTTP/3"])
def test_another_version_of_http_is_a_400(raw, upstream, version):
    raw.send(b"POST /v1/messages %b\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}" % version)
    assert raw.answer().status == 400
    assert raw.rest() == b""
    assert not upstream.requests


def test_lunaroutes_own_error_to_a_head_request_has_no_body(raw, upstream):
    upstream.script("close")
    answer = raw.request(b"HEAD", b"/v1/models", b"")
    assert answer.status == 502
    upstream.script(None)
    assert json.loads(raw.request().body)["type"] == "message"


# What two servers in a row might cut in two different places, or one of them not see.
AMBIGUOUS = {
    "a length and chunks": HEAD
    + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /v1/evil HTTP/1.1\r\nhost: x\r\n\r\n",
    "chunks and a length": HEAD + b"transfer-encoding: chunked\r\ncontent-length: 60\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "two lengths": HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhelloX",
    "one length twice": HEAD + b"content-length: 5\r\ncontent-length: 5\r\n\r\nhello",
    "a list of lengths": HEAD + b"content-length: 5, 5\r\n\r\nhello",
    "a length with a sign": HEAD + b"content-length: +5\r\n\r\nhello",
    "a hexadecimal length": HEAD + b"content-length: 0x5\r\n\r\nhello",
    "a space before the colon": HEAD + b"content-length : 5\r\n\r\nhello",
    "a negative length": HEAD + b"content-length: -5\r\n\r\nhello",
    "an empty length": HEAD + b"content-length:\r\n\r\nhello",
    "a length beyond all bounds": HEAD + b"content-length: 99999999999999999999\r\n\r\nhello",
    "an unknown coding": HEAD + b"transfer-encoding: xchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "a second coding": HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "the identity coding": HEAD + b"transfer-encoding: identity\r\ncontent-length: 5\r\n\r\nhello",
    "chunked is not last": HEAD + b"transfer-encoding: chunked, identity\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "two codings": HEAD + b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "a space before the codings colon": HEAD + b"transfer-encoding : chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "a vertical tab": HEAD + b"transfer-encoding: \x0bchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "a folded line": HEAD + b"x: a\r\n content-length: 5\r\ncontent-length: 0\r\n\r\n",
    "a folded coding": HEAD + b"transfer-encoding:\r\n chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "bare line feeds": b"POST /v1/messages HTTP/1.1\nhost: x\ncontent-length: 5\n\nhello",
    "a line feed in a value": HEAD + b"x: a\nevil: b\r\ncontent-length: 5\r\n\r\nhello",
    "a carriage return in a value": HEAD + b"x: a\revil: b\r\ncontent-length: 5\r\n\r\nhello",
    "a zero byte in a value": HEAD + b"x: a\x00b\r\ncontent-length: 5\r\n\r\nhello",
    "a zero byte in a name": HEAD + b"x\x00: b\r\ncontent-length: 5\r\n\r\nhello",
    "a line feed in an extension": HEAD + b"transfer-encoding: chunked\r\n\r\n5;a\nb\r\nhello\r\n0\r\n\r\n",
    "chunks with bare line feeds": HEAD + b"transfer-encoding: chunked\r\n\r\n5\nhello\n0\n\n",
    "a chunk size with a prefix": HEAD + b"transfer-encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
    "a negative chunk size": HEAD + b"transfer-encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
    "a chunk size beyond all bounds": HEAD
    + b"transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "a chunk without its end": HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n",
    "a length in a trailer": HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\ncontent-length: 99\r\n\r\n",
    "two hosts": b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nhost: y\r\ncontent-length: 2\r\n\r\n{}",
    "no host": b"POST /v1/messages HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}",
    "a space in the target": b"POST /v1/messages evil HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("sent", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_what_could_be_read_in_two_ways_is_a_400_and_the_connection_closes(raw, upstream, sent):
    raw.send(sent)
    assert raw.answer().status == 400
    assert raw.rest() == b""
    assert not upstream.requests


@pytest.mark.parametrize(
    "header",
    [
        b"evil: a\r\nset-cookie: x=1",
        b"evil: a\nset-cookie: x=1",
        b"evil: a\rset-cookie: x=1",
        b"evil: a\0b",
        b"e vil: a",
        b" folded",
    ],
)
def test_nor_does_a_broken_head_of_an_answer_pass(raw, upstream, header):
    async def script(exchange):
        await exchange.read_body()
        await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n%b\r\n\r\n{}" % header)

    upstream.script(script)
    answer = raw.request()
    if header.startswith(b"evil: a\r\n"):  # two headers, as they stand there
        assert (answer.status, answer.header(b"set-cookie")) == (200, b"x=1")
    else:
        assert answer.status == 502
        assert answer.header(b"set-cookie") is None


# -- upgrades ---------------------------------------------------------------------------------------------------

UPGRADE = b"GET /v1/responses HTTP/1.1\r\nhost: x\r\n"
KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
WEBSOCKET = b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
INNER = b"GET /v1/evil HTTP/1.1\r\nhost: x\r\n\r\n"


def accepting(answer: bytes):
    """Give a script that answers a handshake with `answer`, and keeps all that comes behind it as the request's body."""

    async def script(exchange):
        exchange.keep = False
        await exchange.send(answer)
        while data := await exchange.reader.read(1 << 16):
            exchange.request.body += data
        exchange.upstream.lost.set()

    return script


SWITCHED = accepting(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
DECLINED = accepting(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")


@pytest.mark.parametrize(
    "framed",
    [
        b"Content-Length: %d\r\n\r\n%b" % (len(INNER), INNER),
        b"content-length: 00\r\n\r\n" + INNER,
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(INNER), INNER),
        b"transfer-ENCODING: chunked\r\n\r\n0\r\n\r\n" + INNER,
        b"Connection: content-length\r\nContent-Length: %d\r\n\r\n%b" % (len(INNER), INNER),
        b"Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + INNER,
        b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n%b" % (len(INNER), INNER),
    ],
)
@pytest.mark.parametrize("target", [b"/v1/responses", b"/ui/live"], ids=["provider", "own"])
def test_a_request_for_a_websocket_has_no_body(raw, upstream, framed, target):
    raw.send(UPGRADE.replace(b"/v1/responses", target) + WEBSOCKET + KEY + framed)
    answer = raw.until(b"\r\n\r\n")
    while answer.startswith(b"HTTP/1.1 100"):
        answer = raw.until(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"HTTP/1.1" not in raw.rest(), "nothing else is answered"
    assert not upstream.requests


# Handshakes that look like more than one thing: what is the provider to see of the request, and is it one for a WebSocket?
HANDSHAKES = {
    "as it should be": (WEBSOCKET, True),
    "a length of nothing": (WEBSOCKET + b"Content-Length: 0\r\n", True),
    "another case, and blanks": (b"uPGRADE:  WebSocket \r\nconnection: keep-alive, UPGRADE\r\n", True),
    "several offers in lines": (b"Upgrade: h2c\r\n" + WEBSOCKET, True),
    "several offers in a list": (b"Upgrade: h2c, websocket\r\nConnection: Upgrade\r\n", False),
    "a version": (b"Upgrade: websocket/13\r\nConnection: Upgrade\r\n", False),
    "closing": (b"Upgrade: websocket\r\nConnection: upgrade, close\r\n", True),
    "an upgrade that Connection does not name": (b"Upgrade: websocket\r\n", False),
    "Connection alone": (b"Connection: Upgrade\r\n", False),
    "an offer of HTTP/2": (b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAEAA\r\n", False),
    "an expectation": (WEBSOCKET + b"Expect: 100-continue\r\n", True),
    "two keys and no version": (WEBSOCKET + b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", True),
}  # fmt: skip


@pytest.mark.parametrize(("lines", "is_websocket"), HANDSHAKES.values(), ids=HANDSHAKES)
def test_a_handshake_is_one_request_to_the_provider(server, upstream, lines, is_websocket):
    upstream.script(SWITCHED if is_websocket else "echo")
    with RawClient(server.port) as client:
        client.send(UPGRADE + lines + KEY + b"\r\n")
        assert client.head().status == (101 if is_websocket else 200)
        (request,) = upstream.requests
        asked = (request.header("upgrade"), request.header("connection"))
        assert asked == (("websocket", "Upgrade") if is_websocket else (None, None))
        assert request.header("http2-settings") is None
        assert b"dGhlIHNhbXBsZSBub25jZQ==" in request.headers_named("sec-websocket-key")


@pytest.mark.parametrize("tail", [b"", INNER])
def test_http_1_0_knows_no_upgrade(raw, upstream, tail):
    upstream.script("echo")
    raw.send(UPGRADE.replace(b"1.1", b"1.0") + WEBSOCKET + KEY + b"\r\n" + tail)
    assert raw.answer().status == 200
    assert raw.rest() == b""
    assert [request.header("upgrade") for request in upstream.requests] == [None]


def test_a_post_is_no_handshake_and_keeps_its_body(raw, upstream):
    upstream.script("echo")
    raw.send(HEAD + WEBSOCKET + KEY + b"content-length: %d\r\n\r\n%b" % (len(INNER), INNER))
    assert raw.answer().body == INNER
    assert upstream.requests[-1].header("upgrade") is None


def test_what_follows_a_handshake_waits_for_the_switch_and_is_never_a_request(server, upstream):
    upstream.script(SWITCHED)
    with RawClient(server.port) as client:
        client.send(UPGRADE + WEBSOCKET + KEY + b"\r\n" + INNER)
        assert client.head().status == 101
    assert upstream.lost.wait(5)
    assert [request.body for request in upstream.requests] == [INNER]
    upstream.reset()
    upstream.script(DECLINED)
    with RawClient(server.port) as client:
        client.send(UPGRADE + WEBSOCKET + KEY + b"\r\n" + INNER)
        answer = client.answer()
        assert (answer.status, answer.header(b"connection")) == (200, b"close")
        client.send(INNER)
        assert client.rest() == b""
    upstream.close_idle()
    assert upstream.lost.wait(5)
    assert [request.body for request in upstream.requests] == [b""]


def test_a_switch_that_nobody_asked_for_leaves_nothing_for_the_next_request(raw, upstream):
    upstream.script(SWITCHED)
    assert raw.request().status == 502
    upstream.script("echo")
    assert raw.request(body=b"two").body == b"two"


def test_http_1_0_has_no_chunks(raw, upstream):
    raw.send(HEAD.replace(b"1.1", b"1.0") + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    assert raw.answer().status == 400
    assert raw.rest() == b""
    assert not upstream.requests


def test_an_own_page_keeps_no_connection_for_an_upgrade_that_it_does_not_know(raw, upstream):
    raw.send(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n" + INNER)
    assert raw.answer().header(b"connection").lower() == b"close"
    assert raw.rest() == b""
    assert not upstream.requests
