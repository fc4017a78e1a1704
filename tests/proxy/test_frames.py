from hypothesis import given
from hypothesis import strategies as st

from proxy.frames import FrameCounter
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
