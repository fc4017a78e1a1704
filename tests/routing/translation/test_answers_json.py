"""Answers in JSON, translated."""

import json

import pytest

from routing.translation.answers import WrongDialect, translate_answer
from routing.translation.context import CHAT, MESSAGES, RESPONSES
from routing.translation.sealed import unseal
from tests.routing.translation.answers import (
    CREATED,
    DIRECTIONS,
    Answer,
    Call,
    context,
    json_of,
    read_json,
    stream_of,
    translated,
)


def completion(message: dict, reason: str | None = "stop", **more) -> dict:
    return {
        "id": "chatcmpl-1",
        "model": "gpt",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        **more,
    }


def message(*content: dict, **more) -> dict:
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": list(content),
            "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}, **more}  # fmt: skip


def response(*output: dict, **more) -> dict:
    return {"id": "resp_1", "object": "response", "model": "gpt", "status": "completed", "output": list(output), **more}


def function(name: str, arguments, id: str = "call_1") -> dict:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize(("client", "provider"), DIRECTIONS)
def test_the_sdk_of_the_client_reads_every_part(client, provider):
    answer = Answer(
        "the text", "the thought", "own", [Call("call_1", "weather", '{"city":"Rome"}')], "tools", (30, 10, 5)
    )
    found = json.dumps(
        read_json(client, translate_answer(context(client, provider), json.dumps(json_of(provider, answer)).encode()))
    )
    for part in ("the text", "the thought", "call_1", "weather", "Rome"):
        assert part in found


@pytest.mark.parametrize(
    ("reason", "chat", "status"),
    [
        ("end_turn", "stop", ("completed", None)),
        ("stop_sequence", "stop", ("completed", None)),
        ("pause_turn", "stop", ("completed", None)),
        ("tool_use", "tool_calls", ("completed", None)),
        ("max_tokens", "length", ("incomplete", {"reason": "max_output_tokens"})),
        ("model_context_window_exceeded", "length", ("incomplete", {"reason": "max_output_tokens"})),
        ("refusal", "content_filter", ("incomplete", {"reason": "content_filter"})),
        ("a new one", "stop", ("completed", None)),
    ],
)
def test_why_anthropic_stopped_is_told_in_openais_words(reason, chat, status):
    body = message(stop_reason=reason)
    assert translated(CHAT, MESSAGES, body)["choices"][0]["finish_reason"] == chat
    found = translated(RESPONSES, MESSAGES, body)
    assert (found["status"], found["incomplete_details"]) == status


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("content_filter", "refusal"),
        (None, "end_turn"),
        ("new", "end_turn"),
    ],
)
def test_why_a_chat_provider_stopped_is_told_in_anthropics_words(reason, expected):
    assert translated(MESSAGES, CHAT, completion({"content": "x"}, reason))["stop_reason"] == expected


@pytest.mark.parametrize("reason", ["stop", None, "tool_calls", "function_call"])
def test_an_answer_with_calls_stopped_for_them_whatever_the_server_says(reason):
    body = completion({"content": None, "tool_calls": [function("f", "{}")]}, reason)
    assert translated(MESSAGES, CHAT, body)["stop_reason"] == "tool_use"


def test_tokens_of_the_cache_are_apart_at_anthropic_and_within_at_openai():
    usage = {"input_tokens": 10, "cache_read_input_tokens": 200, "cache_creation_input_tokens": 30, "output_tokens": 7,
             "output_tokens_details": {"thinking_tokens": 4}}  # fmt: skip
    chat = translated(CHAT, MESSAGES, message(usage=usage))["usage"]
    assert (chat["prompt_tokens"], chat["completion_tokens"], chat["total_tokens"]) == (240, 7, 247)
    assert chat["prompt_tokens_details"]["cached_tokens"] == 200
    assert chat["prompt_tokens_details"]["cache_write_tokens"] == 30
    assert chat["completion_tokens_details"]["reasoning_tokens"] == 4
    found = translated(RESPONSES, MESSAGES, message(usage=usage))["usage"]
    assert (found["input_tokens"], found["input_tokens_details"]["cached_tokens"]) == (240, 200)
    assert translated(MESSAGES, CHAT, completion({"content": ""}, usage=chat))["usage"] == usage


