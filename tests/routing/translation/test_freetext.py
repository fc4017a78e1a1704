"""The text of a tool that takes free text, out of JSON in pieces."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.translation.answers.freetext import FreeText


def taken(*pieces: str) -> str:
    free = FreeText()
    return "".join([*(free.feed(piece) for piece in pieces), free.finish()])


def test_the_text_comes_as_it_is_written():
    free = FreeText()
    assert [free.feed(piece) for piece in ('{"in', 'put": "a', "b\\", 'nc"', "}")] == ["", "a", "b", "\nc", ""]
    assert free.finish() == ""


def test_half_a_pair_of_surrogates_waits_for_the_other():
    free = FreeText()
    assert free.feed('{"input":"\\ud83d') == ""
    assert free.feed('\\ude00"}') == "\U0001f600"


def test_half_a_pair_of_surrogates_alone_is_replaced():
    assert taken('{"input":"\\ud83d!"}') == "\ufffd!"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("", ""),
        ('{"other": 1, "input": "x"}', "x"),
        ('{"text": "x"}', '{"text": "x"}'),
        ("plain words", "plain words"),
        ('"x"', "x"),
        ('{"input": 5}', '{"input": 5}'),
        ('{"input": "cut in the midd', "cut in the midd"),
        ('{"input": "a\nb"}', "a\nb"),
    ],
)
def test_other_arguments_are_taken_for_what_they_most_likely_mean(arguments, text):
    assert taken(arguments) == text


def test_a_million_pieces_take_time_by_their_number():
    free = FreeText()
    free.feed('{"input":"')
    assert sum(len(free.feed("x")) for _ in range(300_000)) == 300_000
    free = FreeText()
    for _ in range(300_000):
        assert free.feed(" ") == ""


@given(st.text(), st.booleans(), st.lists(st.integers(0, 80), max_size=12))
def test_any_pieces_give_the_text(text, is_ascii, cuts):
    arguments = json.dumps({"input": text.encode("utf-8", "replace").decode()}, ensure_ascii=is_ascii)
    edges = [0, *sorted(min(cut, len(arguments)) for cut in cuts), len(arguments)]
    assert taken(*(arguments[a:b] for a, b in itertools.pairwise(edges))) == json.loads(arguments)["input"]


@given(st.text(st.sampled_from(list('{}":,\\u dDaA08nx input')), max_size=60), st.booleans())
def test_pieces_of_one_character_give_what_the_whole_gives(arguments, has_head):
    arguments = '{"input":"' * has_head + arguments
    assert taken(*arguments) == taken(arguments)
