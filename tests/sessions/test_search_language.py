"""Tokens and the language of searches: any text gives something, and the same for documents and queries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions.search import snippets
from sessions.search.language import Term, parse
from sessions.search.snippets import cut
from sessions.search.tokens import CHUNK, chunks_of, compound_of, parts_of, runs_of


def tokens(text: str) -> list[str]:
    return [part for run in runs_of(text) for part in parts_of(run)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, World", "hello world"),
        ("getUserName get_user_name", "get user name get user name"),
        ("HTTPServer parseURL2 SHA256sum __init__", "http server parse url2 sha256sum init"),
        ("src/a-b.py:12", "src a b py 12"),
        ("ÀÉÎ ﬁne ①", "aei fine 1"),
        ("数据 テスト", "数 据 テ ス ト"),
        ("Straße ΣΑΣ", "strasse σασ"),
        ("3fa85f64-5717", "3fa85f64 5717"),
        ("_ - 🚀", ""),
    ],
)
def test_tokens(text, expected):
    assert tokens(text) == expected.split()


def test_a_compound_is_the_other_way_to_write_an_identifier():
    assert [compound_of(run) for run in ("getUserName", "get_user_name", "getusername", "数据")] == [
        "getusername", "getusername", "", "",
    ]  # fmt: skip


def test_encoded_data_gives_its_beginning_only():
    data = "QUJD" * 5000
    (chunk,) = chunks_of(f"see {data} there")
    assert len(chunk[0]) < 300
    assert tokens(data) == tokens(f"{data} ")


@given(st.text(max_size=200))
def test_a_token_is_lower_case_and_gives_itself(text):
    for token in tokens(text):
        assert token == token.casefold()
        assert not set(token) & set(" _'\"\\\x00")
        assert "".join(tokens(token)) == token


@given(st.text(max_size=100), st.text(max_size=100))
def test_words_apart_are_tokens_apart(one, two):
    assert tokens(f"{one} . {two}") == tokens(one) + tokens(two)


@given(
    st.lists(st.sampled_from(["word", "getName", "数据库", "a_b_c", "_", "é", "x" * 300]), max_size=60),
    st.integers(1, 9),
)
def test_chunks_hold_every_token_and_no_more_than_they_may(words, times):
    words = words * times * 10
    text = " ".join(words)
    found = list(chunks_of(text))
    assert {t for chunk, _ in found for t in chunk.split()} == set(tokens(text))
    assert all(len(chunk.split()) <= CHUNK + 128 for chunk, _ in found)
    assert all("  " not in chunk and chunk.strip() == chunk for chunk, _ in found)


@pytest.mark.parametrize(
    ("text", "terms", "without"),
    [
        ("one two", ["one", "two"], []),
        ('"one two" three', ["one two", "three"], []),
        ("one -two", ["one"], ["two"]),
        ('-"one two"', [], ["one two"]),
        ("--flag - -", ["flag"], []),
        ("foo(bar)", ["foo bar"], []),
        ('"unclosed one', ["unclosed", "one"], []),
        ("it's C:\\x", ["it s", "c x"], []),
        ("one one", ["one"], []),
        ("OR AND NOT NEAR", ["or", "and", "not", "near"], []),
        ("* () %", [], []),
    ],
)
def test_parse(text, terms, without):
    query = parse(text)
    assert [" ".join(term.tokens) for term in query.terms] == terms
    assert [" ".join(term.tokens) for term in query.without] == without


@pytest.mark.parametrize(
    ("text", "is_prefix"), [("foo*", True), ("foo", False), ("foo(*", False), ('"foo*"', False), ("getUs*", True)]
)
def test_a_star_makes_a_prefix_where_it_ends_a_word(text, is_prefix):
    assert parse(text).terms[0].is_prefix is is_prefix


def test_an_identifier_has_both_ways_to_be_written():
    assert parse("getUserName").terms == (Term(("get", "user", "name"), "getusername"),)


@given(st.text(max_size=500))
def test_any_text_is_a_query(text):
    query = parse(text)
    assert all(term.tokens for term in query.terms + query.without)


@given(st.text(alphabet=st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=300), st.data())
def test_a_cut_is_a_piece_of_the_text_and_marks_something(text, data):
    words = runs_of(text)
    if not words:
        return
    parts = cut(text, parse(data.draw(st.sampled_from(words))).terms)
    squeezed = "".join(text.split())
    shown = "".join("".join(part.split()) for part, _ in parts).removeprefix("…").removesuffix("…")
    assert shown in squeezed or "…" in text


def test_without_words_there_are_no_snippets():
    assert snippets("* -", []) == {}


@given(st.text(st.sampled_from("aZ9_ .→—“”™🚀é́①ﬁक์数-\u0301\u20d0\u212b"), max_size=40))
def test_words_beside_arrows_and_dashes_are_found_as_beside_anything(text):
    # A letter that is not ASCII has all of the text normalized.
    assert [*runs_of(text), "ж"] == runs_of(f"{text} ж")