def test_usage_that_the_provider_does_not_give_is_not_made_up():
    body = message()
    del body["usage"]
    assert "usage" not in translated(CHAT, MESSAGES, body)
    assert translated(RESPONSES, MESSAGES, body)["usage"] is None


def test_anthropics_signature_goes_through_a_client_of_responses():
    block = {"type": "thinking", "thinking": "why", "signature": "c2ln"}
    (item,) = translated(RESPONSES, MESSAGES, message(block))["output"]
    assert item["summary"] == [{"type": "summary_text", "text": "why"}]
    assert unseal(item["encrypted_content"]) == {"signature": "c2ln"}


def test_redacted_thinking_goes_through_a_client_of_responses():
    (item,) = translated(RESPONSES, MESSAGES, message({"type": "redacted_thinking", "data": "ZGF0YQ"}))["output"]
    assert item["summary"] == []
    assert unseal(item["encrypted_content"]) == {"redacted": "ZGF0YQ"}


def test_encrypted_reasoning_goes_through_a_client_of_anthropic():
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "secret"}
    (block,) = translated(MESSAGES, RESPONSES, response(item))["content"]
    assert (block["type"], block["thinking"]) == ("thinking", "")
    assert unseal(block["signature"]) == {"id": "rs_1", "encrypted_content": "secret"}


def test_parts_of_a_summary_are_paragraphs():
    summary = [{"type": "summary_text", "text": text} for text in ("one", "", "two")]
    (block,) = translated(MESSAGES, RESPONSES, response({"type": "reasoning", "id": "rs_1", "summary": summary}))[
        "content"
    ]
    assert block["thinking"] == "one\n\ntwo"


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_the_thoughts_of_a_chat_provider_are_thinking(name):
    first, second = translated(MESSAGES, CHAT, completion({"content": "x", name: "why"}))["content"]
    assert (first["type"], first["thinking"], second["text"]) == ("thinking", "why", "x")


def test_a_refusal_is_text_and_the_reason_to_stop_at_anthropic():
    found = translated(MESSAGES, CHAT, completion({"content": None, "refusal": "I won't."}))
    assert found["content"] == [{"type": "text", "text": "I won't."}]
    assert found["stop_reason"] == "refusal"


def test_a_refusal_is_one_in_both_dialects_of_openai():
    part = {"type": "refusal", "refusal": "I won't."}
    body = response({"type": "message", "id": "m", "role": "assistant", "content": [part]})
    found = translated(CHAT, RESPONSES, body)["choices"][0]["message"]
    assert (found["content"], found["refusal"]) == (None, "I won't.")
    assert translated(RESPONSES, CHAT, completion(found))["output"][0]["content"] == [part]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"a": 1}', {"a": 1}),
        ("", {}),
        (" ", {}),
        ("[1, 2]", {"input": [1, 2]}),
        ('"text"', {"input": "text"}),
        ("{not json", {"input": "{not json"}),
        ({"a": 1}, {"a": 1}),
        (None, {}),
        ('{"n": 123456789012345678901234567890}', {"n": 123456789012345678901234567890}),
    ],
)
def test_arguments_are_an_object_for_a_client_of_anthropic(arguments, expected):
    body = completion({"content": None, "tool_calls": [function("f", arguments)]})
    assert translated(MESSAGES, CHAT, body)["content"][0]["input"] == expected


