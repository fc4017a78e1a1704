"""However the bytes of a connection are cut into pieces, they mean the same."""

import asyncio
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.connection import Connection
from proxy.errors import UpstreamError
from proxy.protocol import HttpProtocol, ServerContext
from proxy.waiting import Limits, Room

BODY = bytes(range(256)) * 2


class Wire:
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        self.written, self.closed = b"", False

    def write(self, data: bytes) -> None:
        self.written += data

    def writelines(self, parts: list[bytes]) -> None:
        self.written += b"".join(parts)

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def get_extra_info(self, name: str) -> None:
        return None

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


def cut(data: bytes, at: list[int]) -> list[bytes]:
    """Cut `data` at the places `at` (any numbers: they are taken modulo its length)."""
    places = sorted({0, len(data), *(place % len(data) for place in at)})
    return [data[start:end] for start, end in pairwise(places)]


places = st.lists(st.integers(0, 1 << 16), max_size=40)


# -- requests ---------------------------------------------------------------------------------------------------

WITH_LENGTH = b"POST /v1/messages?a=%2F HTTP/1.1\r\nhost: x\r\nX-A:\r\nx-b:  1 \r\ncontent-length: 512\r\n\r\n" + BODY
CHUNKED = (
    b"PUT /v1/x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n100\r\n%b\r\n0\r\nT: 1\r\n\r\n"
    % BODY[:256]
)
BARE = b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n"
OFFER = (
    b"POST /v1/y HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\ncontent-length: 256\r\n\r\n" + BODY[:256]
)
BAD = b"POST /v1/z HTTP/1.1\r\nbad header\r\n\r\n"


async def echo(scope: dict, receive, send) -> None:
    """Answer with all that is known of the request."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message["body"], message["more_body"]
    answer = repr((scope["method"], scope["raw_path"], scope["query_string"], scope["headers"], body)).encode()
    headers = [(b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


async def serve(parts: list[bytes], pauses: list[int]) -> tuple[bytes, bool]:
    """Feed a server's connection; gives what it wrote, and whether it closed."""
    context = ServerContext(echo, asyncio.get_running_loop(), 1 << 20, hand_over=None, room=Room(Limits()))
    connection = HttpProtocol(context)
    connection.connection_made(Wire())
    for number, part in enumerate(parts):
        connection.data_received(part)
        for _ in range(pauses[number % len(pauses)] if pauses else 0):
            await asyncio.sleep(0)
    for _ in range(50):
        await asyncio.sleep(0)
    return connection.transport.written, connection.transport.closed


def good_part(written: bytes) -> bytes:
    """Give the answers to good requests.

    What is not HTTP gets a 400 if nothing before it waits for an answer; else the answer before it says that it is the
    last, if its head is not out yet.
    """
    return written.partition(b"HTTP/1.1 400")[0].replace(b"connection: close\r\n", b"")


@settings(max_examples=300)
@given(
    requests=st.lists(st.sampled_from([WITH_LENGTH, CHUNKED, BARE]), min_size=1, max_size=5),
    last=st.sampled_from([b"", OFFER, BAD]),
    at=places,
    pauses=st.lists(st.integers(0, 3), max_size=5),
)
def test_requests_in_any_pieces_get_the_same_answers(requests, last, at, pauses):
    data = b"".join(requests) + last
    whole, closed = asyncio.run(serve([data], []))
    pieces, closed_too = asyncio.run(serve(cut(data, at), pauses))
    assert whole.count(b"HTTP/1.1 200") == len(requests) + (last == OFFER)
    assert good_part(pieces) == good_part(whole)
    assert closed == closed_too == bool(last)


# -- answers ----------------------------------------------------------------------------------------------------

ANSWERS = {
    "length": b"HTTP/1.1 200 OK\r\nX-A:\r\nx-b:  1 \r\ncontent-length: 512\r\n\r\n" + BODY,
    "chunked": b"HTTP/1.1 201 Made\r\ntransfer-encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n100\r\n%b\r\n0\r\nT: 1\r\n\r\n"
    % BODY[:256],
    "interim": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
    "bodiless": b"HTTP/1.1 204 No Content\r\nx: 1\r\n\r\n",
    "until close": b"HTTP/1.0 200 OK\r\nx: 1\r\n\r\n" + BODY,
    "broken chunks": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
    "too short": b"HTTP/1.1 200 OK\r\ncontent-length: 600\r\n\r\n" + BODY,
    "too long": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    "switched": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n" + BODY,
}


async def ask(parts: list[bytes], upgrade: bool) -> tuple:
    """Feed a provider's connection and end it; gives all that is known of the answer."""
    idle, interim = [], []
    connection = Connection(asyncio.get_running_loop(), idle.append, lambda _: None, 60)
    connection.connection_made(Wire())
    response = connection.begin("POST", lambda status, headers: interim.append((status, list(headers))), upgrade)
    connection.sent()
    for part in parts:
        if not connection.transport.closed:
            connection.data_received(part)
            await asyncio.sleep(0)
    usable = bool(idle) and not connection.transport.closed
    connection.connection_lost(None)
    body, error = b"", None
    try:
        await response.head()
        async for chunk in response:
            body += chunk
    except UpstreamError as failure:
        error = failure.kind
    return response.status, response.reason, response.headers, interim, body, error, usable


@settings(max_examples=400)
@given(name=st.sampled_from(sorted(ANSWERS)), at=places)
def test_an_answer_in_any_pieces_is_the_same(name, at):
    data = ANSWERS[name]
    whole = asyncio.run(ask([data], name == "switched"))
    assert asyncio.run(ask(cut(data, at), name == "switched")) == whole
    assert (whole[5] is not None) == (name in ("broken chunks", "too short"))
    assert whole[6] == (name in ("length", "chunked", "interim", "bodiless"))
