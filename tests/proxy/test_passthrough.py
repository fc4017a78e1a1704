"""What goes through comes out as it went in, in both directions."""

import asyncio
import gzip

import brotli
import pytest
import zstandard

from tests.support.raw import RawClient


@pytest.mark.parametrize(
    "target",
    [
        b"/v1/messages",
        b"/v1/messages?beta=true&a=1&a=2",
        b"/v1/messages/a%2Fb//c%20d;x=1?q=%zz&r=a+b",
        b"/v1//messages/../x",
    ],
)
def test_the_raw_target_reaches_the_provider(raw, upstream, target):
    raw.request(target=target)
    assert upstream.requests[-1].target == target


def test_one_v1_where_base_url_and_path_both_have_it(raw, upstream):
    raw.request(target=b"/v1/chat/completions?x=1")
    assert upstream.requests[-1].target == b"/v1/chat/completions?x=1"


def test_a_path_without_version_gets_the_base_urls(raw, upstream):
    raw.request(target=b"/responses")
    assert upstream.requests[-1].target == b"/v1/responses"


def test_end_to_end_headers_pass_with_their_case_and_order_and_underscores(raw, upstream):
    raw.request(
        headers=b"session_id: abc\r\nX-Twice: 1\r\nx-twice: 2\r\nX-Empty:\r\nAccept-Encoding: br, gzip\r\nAuthorization: Bearer k\r\n"
    )
    headers = upstream.requests[-1].headers
    assert (b"session_id", b"abc") in headers
    assert [h for h in headers if h[0].lower() == b"x-twice"] == [(b"X-Twice", b"1"), (b"x-twice", b"2")]
    assert (b"X-Empty", b"") in headers
    assert (b"Accept-Encoding", b"br, gzip") in headers
    assert (b"Authorization", b"Bearer k") in headers


def test_hop_by_hop_headers_and_what_connection_names_stay(raw, upstream):
    raw.request(
        headers=b"Connection: keep-alive, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nProxy-Authorization: x\r\n"
    )
    names = [name.lower() for name, _ in upstream.requests[-1].headers]
    assert not {b"x-mine", b"keep-alive", b"te", b"proxy-authorization", b"connection"} & set(names)


def test_the_host_is_the_providers(raw, upstream):
    raw.request()
    assert upstream.requests[-1].headers_named("host") == [f"127.0.0.1:{upstream.port}".encode()]


def test_a_body_passes_byte_for_byte(raw, upstream):
    body = bytes(range(256)) * 3000
    raw.request(body=body)
    assert upstream.requests[-1].body == body
    assert upstream.requests[-1].header("content-length") == str(len(body))


def test_a_chunked_request_arrives_whole(raw, upstream):
    raw.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
    raw.send(b"6;ext=1\r\n world\r\n0\r\nX-Trailer: 1\r\n\r\n")
    raw.answer()
    assert upstream.requests[-1].body == b"hello world"


@pytest.mark.parametrize(
    ("coding", "encode"),
    [("gzip", gzip.compress), ("br", brotli.compress), ("zstd", zstandard.ZstdCompressor().compress)],
)
def test_a_compressed_answer_stays_as_it_is(raw, upstream, coding, encode):
    body = encode(b'{"a": "' + b"x" * 5000 + b'"}')

    async def script(exchange):
        await exchange.read_body()
        await exchange.answer(200, body, ("content-encoding", coding), ("content-type", "application/json"))

    upstream.script(script)
    answer = raw.request()
    assert answer.body == body
    assert answer.header(b"content-encoding") == coding.encode()


