import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from proxy.frames import FrameCounter
from proxy.messages import Messages
from tests.support.frames import CLOSE, PING, TEXT, frame

sizes = st.sampled_from([0, 1, 125, 126, 127, 65535, 65536, 70000])


def masked(first: int, payload: bytes) -> bytes:
    """A client's frame; what the mask does to the payload is of no matter here."""
    whole = frame(first, payload)
    head = len(whole) - len(payload)
    return bytes((whole[0], whole[1] | 128)) + whole[2:head] + b"mask" + payload


@given(st.lists(st.tuples(st.sampled_from([TEXT, CLOSE, PING]), sizes, st.booleans()), max_size=6), st.data())
def test_frames_are_counted_in_whatever_pieces_they_come(frames, data):
    wire = b"".join((masked if is_masked else frame)(kind, b"x" * size) for kind, size, is_masked in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=12)))
    counter = FrameCounter()
    pieces = [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    assert sum(counter.feed(piece) for piece in pieces) == len(frames)


def test_it_counts_byte_by_byte():
    counter = FrameCounter()
    wire = masked(TEXT, b"hello") + frame(TEXT, b"y" * 300) + frame(CLOSE, b"")
    assert [counter.feed(bytes((byte,))) for byte in wire].count(1) == 3


def test_a_message_of_very_many_fragments_is_read_in_a_time_that_grows_with_them():
    once, twenty = (min(seconds_for(many) for _ in range(2)) for many in (1_000, 20_000))
    assert twenty < 60 * once + 0.02


def seconds_for(many: int) -> float:
    wire = Frame(Opcode.TEXT, b"", fin=False).serialize(mask=False)
    wire += Frame(Opcode.CONT, b"x", fin=False).serialize(mask=False) * many
    wire += Frame(Opcode.CONT, b"").serialize(mask=False)
    messages = Messages(masked=False, deflate=None)
    began = time.thread_time()
    assert messages.feed(wire) == [b"x" * many]
    return time.thread_time() - began


def test_a_message_of_fragments_is_too_long_when_all_of_them_are(monkeypatch):
    monkeypatch.setattr("proxy.messages.MAX_MESSAGE", 10)
    part = Frame(Opcode.CONT, b"12345", fin=False).serialize(mask=False)
    messages = Messages(masked=False, deflate=None)
    assert messages.feed(Frame(Opcode.TEXT, b"", fin=False).serialize(mask=False) + part + part) == []
    with pytest.raises(ValueError, match="too long"):
        messages.feed(part)
