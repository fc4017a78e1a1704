"""The text of an answer under way, piece by piece, in every dialect and any chunking."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions.dialects import response_parser
from sessions.partial import Cursor
from tests.sessions.test_dialects import ANTHROPIC, CHAT, SSE, stream
from tests.support.vendors import response_events

RESPONSES = stream(
    *response_events(
        {"input": 'use the tool Read with {"file_path": "/a"}', "tools": [{"name": "Read", "type": "function"}]}, 1
    )
)
THINKING = stream(
    {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "Hm… "},
    {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "思"},
    {"type": "response.audio.delta", "output_index": 0, "delta": "no text"},
)
CALL = '{"file_path": "/a.py"}'
STREAMS = [
    ("anthropic", ANTHROPIC, [("thinking", "", "Hm… 思"), ("text", "", "Grüße 🌙"), ("tool_call", "Read", CALL)]),
    ("openai-chat", CHAT, [("thinking", "", "Hm… 思"), ("text", "", "Grüße 🌙"), ("tool_call", "Read", CALL)]),
    ("openai-responses", RESPONSES, [("text", "", "I will use a tool."), ("tool_call", "Read", '{"file_path": "/a"}')]),
    ("openai-responses", THINKING, [("thinking", "", "Hm… 思")]),
]


class Reader:
    """Puts pieces together as a page does, and checks that none is missing and none comes twice."""

    def __init__(self) -> None:
        self.blocks: dict[int, tuple[str, str, str]] = {}

    def take(self, pieces) -> None:
        for piece in pieces:
            _, _, had = self.blocks.get(piece.index, ("", "", ""))
            assert piece.offset == len(had)
            self.blocks[piece.index] = (piece.kind, piece.name, had + piece.text)

    def read(self) -> list[tuple[str, str, str]]:
        return [self.blocks[index] for index in sorted(self.blocks)]


@given(
    st.sampled_from(STREAMS), st.lists(st.tuples(st.integers(1, 400), st.booleans()), max_size=40), st.integers(1, 50)
)
def test_the_pieces_are_the_answer_however_it_is_cut_and_asked(given_stream, cuts, limit):
    dialect, data, expected = given_stream
    parser, cursor, reader = response_parser(dialect, SSE, 200), Cursor(), Reader()
    at = 0
    for size, asks in cuts:
        parser.feed(data[at : at + size])
        at += size
        if asks:
            reader.take(cursor.take(parser, limit))
    parser.feed(data[at:])
    while pieces := cursor.take(parser, limit):
        reader.take(pieces)
    assert reader.read() == expected


@pytest.mark.parametrize(("dialect", "data", "expected"), STREAMS)
def test_who_comes_late_is_told_from_the_beginning(dialect, data, expected):
    parser, cursor = response_parser(dialect, SSE, 200), Cursor()
    parser.feed(data)
    assert cursor.take(parser)
    assert cursor.take(parser) == []
    cursor.restart()
    late = Reader()
    late.take(cursor.take(parser))
    assert late.read() == expected


@pytest.mark.parametrize(("dialect", "data", "expected"), STREAMS)
def test_a_recorder_that_reads_the_stream_anew_numbers_the_blocks_alike(dialect, data, expected):
    first, second = response_parser(dialect, SSE, 200), response_parser(dialect, SSE, 200)
    cursor, told = Cursor(), Reader()
    for at in range(0, len(data), 11):
        first.feed(data[at : at + 11])
        told.take(cursor.take(first))
    second.feed(data)
    anew = Reader()
    anew.take(Cursor().take(second))
    assert told.blocks == anew.blocks


def test_a_tool_is_named_before_its_arguments_come():
    parser, cursor = response_parser("anthropic", SSE, 200), Cursor()
    block = {"type": "tool_use", "id": "t", "name": "Bash", "input": {}}
    parser.feed(stream({"type": "content_block_start", "index": 0, "content_block": block}))
    (piece,) = cursor.take(parser)
    assert (piece.kind, piece.name, piece.text) == ("tool_call", "Bash", "")


def test_an_answer_that_is_no_stream_has_no_pieces():
    parser = response_parser("anthropic", "application/json", 200)
    parser.feed(json.dumps({"content": [{"type": "text", "text": "x"}]}).encode())
    assert Cursor().take(parser) == []