def test_an_answers_headers_pass_repeated_ones_too(raw, upstream):
    async def script(exchange):
        await exchange.read_body()
        await exchange.answer(
            429,
            b"{}",
            ("Set-Cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("X_Under", "1"),
            ("Retry-After", "7"),
            reason="Slow Down",
        )

    upstream.script(script)
    answer = raw.request()
    assert answer.head.startswith(b"HTTP/1.1 429 Slow Down\r\n")
    assert [h for h in answer.headers if h[0].lower() == b"set-cookie"] == [
        (b"Set-Cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
    ]
    assert (b"X_Under", b"1") in answer.headers
    assert (b"Retry-After", b"7") in answer.headers


def test_chunks_pass_as_they_come_without_waiting_for_an_event(raw, upstream):
    gates = [upstream.event() for _ in range(3)]

    async def script(exchange):
        await exchange.read_body()
        await exchange.start_stream()
        for gate, part in zip(gates, (b"data: \xe6", b"\x97", b"\xa5\n\n"), strict=True):
            await gate.wait()
            await exchange.chunk(part)
        await exchange.end_stream()

    upstream.script(script)
    raw.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
    assert raw.head().status == 200
    for gate, part in zip(gates, (b"data: \xe6", b"\x97", b"\xa5\n\n"), strict=True):
        gate.open()
        assert raw.chunk() == part
    assert raw.chunk() == b""


def test_expect_100_continue_is_the_providers_to_answer(raw, upstream):
    raw.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
    assert raw.head().status == 100
    raw.send(b"{}")
    assert raw.answer().status == 200
    assert upstream.requests[-1].body == b"{}"


def test_early_hints_pass(raw, upstream):
    async def script(exchange):
        await exchange.read_body()
        await exchange.send(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")
        await exchange.json({})

    upstream.script(script)
    raw.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
    hints = raw.head()
    assert (hints.status, hints.header(b"link")) == (103, b"</x>")
    assert raw.answer().status == 200


def test_head_has_no_body_and_keeps_its_length(raw, upstream):
    async def script(exchange):
        await exchange.answer(200, b"", ("content-length", "1234"))

    upstream.script(script)
    answer = raw.request(b"HEAD", b"/v1/models", b"")
    assert (answer.status, answer.header(b"content-length")) == (200, b"1234")
    upstream.script(None)
    assert raw.request().status == 200


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_body_ends_at_its_head(raw, upstream, status):
    async def script(exchange):
        await exchange.read_body()
        await exchange.send(b"HTTP/1.1 %d X\r\netag: 1\r\n\r\n" % status)

    upstream.script(script)
    assert raw.request().status == status
    upstream.script(None)
    assert raw.request().status == 200


def test_an_answer_that_ends_with_its_connection(raw, upstream):
    async def script(exchange):
        await exchange.read_body()
        await exchange.send(b"HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\nall of it")
        exchange.keep = False

    upstream.script(script)
    answer = raw.request()
    assert answer.body == b"all of it"
    assert answer.complete


def test_a_client_of_http_1_0_gets_an_answer_that_ends_with_the_connection(raw, upstream):
    raw.send(b'POST /v1/messages HTTP/1.0\r\ncontent-length: 15\r\n\r\n{"stream":true}')
    answer = raw.head()
    assert answer.header(b"transfer-encoding") is None
    assert b"message_stop" in raw.rest()


def test_a_connection_serves_many_requests_and_so_does_the_providers(raw, upstream):
    for _ in range(5):
        assert raw.request().status == 200
    assert len({request.connection for request in upstream.requests[-4:]}) == 1


def test_pipelined_requests_are_answered_in_order(raw, upstream):
    for number in range(4):
        body = b'{"model":"m%d"}' % number
        raw.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    assert [raw.answer().json["model"] for _ in range(4)] == ["m0", "m1", "m2", "m3"]


def test_a_request_in_single_bytes(raw, upstream):
    for byte in b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}":
        raw.send(bytes((byte,)))
    assert raw.answer().status == 200


def test_the_dialect_decides_the_provider(raw, upstream):
    raw.request(b"GET", b"/v1/models", b"")
    assert raw.request(b"GET", b"/v1/models", b"", b"anthropic-version: 2023-06-01\r\n").status == 200


def test_ten_thousand_events_arrive_complete(server, upstream):
    events = [b"data: %d\n\n" % number for number in range(10_000)]

    async def script(exchange):
        await exchange.read_body()
        await exchange.start_stream()
        for event in events:
            exchange.writer.write(b"%x\r\n%b\r\n" % (len(event), event))
        await exchange.end_stream()

    upstream.script(script)
    with RawClient(server.port) as client:
        answer = client.request()
    assert answer.complete
    assert answer.body == b"".join(events)


def test_five_megabytes_each_way(server, upstream):
    body = b"x" * 5_000_000

    async def script(exchange):
        await exchange.read_body()
        await exchange.answer(200, exchange.request.body)

    upstream.script(script)
    with RawClient(server.port) as client:
        assert client.request(body=body).body == body


@pytest.mark.parametrize("method", [b"GET", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"PROPFIND"])
def test_any_method_passes_with_its_body(raw, upstream, method):
    upstream.script("echo")
    assert raw.request(method, b"/v1/files/x", b"body").body == b"body"
    assert upstream.requests[-1].method == method.decode()


def test_a_compressed_request_stays_as_it_is(raw, upstream):
    """Codex compresses its requests."""
    body = zstandard.ZstdCompressor().compress(b'{"input": "' + b"x" * 5000 + b'"}')
    upstream.script("echo")
    assert raw.request(target=b"/v1/responses", body=body, headers=b"content-encoding: zstd\r\n").body == body
    assert upstream.requests[-1].header("content-encoding") == "zstd"


def test_header_values_pass_byte_for_byte(raw, upstream):
    async def script(exchange):
        await exchange.read_body()
        await exchange.send(b"HTTP/1.1 200 \xe9t\xe9\r\nx-b: \xc3\xa9\xff\r\nX-Empty:\r\ncontent-length: 0\r\n\r\n")

    upstream.script(script)
    answer = raw.request(headers=b"x-a: \xc3\xa9\xff \"'\\\r\n")
    assert (b"x-a", b"\xc3\xa9\xff \"'\\") in upstream.requests[-1].headers
    assert answer.head.startswith(b"HTTP/1.1 200 \xe9t\xe9\r\n")
    assert answer.header(b"x-b") == b"\xc3\xa9\xff"
    assert answer.header(b"x-empty") == b""


@pytest.mark.parametrize("body", [b"0\r\n\r\n", b"1\r\nx\r\n0\r\n\r\n"])
@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_a_chunked_request_may_be_short(raw, upstream, method, body):
    raw.send(method + b" /v1/models HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" + body)
    assert raw.answer().status == 200
    assert upstream.requests[-1].body == body.replace(b"\r\n", b"").strip(b"01")


def test_an_answer_in_single_bytes(raw, upstream):
    async def script(exchange):
        await exchange.read_body()
        answer = b"HTTP/1.1 200 OK\r\nx: 1\r\ntransfer-encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nT: 1\r\n\r\n"
        for byte in answer:
            await exchange.send(bytes((byte,)))
            await asyncio.sleep(0)

    upstream.script(script)
    answer = raw.request()
    assert (answer.body, answer.complete, answer.header(b"x")) == (b"hello world", True, b"1")


def test_a_refusal_comes_before_the_body_of_a_client_that_asks_first(raw, upstream):
    async def script(exchange):
        await exchange.answer(401, b"{}")
        await exchange.until_gone()

    upstream.script(script)
    raw.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
    assert raw.answer().status == 401


def test_every_interim_answer_passes_in_order(raw, upstream):
    async def script(exchange):
        await exchange.read_body()
        for number in range(5):
            await exchange.send(b"HTTP/1.1 103 Early Hints\r\nlink: <%d>\r\n\r\n" % number)
        await exchange.json({})

    upstream.script(script)
    raw.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
    assert [raw.head().header(b"link") for _ in range(5)] == [b"<%d>" % number for number in range(5)]
    assert raw.answer().status == 200


def test_a_client_of_http_1_0_gets_no_interim_answer(raw, upstream):
    async def script(exchange):
        await exchange.read_body()
        await exchange.send(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")
        await exchange.json({})

    upstream.script(script)
    raw.send(b"POST /v1/messages HTTP/1.0\r\ncontent-length: 2\r\n\r\n{}")
    assert raw.answer().status == 200


def test_a_client_that_wants_to_close_gets_its_answer_and_the_end(raw, upstream):
    assert raw.request(headers=b"connection: close\r\n").header(b"connection") == b"close"
    assert raw.rest() == b""
