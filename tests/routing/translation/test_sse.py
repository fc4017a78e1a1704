"""Server-sent events, taken apart."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.translation.sse import Events


def taken(*pieces: bytes) -> list[bytes | None]:
    events = Events()
    return [found for piece in pieces for found in events.feed(piece)] + events.finish()


def test_an_event_is_its_data():
    assert Events().feed(b'event: x\ndata: {"a":1}\n\n') == [b'{"a":1}']


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_lines_may_end_in_three_ways(end):
    assert Events().feed(end.join([b"data: 1", b"", b"data: 2", b"", b""])) == [b"1", b"2"]


def test_an_event_goes_out_with_the_byte_that_ends_it():
    for end in (b"\n", b"\r\n", b"\r"):
        events = Events()
        assert events.feed(b"data: 1" + end) == []
        assert events.feed(end[:1]) == [b"1"]
        assert events.feed(end[1:]) == []
        assert events.finish() == []


def test_a_line_end_of_two_bytes_may_come_in_two_pieces():
    assert taken(b"data: 1\r", b"\ndata: 2\r", b"", b"\n\r", b"\n") == [b"1\n2"]


def test_data_of_several_lines_is_joined():
    assert taken(b"data: 1\ndata: 2\ndata\n\n") == [b"1\n2\n"]


def test_the_space_after_the_colon_is_optional_and_one():
    assert taken(b"data:1\n\ndata:  2\n\n") == [b"1", b" 2"]


def test_a_comment_is_none():
    assert taken(b": keepalive\n\ndata: 1\n\n") == [None, b"1"]


def test_other_fields_are_left_out():
    assert taken(b"id: 1\nretry: 5\nevent: data\ndatabase: x\ndata: 1\n\nid: 2\n\n") == [b"1"]


def test_a_mark_of_the_byte_order_is_left_out():
    assert taken(b"\xef", b"\xbb\xbfdata: 1\n\n") == [b"1"]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r", b"\r\n"])
def test_the_last_event_may_lack_its_empty_line(end):
    assert taken(b"data: 1\n\ndata: 2" + end) == [b"1", b"2"]


def test_a_long_line_in_small_pieces_is_looked_at_once():
    events = Events()
    for _ in range(300_000):
        events.feed(b"data: 0123456789")
    assert len(events.feed(b"\n\n")[0]) == 300_000 * 16 - 6


line = st.one_of(
    st.sampled_from([b"", b"", b"data", b"data:", b"data: ", b":", b": x", b"event: x", b"\xef\xbb\xbfdata: 1"]),
    st.binary(max_size=8).map(lambda data: b"data: " + data),
    st.text(max_size=5).map(lambda text: b"data:" + text.encode()),
)
stream = st.lists(st.tuples(line, st.sampled_from([b"\n", b"\r\n", b"\r"])), max_size=12).map(
    lambda lines: b"".join(line + end for line, end in lines)
)


@given(stream, st.lists(st.integers(0, 200), max_size=20))
def test_any_chunking_gives_the_same_events(data, cuts):
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    assert taken(*(data[a:b] for a, b in itertools.pairwise(edges))) == taken(data)


@given(stream)
def test_byte_by_byte_gives_the_same_events(data):
    assert taken(*(data[n : n + 1] for n in range(len(data)))) == taken(data)
