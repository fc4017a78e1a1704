"""Text under way: what is released is what the whole text becomes."""

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pii.policy import FAILED
from pii.redactor import Redactor
from pii.streams import LiveText
from tests.pii.test_redactor import EMAIL, SSN, custom, redactor, redactors
from tests.pii.test_redactor import pieces as texts
from tests.pii.test_secrets import DECLARED, LANGUAGES, PLACES, STRINGS


def released(made: Redactor, text: str, seed: int) -> list[str]:
    rng, live, out = random.Random(seed), LiveText(made), []
    while text:
        size = rng.choice((1, 1, 2, 5, 20))
        out.append(live.feed(text[:size]))
        text = text[size:]
    return [*out, live.flush()]


@given(redactors, texts, st.integers(0, 1000))
@example(redactor("remove", custom_patterns=(custom("KEY", "zz9"),)), "no 12 zz93-45-6789 and 12zz93-45-6789 ", 0)
def test_the_pieces_together_are_the_redacted_text(made, text, seed):
    assert "".join(released(made, text, seed)) == made.text(text)


@given(texts, st.integers(0, 1000))
def test_binary_in_text_is_held_back_until_it_ends(text, seed):
    made = redactor()
    text = f"{text} data:image/png;base64,aGVsbG8gd29ybGQ= {text}"
    assert "".join(released(made, text, seed)) == made.text(text)


def test_text_without_values_flows():
    live = LiveText(redactor())
    assert [live.feed(piece) for piece in ("one\n", "two\n", "three")] == ["one\n", "two\n", ""]
    assert live.flush() == "three"


def test_nothing_of_a_value_is_shown_before_it_is_whole():
    live = LiveText(redactor())
    assert live.feed(f"mail:\n{EMAIL[:12]}") == "mail:\n"
    assert live.feed(EMAIL[12:]) == ""
    assert live.feed("\nnow") == "[EMAIL]\n"


def test_a_long_text_is_released_as_it_comes():
    made, live = redactor("tokenize"), LiveText(redactor("tokenize"))
    text = f"some words {EMAIL}, {SSN} and more\n" * 2000
    out = [live.feed(text[at : at + 50]) for at in range(0, len(text), 50)]
    assert len("".join(out)) > len(text) // 2
    assert "".join(out) + live.flush() == made.text(text)


def test_patterns_hold_back_what_they_could_still_match():
    word = LiveText(redactor(custom_patterns=(custom("KEY", "sk-[a-z]{3,}"),)))
    assert (word.feed("a\nsk-a"), word.feed("bc"), word.feed("\nb")) == ("a\n", "", "[KEY]\n")
    few = LiveText(redactor(custom_patterns=(custom("KEY", "a\nb"),)))
    assert few.feed("x" * 10 + "\n" * 10 + "a\n") == "x" * 10 + "\n" * 8
    assert few.feed("b") + few.flush() == "\n\n[KEY]"
    everything = LiveText(redactor(custom_patterns=(custom("KEY", r"BEGIN[\s\S]*END"),)))
    assert everything.feed("BEGIN " * 500) == ""
    assert everything.feed(" END x") + everything.flush() == "[KEY] x"


def test_a_mark_is_known_when_it_comes_in_two_pieces():
    made = redactor(custom_patterns=(custom("KEY", "[0-9a-f]{64}"),))
    live, mark = LiveText(made), f"[BINARY 12 bytes sha256:{'ab' * 32}]"
    assert made.text(mark) == mark
    assert live.feed(mark[:-4]) + live.feed(mark[-4:]) + live.flush() == mark


def test_a_failure_withholds_the_rest(monkeypatch):
    made = redactor()
    live = LiveText(made)
    assert live.feed("one\n") == "one\n"
    monkeypatch.setattr(made, "settle", None)
    assert live.feed("two ") == FAILED
    assert live.feed(EMAIL) + live.flush() == ""
    assert made.counts == {"FAILED": 1}


@pytest.mark.parametrize("marked", [*STRINGS, *DECLARED, *PLACES, *LANGUAGES])
def test_a_named_value_is_found_however_its_pieces_come(marked):
    made = redactor()
    text = f"before it, some words\n{marked.replace('⟦', '').replace('⟧', '')}\nand after it come others; and an end of it\n"
    assert "".join(released(made, text, len(marked))) == made.text(text)
