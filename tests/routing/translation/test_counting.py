"""Tokens, estimated."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.translation.counting import estimate_tokens

# Texts, and their tokens by OpenAI's o200k_base.
PROSE = "The quick brown fox jumps over the lazy dog, and nobody in the village was surprised to see it do so. " * 40
CODE = "def total(items: list[Item]) -> int:\n    return sum(item.price * item.count for item in items)\n\n" * 40
TABLE = json.dumps([{"id": n, "name": f"item {n}", "price": n * 1.5} for n in range(300)])
CHINESE = "今天天气很好,我们一起去公园散步吧。他说明天可能会下雨。" * 30
RUSSIAN = "Сегодня хорошая погода, и мы пойдём гулять в парк вместе с друзьями. " * 30


def tokens(**body: Any) -> int:
    return estimate_tokens(json.dumps(body).encode())


def said(text: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize(
    ("text", "expected"), [(PROSE, 921), (CODE, 960), (TABLE, 6601), (CHINESE, 630), (RUSSIAN, 601)]
)
def test_a_text_is_within_a_quarter(text, expected):
    assert tokens(messages=said(text)) == pytest.approx(expected, rel=0.25)


def test_other_scripts_cost_more_for_each_character():
    assert tokens(messages=said("漢字" * 1000)) > 2 * tokens(messages=said("ab" * 1000))


def test_a_picture_costs_the_same_however_long_its_data_is():
    def picture(size: int) -> int:
        source = {"type": "base64", "media_type": "image/png", "data": "x" * size}
        return tokens(messages=said([{"type": "image", "source": source}]))

    assert picture(10) == picture(1_000_000)
    assert 1000 < picture(10) < 2000


@pytest.mark.parametrize(
    "part",
    [
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "x" * 600_000}},
        {"type": "file", "file": {"file_data": "x" * 600_000}},
        {"type": "input_file", "file_data": "x" * 600_000},
    ],
)
def test_a_file_costs_by_its_size_and_not_as_text(part):
    assert 10_000 < tokens(messages=said([part])) < 40_000


def test_a_document_of_text_costs_as_text():
    part = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": PROSE}}
    assert tokens(messages=said([part])) == pytest.approx(tokens(messages=said(PROSE)), rel=0.05)


def test_tools_and_system_count_and_settings_do_not():
    alone = tokens(messages=said("hi"))
    tool = {"name": "f", "description": PROSE, "input_schema": {"type": "object"}}
    assert tokens(messages=said("hi"), tools=[tool]) > alone + 500
    assert tokens(messages=said("hi"), system=PROSE) > alone + 500
    assert tokens(input="hi", instructions=PROSE) > 500
    assert tokens(messages=said("hi"), metadata={"a": PROSE}) == alone


def test_a_vendors_own_state_costs_nothing_and_the_same_names_elsewhere_do():
    thought = {"type": "thinking", "thinking": "hm", "signature": "x" * 10_000}
    assert tokens(messages=said([thought])) < 50
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {"data": PROSE, "url": PROSE, "signature": PROSE}}
    assert tokens(messages=said([call])) > 2500


@pytest.mark.parametrize("body", [b"", b"[]", b"nonsense", b"1"])
def test_what_is_no_request_has_none(body):
    assert estimate_tokens(body) == 0


def test_depth_is_no_reason_to_fail():
    for depth in (500, 900, 5000, 200_000):
        assert estimate_tokens(b'{"messages":' + b"[" * depth + b"]" * depth + b"}") >= 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "role", "source", "data", "content", "messages"]), inner, max_size=4)
    ),
    max_leaves=15,
)


@given(body=st.dictionaries(st.sampled_from(["messages", "system", "tools", "input"]), JSON))
def test_any_json_has_some(body):
    assert tokens(**body) >= 1
