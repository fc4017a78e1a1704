"""Requests on a WebSocket are counted however they are written, and bytes pass unchanged."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from proxy.stops import Stop
from proxy.tolls import Toll, farewell
from tests.support.frames import COMPRESSED, TEXT, deflate, frame

CREATE = b'{"type":"response.create","input":"hi"}'
DEFLATE = [("Sec-WebSocket-Extensions", "permessage-deflate")]


def sent(*parts: bytes, opcode: Opcode = Opcode.TEXT, rsv1: bool = False) -> bytes:
    """A client's message in as many frames as there are parts."""
    frames = [
        Frame(opcode if at == 0 else Opcode.CONT, part, fin=at == len(parts) - 1).serialize(mask=True)
        for at, part in enumerate(parts)
    ]
    wire = b"".join(frames)
    return bytes((wire[0] | COMPRESSED,)) + wire[1:] if rsv1 else wire


class Admitting:
    """Lets in so many."""

    def __init__(self, many: int) -> None:
        self.left, self.asked = many, 0

    def __call__(self) -> Stop | None:
        self.asked += 1
        self.left -= 1
        return Stop("no more", 2e9) if self.left < 0 else None


@pytest.mark.parametrize(
    "message",
    [
        sent(CREATE), sent(CREATE[:9], CREATE[9:20], CREATE[20:]), sent(CREATE, opcode=Opcode.BINARY),
        sent(b'{"input":"x", "type" : "response.create"}'), sent(b'{"type":"response.cre\\u0061te"}'),
        sent(b'{"type":"response.create","type":"session.update"}'), sent(b'{"type":"session.update","type":"response.create"}'),
        sent(b'{"type":"response.create","temperature":NaN}'), sent(b'{"ty\\u0070e":"response.create","x":NaN}'),
        sent(b"\xef\xbb\xbf" + CREATE), sent(b'{"type":"response.create"} trailing'),
    ],
    ids=range(11),  # masked by chance, they would have another name in each process
)  # fmt: skip
def test_a_request_counts_however_it_is_written(message):
    admit = Admitting(1)
    toll = Toll([], admit)
    assert toll.client(message) == (message, None)
    passed, stop = toll.client(message)
    assert (passed, stop.message) == (b"", "no more")


def test_compressed_it_counts_too():
    admit = Admitting(1)
    toll = Toll(DEFLATE, admit)
    message = sent(deflate(CREATE), rsv1=True)
    assert toll.client(message) == (message, None)
    assert toll.client(message)[1] is not None


@given(
    st.lists(
        st.sampled_from([sent(CREATE), sent(b"a", b"b"), sent(b"{}"), Frame(Opcode.PING, b"p").serialize(mask=True)])
    ),
    st.data(),
)
def test_bytes_pass_unchanged_in_any_pieces_and_only_requests_count(messages, data):
    wire, admit, passed = b"".join(messages), Admitting(1000), b""
    toll = Toll([], admit)
    while wire:
        size = data.draw(st.integers(1, len(wire)))
        now, stop = toll.client(wire[:size])
        assert stop is None
        passed, wire = passed + now, wire[size:]
    assert passed == b"".join(messages)
    assert admit.asked == sum(CREATE in text_of(m) for m in messages)


def text_of(wire: bytes) -> bytes:
    size, mask = wire[1] & 127, wire[2:6]
    return bytes(c ^ mask[at % 4] for at, c in enumerate(wire[6 : 6 + size]))


@pytest.mark.parametrize(
    "wire", [b"\xff\xff" * 9, frame(TEXT, CREATE), sent(CREATE, rsv1=True), sent(b"\xff\xff", rsv1=True)], ids=range(4)
)
def test_what_cannot_be_read_does_not_pass(wire):
    passed, stop = Toll([], Admitting(9)).client(wire)
    assert passed == b""
    assert stop is not None


def test_an_answer_that_the_provider_begins_by_itself_counts():
    admit = Admitting(2)
    toll = Toll([], admit)
    created = frame(TEXT, b'{"type":"response.created","response":{}}')
    toll.client(sent(CREATE))
    assert toll.provider(created) is None
    assert admit.asked == 1
    assert toll.provider(created) is None
    assert toll.provider(created + frame(TEXT, b"{}")).message == "no more"


def test_the_provider_is_read_compressed_too():
    admit = Admitting(0)
    assert Toll(DEFLATE, admit).provider(frame(TEXT | COMPRESSED, deflate(b'{"type":"response.created"}'))) is not None


def test_the_farewell_says_why_twice():
    wire = farewell(Stop("used up " + "ü" * 200, 2e9))
    assert wire[0] == 0x81
    event = json.loads(wire[4 : 4 + int.from_bytes(wire[2:4])])
    assert event["status"] == 429
    assert event["error"]["message"].startswith("used up")
    close = wire[4 + int.from_bytes(wire[2:4]) :]
    assert close[0] == 0x88
    assert close[1] <= 125
    assert close[2:4] == (1008).to_bytes(2)
    close[4:].decode()
