"""Reasoning of another vendor does not reach the client's own."""

import json

import pytest

from routing.rewriting.foreign import without_foreign_reasoning
from routing.translation.context import CHAT, MESSAGES, RESPONSES
from routing.translation.sealed import seal

OURS = seal({"id": "rs_1", "encrypted_content": "abc"})


def messages(*contents, **more) -> bytes:
    roles = ("user", "assistant")
    told = [{"role": roles[at % 2], "content": content} for at, content in enumerate(contents)]
    return json.dumps({"model": "m", "messages": told, **more}).encode()


def thinking(signature: str) -> dict:
    return {"type": "thinking", "thinking": "hm", "signature": signature}


SAID = {"type": "text", "text": "yes"}


def test_sealed_thinking_is_taken_out_and_all_else_stays():
    body = messages("hi", [thinking(OURS), SAID], "go on")
    cleaned = without_foreign_reasoning(body, MESSAGES)
    assert cleaned.found == 1
    assert json.loads(cleaned.body) == json.loads(messages("hi", [SAID], "go on"))


def test_what_anthropic_signed_stays():
    body = messages("hi", [thinking("c2lnbmF0dXJl"), SAID], "[LUNAROUTE:sealed] a word of the user")
    assert without_foreign_reasoning(body, MESSAGES).body == body


def test_sealed_data_of_a_redacted_block_is_taken_out():
    body = messages("hi", [{"type": "redacted_thinking", "data": OURS}, SAID], "go on")
    assert json.loads(without_foreign_reasoning(body, MESSAGES).body)["messages"][1]["content"] == [SAID]


def test_a_message_of_which_nothing_is_left_keeps_its_place():
    cleaned = without_foreign_reasoning(messages("hi", [thinking(OURS)], "go on"), MESSAGES)
    (block,) = json.loads(cleaned.body)["messages"][1]["content"]
    assert block["type"] == "text"
    assert block["text"]


def test_thinking_is_off_in_the_middle_of_a_tool_loop():
    call = {"type": "tool_use", "id": "t", "name": "Read", "input": {}}
    result = [{"type": "tool_result", "tool_use_id": "t", "content": "x"}]
    mode = {"thinking": {"type": "enabled", "budget_tokens": 2000}}
    cleaned = without_foreign_reasoning(messages("hi", [thinking(OURS), call], result, **mode), MESSAGES)
    assert cleaned.stops_thinking
    assert json.loads(cleaned.body)["thinking"] == {"type": "disabled"}
    earlier = without_foreign_reasoning(messages("hi", [thinking(OURS), SAID], "a", [SAID], "b", **mode), MESSAGES)
    assert not earlier.stops_thinking


def test_a_sealed_reasoning_item_is_taken_out():
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": OURS}
    own = {**item, "encrypted_content": "gAAAA"}
    user = {"type": "message", "role": "user", "content": "hi"}
    body = json.dumps({"model": "m", "input": [user, item, own]}).encode()
    assert json.loads(without_foreign_reasoning(body, RESPONSES).body)["input"] == [user, own]


@pytest.mark.parametrize(
    "body",
    [
        b"[LUNAROUTE:sealed]",
        b'{"messages": "[LUNAROUTE:sealed]"}',
        b'{"messages": ["[LUNAROUTE:sealed]", 1, {}]}',
        b"[]",
    ],
)
def test_what_cannot_be_read_stays(body):
    for dialect in (MESSAGES, CHAT, RESPONSES, ""):
        assert without_foreign_reasoning(body, dialect).body == body