def test_a_call_without_arguments_has_an_empty_object_at_openai():
    body = message({"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}})
    assert translated(CHAT, MESSAGES, body)["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == "{}"
    assert translated(RESPONSES, MESSAGES, body)["output"][0]["arguments"] == "{}"


def test_calls_without_an_id_get_one_that_no_other_answer_has():
    calls = [function("f", "{}", ""), function("g", "{}", "")]
    ids = [
        b["id"]
        for n in (1, 2)
        for b in translated(MESSAGES, CHAT, {**completion({"tool_calls": calls}), "id": f"c-{n}"})["content"]
    ]
    assert len(set(ids)) == 4
    assert all(ids)


def test_a_call_without_a_name_is_left_out():
    assert (
        translated(MESSAGES, CHAT, completion({"content": "x", "tool_calls": [{"id": "c"}]}))["stop_reason"]
        == "end_turn"
    )


def test_the_function_call_of_old_is_a_call():
    body = completion({"content": None, "function_call": {"name": "f", "arguments": '{"a":1}'}}, "function_call")
    found = translated(MESSAGES, CHAT, body)
    assert [(b["name"], b["input"]) for b in found["content"]] == [("f", {"a": 1})]
    assert found["stop_reason"] == "tool_use"


def test_a_client_that_knows_functions_only_gets_a_function_call():
    body = message({"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}, stop_reason="tool_use")
    (choice,) = translated(CHAT, MESSAGES, body, request={"functions": [{"name": "f"}]})["choices"]
    assert choice["finish_reason"] == "function_call"
    assert choice["message"]["function_call"] == {"name": "f", "arguments": '{"a":1}'}
    assert "tool_calls" not in choice["message"]


def test_a_tool_that_takes_free_text_gets_its_text():
    body = message({"type": "tool_use", "id": "t", "name": "patch", "input": {"input": "*** Begin\n"}})
    custom = {"custom_tools": frozenset({"patch"})}
    (item,) = translated(RESPONSES, MESSAGES, body, **custom)["output"]
    assert (item["type"], item["name"], item["input"]) == ("custom_tool_call", "patch", "*** Begin\n")
    (call,) = translated(CHAT, MESSAGES, body, **custom)["choices"][0]["message"]["tool_calls"]
    assert (call["type"], call["custom"]) == ("custom", {"name": "patch", "input": "*** Begin\n"})


@pytest.mark.parametrize(("client", "provider"), DIRECTIONS)
def test_a_tool_has_the_name_that_the_client_gave_it(client, provider):
    body = json_of(provider, Answer(calls=[Call("c", "mcp_tool", "{}")]))
    found = json.dumps(translated(client, provider, body, tool_names={"mcp_tool": "mcp.tool"}))
    assert '"mcp.tool"' in found
    assert '"mcp_tool"' not in found


def test_tools_that_ran_at_the_provider_are_left_out():
    ran = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    got = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}
    text = {"type": "text", "text": "found", "citations": [{"type": "char_location", "cited_text": "x"}]}
    assert translated(CHAT, MESSAGES, message(ran, got, text))["choices"][0]["message"]["content"] == "found"
    item = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    assert translated(MESSAGES, RESPONSES, response(item))["content"] == []


def test_an_answer_of_responses_repeats_the_request():
    request = {"model": "asked", "instructions": "Be brief.", "tools": [{"type": "function", "name": "f"}], "temperature": 0.5,
               "metadata": {"a": "b"}, "stream": True}  # fmt: skip
    found = translated(RESPONSES, CHAT, completion({"content": "x"}), request=request)
    for name in ("instructions", "tools", "temperature", "metadata"):
        assert found[name] == request[name]
    assert found["created_at"] == CREATED
    assert "stream" not in found


def test_half_a_character_does_not_spoil_an_answer():
    body = json.dumps(completion({"content": "x\ud83d"})).encode()
    assert translated(MESSAGES, CHAT, body)["content"][0]["text"].startswith("x")


@pytest.mark.parametrize(("client", "provider"), DIRECTIONS)
@pytest.mark.parametrize(
    "body", [b"", b"<html>Welcome</html>", b"[]", b"{}", b'"x"', b"null", b'{"choices": []}', b"\xff", b'{"a":' * 5000]
)
def test_what_is_no_answer_is_said_to_be_none(client, provider, body):
    with pytest.raises(WrongDialect, match="no answer in"):
        translate_answer(context(client, provider), body)


@pytest.mark.parametrize(("client", "provider"), DIRECTIONS)
def test_an_answer_of_another_dialect_is_none(client, provider):
    with pytest.raises(WrongDialect):
        translate_answer(context(client, provider), json.dumps(json_of(client, Answer("x"))).encode())


def test_an_error_in_an_answer_that_succeeded_is_told():
    with pytest.raises(WrongDialect, match="out of luck"):
        translated(CHAT, RESPONSES, response(status="failed", error={"code": "server_error", "message": "out of luck"}))
    with pytest.raises(WrongDialect, match="out of luck"):
        translated(MESSAGES, CHAT, {"error": {"message": "out of luck", "code": 502}})


@pytest.mark.parametrize(("client", "provider"), DIRECTIONS)
def test_a_stream_that_broke_off_is_no_answer_in_json(client, provider):
    with pytest.raises(WrongDialect, match="broke off"):
        translate_answer(context(client, provider), b"".join(stream_of(provider, Answer("text"))[:3]))
