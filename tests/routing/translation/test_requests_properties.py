"""What holds for any request: it is translated or refused, and a conversation survives the way there and back."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.translation.context import CHAT, MESSAGES, RESPONSES, TranslatedRequest, Untranslatable
from routing.translation.requests import translate_request
from tests.routing.translation.asking import DIRECTIONS, MODELS, WEATHER, adapter, messages, plain, translated

# Names and values that the dialects know, in places where they do not belong, and other JSON.
WORDS = st.sampled_from(
    """messages input role content type text user assistant system developer tool function tools tool_calls tool_choice
    name id call_id tool_use_id tool_use tool_result function_call function_call_output custom_tool_call arguments image
    image_url input_image source url base64 data media_type thinking signature reasoning summary encrypted_content file
    file_data input_file document n stream stream_options max_tokens temperature stop response_format json_schema schema
    output_config format effort metadata user_id item_reference local_shell_call action output input_schema parameters
    allowed_tools mode auto required any none custom grammar definition refusal is_error enabled budget_tokens""".split()
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers(-3, 9) | st.floats(allow_nan=False, allow_infinity=False) | WORDS
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=6), max_leaves=30
)
BODIES = st.dictionaries(WORDS, JSON, max_size=8)


def check(client: str, provider: str, body: Any) -> None:
    """Hold a translation against what it promises."""
    with suppress(Untranslatable):
        result = translate_request(client, provider, json.dumps(body).encode(), MODELS[provider])
        assert isinstance(result, TranslatedRequest)
        assert isinstance(json.loads(result.body), dict)


@pytest.mark.parametrize(("client", "provider"), DIRECTIONS)
@given(body=BODIES | JSON)
def test_any_json_is_translated_or_refused(client, provider, body):
    check(client, provider, body)


# Bodies of the right form, with one value anywhere that is another.
SEEDS = {
    MESSAGES: {
        "model": "m", "max_tokens": 9, "system": [{"type": "text", "text": "s"}], "metadata": {"user_id": "u"},
        "messages": [
            {"role": "user", "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "x"}}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "r"}]}]},
        ],
        "tools": [{"name": "f", "input_schema": WEATHER}], "tool_choice": {"type": "tool", "name": "f"},
        "thinking": {"type": "enabled", "budget_tokens": 2000},
    },
    CHAT: {
        "model": "m", "n": 1, "stop": ["x"], "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": WEATHER}},
        "messages": [
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]},
            {"role": "assistant", "tool_calls": [{"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "t", "content": "r"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": WEATHER}}],
    },
    RESPONSES: {
        "model": "m", "instructions": "i", "reasoning": {"effort": "low"}, "text": {"format": {"type": "text"}},
        "input": [
            {"role": "user", "content": [{"type": "input_file", "filename": "f", "file_data": "data:application/pdf;base64,x"}]},
            {"type": "function_call", "call_id": "t", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "t", "output": [{"type": "input_text", "text": "r"}]},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": WEATHER, "strict": False}],
    },
}  # fmt: skip


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """The path of each value inside."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in inner for found in ((*path, key), *places(item, (*path, key)))]


@pytest.mark.parametrize(("client", "provider"), DIRECTIONS)
@given(data=st.data())
def test_a_value_that_is_another_anywhere_is_translated_or_refused(client, provider, data):
    body = json.loads(json.dumps(SEEDS[client]))
    path = data.draw(st.sampled_from(places(body)))
    inner: Any = body
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = data.draw(JSON)
    check(client, provider, body)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"nonsense", b'"x"', b"{", b"\xff", b'{"messages": "\\ud800"}', b"[" * 100_000]
)
@pytest.mark.parametrize(("client", "provider"), DIRECTIONS)
def test_what_is_no_json_object_is_refused(client, provider, body):
    with pytest.raises(Untranslatable):
        translate_request(client, provider, body, "m")


@pytest.mark.parametrize("depth", [100, 500, 900, 100_000])
def test_depth_is_no_reason_to_fail(depth):
    block = b'{"type":"tool_result","tool_use_id":"t","content":['
    inputs = b'{"type":"tool_use","id":"t","name":"f","input":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"
    for inner in (block * depth + b"]}" * depth, inputs):
        body = b'{"model":"m","messages":[{"role":"assistant","content":[' + inner + b"]}]}"
        for client, provider in DIRECTIONS:
            with suppress(Untranslatable):
                translate_request(client, provider, body, "m")


# -- there and back --------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=12)
TEXTS = TEXT.map(lambda text: {"type": "text", "text": text})
IMAGES = st.sampled_from(["image/png", "image/jpeg"]).map(
    lambda media: {"type": "image", "source": {"type": "base64", "media_type": media, "data": "iVBORw0KGgo="}}
) | st.just({"type": "image", "source": {"type": "url", "url": "https://x/y.png"}})
ARGUMENTS = st.dictionaries(
    TEXT, TEXT | st.integers(-9, 9) | st.booleans() | st.none() | st.lists(TEXT, max_size=2), max_size=3
)


@st.composite
def conversations(draw: Any) -> list[dict[str, Any]]:
    """A conversation as an Anthropic client has it, with tools and pictures."""
    said, asked, number = [], [], 0
    for _ in range(draw(st.integers(1, 4))):
        results = [
            {"type": "tool_result", "tool_use_id": id, "content": draw(TEXT)} for id in draw(st.permutations(asked))
        ]
        content = [*results, *draw(st.lists(TEXTS | IMAGES, min_size=0 if results else 1, max_size=2))]
        said.append({"role": "user", "content": content})
        blocks, asked = draw(st.lists(TEXTS, max_size=1)), []
        for _ in range(draw(st.integers(0 if blocks else 1, 2))):
            number += 1
            asked.append(f"toolu_{number}")
            blocks.append({"type": "tool_use", "id": asked[-1], "name": "f", "input": draw(ARGUMENTS)})
        said.append({"role": "assistant", "content": blocks})
    results = [{"type": "tool_result", "tool_use_id": id, "content": draw(TEXT)} for id in asked]
    said.append({"role": "user", "content": [*results, draw(TEXTS)]})
    return said


def ordered(said: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Results in the order of their calls, which is the one that the way there and back gives them."""
    out, order = [], {}
    for message in said:
        blocks = sorted(plain(message), key=lambda block: order.get(block.get("tool_use_id"), len(order)))
        order = {block["id"]: n for n, block in enumerate(blocks) if block["type"] == "tool_use"}
        out.append({"role": message["role"], "content": blocks})
    return out


@pytest.mark.parametrize("through", [CHAT, RESPONSES])
@given(said=conversations())
def test_a_conversation_survives_the_way_there_and_back(through, said):
    tools = [{"name": "f", "description": "d", "input_schema": WEATHER}]
    there = json.loads(translated(MESSAGES, through, messages(*said, tools=tools, system="s")).body)
    adapter(through).validate_python(there)
    back = json.loads(translated(through, MESSAGES, there).body)
    adapter(MESSAGES).validate_python(back)
    assert ordered(back["messages"]) == ordered(said)
    assert plain({"content": back["tools"]}) == tools
    assert plain({"content": back["system"]}) == [{"type": "text", "text": "s"}]


@given(said=conversations())
def test_a_conversation_survives_the_way_through_all_three(said):
    one = json.loads(translated(MESSAGES, CHAT, messages(*said)).body)
    two = json.loads(translated(CHAT, RESPONSES, one).body)
    back = json.loads(translated(RESPONSES, MESSAGES, two).body)
    assert ordered(back["messages"]) == ordered(said)
