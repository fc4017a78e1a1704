"""The order of messages, calls and results that providers insist on."""

import pytest

from routing.translation.context import CHAT, MESSAGES, RESPONSES
from tests.routing.translation.asking import ask, chat, messages, plain, responses, user

HI = user("hi")


def call(id: str) -> dict:
    return {"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"}


def output(id: str, text: str = "r") -> dict:
    return {"type": "function_call_output", "call_id": id, "output": text}


def shape(told: dict) -> list[str]:
    """Roles with the kinds and ids of blocks."""
    marks = {"tool_use": "id", "tool_result": "tool_use_id", "text": "text"}
    return [
        m["role"] + ": " + " ".join(f"{b['type']}={b[marks[b['type']]]}" for b in plain(m)) for m in told["messages"]
    ]


def test_parallel_calls_are_one_message_and_so_are_their_results():
    told, notes = ask(RESPONSES, MESSAGES, responses(HI, call("a"), call("b"), output("b"), output("a")))
    assert shape(told) == [
        "user: text=hi", "assistant: tool_use=a tool_use=b", "user: tool_result=a tool_result=b",
    ]  # fmt: skip
    assert not notes


def test_parallel_calls_of_responses_are_one_message_of_chat():
    told, _ = ask(RESPONSES, CHAT, responses(HI, call("a"), call("b"), output("a"), output("b")))
    assert [m["role"] for m in told["messages"]] == ["user", "assistant", "tool", "tool"]
    assert [c["id"] for c in told["messages"][1]["tool_calls"]] == ["a", "b"]


def test_calls_one_after_another_stay_so():
    told, _ = ask(RESPONSES, CHAT, responses(HI, call("a"), output("a"), call("b"), output("b")))
    assert [m["role"] for m in told["messages"]] == ["user", "assistant", "tool", "assistant", "tool"]


@pytest.mark.parametrize("between", [user("wait"), {"role": "developer", "content": "wait"}])
def test_a_result_follows_its_call_whatever_came_between(between):
    told, notes = ask(RESPONSES, MESSAGES, responses(HI, call("a"), between, output("a")))
    assert shape(told)[1] == "assistant: tool_use=a"
    assert shape(told)[2].startswith("user: tool_result=a text=")
    assert not notes
    told, _ = ask(RESPONSES, CHAT, responses(HI, call("a"), between, output("a")))
    assert [m["role"] for m in told["messages"]][:3] == ["user", "assistant", "tool"]


@pytest.mark.parametrize("provider", [MESSAGES, CHAT])
def test_a_call_without_a_result_gets_one(provider):
    told, notes = ask(RESPONSES, provider, responses(HI, call("a"), user("go on")))
    assert "(no result)" in str(told["messages"][2])
    assert "without a result" in notes


@pytest.mark.parametrize("provider", [MESSAGES, CHAT])
def test_a_result_without_a_call_is_left_out(provider):
    told, notes = ask(RESPONSES, provider, responses(HI, output("ghost", "boo")))
    assert "boo" not in str(told)
    assert "left out" in notes


def test_calls_that_share_an_id_get_their_own():
    calls = {
        "role": "assistant",
        "tool_calls": [{"id": "call_0", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    body = chat(HI, calls, {"role": "tool", "tool_call_id": "call_0", "content": "one"}, calls,
                {"role": "tool", "tool_call_id": "call_0", "content": "two"})  # fmt: skip
    told, _ = ask(CHAT, MESSAGES, body)
    blocks = [block for message in told["messages"] for block in plain(message)]
    ids = [block["id"] for block in blocks if block["type"] == "tool_use"]
    results = {block["tool_use_id"]: block["content"] for block in blocks if block["type"] == "tool_result"}
    assert results == {ids[0]: "one", ids[1]: "two"}


def test_messages_of_one_role_are_one_for_anthropic():
    body = chat(
        user("a"), user("b"), {"role": "assistant", "content": "c"}, {"role": "assistant", "content": "d"}, user("e")
    )
    assert shape(ask(CHAT, MESSAGES, body)[0]) == ["user: text=a text=b", "assistant: text=c text=d", "user: text=e"]


def test_the_first_message_is_the_users():
    told, _ = ask(CHAT, MESSAGES, chat({"role": "assistant", "content": "hello"}, user("hi")))
    assert [m["role"] for m in told["messages"]] == ["user", "assistant", "user"]


def test_a_conversation_of_system_messages_alone_asks_for_an_answer():
    told, _ = ask(CHAT, MESSAGES, chat({"role": "system", "content": "a"}))
    assert [m["role"] for m in told["messages"]] == ["user"]


def test_the_last_message_is_the_users_for_anthropic():
    told, notes = ask(CHAT, MESSAGES, chat(HI, {"role": "assistant", "content": "well"}))
    assert told["messages"][-1]["role"] == "user"
    assert "Continue" in notes


@pytest.mark.parametrize("provider", [CHAT, RESPONSES])
def test_an_answer_that_is_begun_is_noted_for_openai(provider):
    told, notes = ask(MESSAGES, provider, messages(HI, {"role": "assistant", "content": "The answer is ("}))
    assert "The answer is (" in str(told)
    assert "begin anew" in notes


def test_many_items_that_are_left_out_are_few_notes():
    items = [{"type": "web_search_call", "id": str(n)} for n in range(100)]
    _, notes = ask(RESPONSES, MESSAGES, responses(HI, *items))
    assert len(notes.splitlines()) == 1
