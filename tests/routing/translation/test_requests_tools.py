"""Tools, their calls and results."""

import json

import pytest

from routing.translation.answers import translate_answer
from routing.translation.context import CHAT, MESSAGES, RESPONSES, Untranslatable
from routing.translation.requests import translate_request
from tests.routing.translation.asking import (
    DIRECTIONS,
    WEATHER,
    ask,
    chat,
    messages,
    plain,
    responses,
    translated,
    user,
)

HI = user("hi")
TOOLS = {
    MESSAGES: [{"name": "weather", "description": "d", "input_schema": WEATHER}],
    CHAT: [{"type": "function", "function": {"name": "weather", "description": "d", "parameters": WEATHER}}],
    RESPONSES: [{"type": "function", "name": "weather", "description": "d", "parameters": WEATHER, "strict": False}],
}
BUILD = {MESSAGES: messages, CHAT: chat, RESPONSES: responses}
# The same choice in each dialect.
CHOICES = [
    {MESSAGES: {"type": "auto"}, CHAT: "auto", RESPONSES: "auto"},
    {MESSAGES: {"type": "any"}, CHAT: "required", RESPONSES: "required"},
    {MESSAGES: {"type": "none"}, CHAT: "none", RESPONSES: "none"},
    {
        MESSAGES: {"type": "tool", "name": "weather"},
        CHAT: {"type": "function", "function": {"name": "weather"}},
        RESPONSES: {"type": "function", "name": "weather"},
    },
]


def schema_of(dialect: str, tool: dict):
    return {MESSAGES: tool.get("input_schema"), CHAT: tool.get("function", {}).get("parameters")}.get(dialect) or tool[
        "parameters"
    ]


@pytest.mark.parametrize(("client", "provider"), DIRECTIONS)
def test_a_tool_keeps_its_name_description_and_schema(client, provider):
    told, _ = ask(client, provider, BUILD[client](HI, tools=TOOLS[client]))
    (tool,) = told["tools"]
    inner = tool.get("function", tool)
    assert (inner["name"], inner["description"], schema_of(provider, tool)) == ("weather", "d", WEATHER)


@pytest.mark.parametrize(("client", "provider"), DIRECTIONS)
@pytest.mark.parametrize("choice", CHOICES)
def test_a_tool_choice_means_the_same(client, provider, choice):
    told, _ = ask(client, provider, BUILD[client](HI, tools=TOOLS[client], tool_choice=choice[client]))
    assert told["tool_choice"] == choice[provider]


@pytest.mark.parametrize("client", [CHAT, RESPONSES])
def test_tools_that_are_not_allowed_are_left_out(client):
    tools = TOOLS[client] + json.loads(json.dumps(TOOLS[client]).replace("weather", "other"))
    one = (
        {"type": "function", "function": {"name": "other"}} if client == CHAT else {"type": "function", "name": "other"}
    )
    allowed = {"mode": "required", "tools": [one]}
    choice = {"type": "allowed_tools", **({"allowed_tools": allowed} if client == CHAT else allowed)}
    told, _ = ask(client, MESSAGES, BUILD[client](HI, tools=tools, tool_choice=choice))
    assert [tool["name"] for tool in told["tools"]] == ["other"]
    assert told["tool_choice"] == {"type": "any"}


@pytest.mark.parametrize(("client", "choice"), [(CHAT, "sometimes"), (MESSAGES, {"type": "sometimes"})])
def test_an_unknown_tool_choice_is_refused(client, choice):
    with pytest.raises(Untranslatable, match="sometimes"):
        ask(client, RESPONSES, BUILD[client](HI, tools=TOOLS[client], tool_choice=choice))


def test_one_call_at_a_time_is_asked_for_in_each_dialect():
    body = messages(HI, tools=TOOLS[MESSAGES], tool_choice={"type": "auto", "disable_parallel_tool_use": True})
    assert ask(MESSAGES, CHAT, body)[0]["parallel_tool_calls"] is False
    assert ask(MESSAGES, RESPONSES, body)[0]["parallel_tool_calls"] is False
    told, _ = ask(CHAT, MESSAGES, chat(HI, tools=TOOLS[CHAT], parallel_tool_calls=False))
    assert told["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}


def test_a_tool_without_parameters_has_a_schema_of_none():
    tools = [{"name": "now", "input_schema": {"type": "object"}}]
    told, _ = ask(MESSAGES, CHAT, messages(HI, tools=tools))
    assert told["tools"][0]["function"]["parameters"] == {"type": "object", "properties": {}}
    told, _ = ask(CHAT, MESSAGES, chat(HI, tools=[{"type": "function", "function": {"name": "now"}}]))
    assert told["tools"][0]["input_schema"] == {"type": "object", "properties": {}}


@pytest.mark.parametrize(("client", "provider"), DIRECTIONS)
def test_a_choice_of_a_tool_that_was_left_out_is_auto(client, provider):
    own = {"type": "web_search_20250305", "name": "search"} if client == MESSAGES else {"type": "web_search"}
    choice = {MESSAGES: {"type": "tool", "name": "search"}, CHAT: {"type": "function", "function": {"name": "search"}},
              RESPONSES: {"type": "function", "name": "search"}}[client]  # fmt: skip
    told, notes = ask(client, provider, BUILD[client](HI, tools=[*TOOLS[client], own], tool_choice=choice))
    assert len(told["tools"]) == 1
    assert told["tool_choice"] == CHOICES[0][provider]
    assert "tool_choice: " in notes


@pytest.mark.parametrize("provider", [CHAT, RESPONSES])
def test_a_strict_tool_is_none_at_openai_where_its_schema_is_too_loose_for_it(provider):
    loose = {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": [],
        "additionalProperties": False,
    }
    told, notes = ask(MESSAGES, provider, messages(HI, tools=[{"name": "w", "input_schema": loose, "strict": True}]))
    (tool,) = told["tools"]
    assert tool.get("function", tool)["strict"] is False
    assert "strict" in notes
    closed = {**loose, "required": ["city"]}
    told, notes = ask(MESSAGES, provider, messages(HI, tools=[{"name": "w", "input_schema": closed, "strict": True}]))
    (tool,) = told["tools"]
    assert tool.get("function", tool)["strict"] is True
    assert not notes


def test_a_strict_tool_stays_one_where_models_hold_to_schemas():
    strict = {"type": "function", "function": {"name": "w", "parameters": WEATHER, "strict": True}}
    told, _ = ask(CHAT, MESSAGES, chat(HI, tools=[strict]))
    assert told["tools"][0]["strict"] is True
    assert told["tools"][0]["input_schema"]["additionalProperties"] is False
    told, _ = ask(CHAT, MESSAGES, chat(HI, tools=[strict]), "claude-3-haiku-20240307")
    assert "strict" not in told["tools"][0]
    assert ask(CHAT, RESPONSES, chat(HI, tools=[strict]))[0]["tools"][0]["strict"] is True


@pytest.mark.parametrize("kind", ["web_search", "file_search", "local_shell", "mcp", "computer"])
def test_openais_own_tools_are_left_out_and_noted(kind):
    told, notes = ask(RESPONSES, MESSAGES, responses(HI, tools=[{"type": kind}, *TOOLS[RESPONSES]]))
    assert [tool["name"] for tool in told["tools"]] == ["weather"]
    assert kind in notes


def test_anthropics_own_tools_are_left_out_and_noted():
    told, notes = ask(MESSAGES, CHAT, messages(HI, tools=[{"type": "web_search_20250305", "name": "web_search"}]))
    assert "tools" not in told
    assert "web_search_20250305" in notes


def test_a_choice_of_a_tool_of_openais_own_is_auto():
    told, notes = ask(RESPONSES, MESSAGES, responses(HI, tools=TOOLS[RESPONSES], tool_choice={"type": "web_search"}))
    assert told["tool_choice"] == {"type": "auto"}
    assert "web_search" in notes


# -- free text -------------------------------------------------------------------------------------------------

PATCH = {
    "type": "custom", "name": "apply_patch", "description": "Patch files.",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: begin"},
}  # fmt: skip


@pytest.mark.parametrize("provider", [MESSAGES, CHAT])
def test_a_tool_that_takes_free_text_becomes_a_function_with_one_field(provider):
    result = translated(RESPONSES, provider, responses(HI, tools=[PATCH]))
    assert result.context.custom_tools == {"apply_patch"}
    (tool,) = json.loads(result.body)["tools"]
    assert schema_of(provider, tool)["required"] == ["input"]
    assert "start: begin" in tool.get("function", tool)["description"]


def test_calls_with_free_text_are_calls_with_one_field():
    call = {"type": "custom_tool_call", "call_id": "c1", "name": "apply_patch", "input": 'a "patch"\n'}
    output = {"type": "custom_tool_call_output", "call_id": "c1", "output": "done"}
    body = responses(HI, call, output, tools=[PATCH])
    told, _ = ask(RESPONSES, MESSAGES, body)
    assert plain(told["messages"][1])[0]["input"] == {"input": 'a "patch"\n'}
    assert plain(told["messages"][2])[0]["content"] == "done"
    told, _ = ask(RESPONSES, CHAT, body)
    assert json.loads(told["messages"][1]["tool_calls"][0]["function"]["arguments"]) == {"input": 'a "patch"\n'}


def test_a_chat_client_has_tools_that_take_free_text_too():
    kind = {"type": "grammar", "grammar": {"syntax": "regex", "definition": "a+"}}
    tool = {"type": "custom", "custom": {"name": "raw", "description": "d", "format": kind}}
    result = translated(CHAT, MESSAGES, chat(HI, tools=[tool]))
    assert result.context.custom_tools == {"raw"}
    assert "a+" in json.loads(result.body)["tools"][0]["description"]
    assert not result.notes


# -- names and ids ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mcp.server/tool", "x" * 100, "ü"])
def test_a_name_that_openai_refuses_is_another_and_the_context_knows_which(name):
    call = {"type": "tool_use", "id": "t", "name": name, "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": "r"}
    body = messages(
        HI, {"role": "assistant", "content": [call]}, user([result]), tools=[{"name": name, "input_schema": WEATHER}],
        tool_choice={"type": "tool", "name": name},
    )  # fmt: skip
    result = translated(MESSAGES, CHAT, body)
    told = json.loads(result.body)
    written = told["tools"][0]["function"]["name"]
    assert len(written) <= 64
    assert written.isascii()
    assert result.context.tool_names == {written: name}
    assert told["messages"][1]["tool_calls"][0]["function"]["name"] == written
    assert told["tool_choice"]["function"]["name"] == written


def test_names_that_differ_stay_different():
    tools = [{"name": name, "input_schema": WEATHER} for name in ("a.b", "a/b", "a_b")]
    told, _ = ask(MESSAGES, CHAT, messages(HI, tools=tools))
    assert len({tool["function"]["name"] for tool in told["tools"]}) == 3


def test_an_id_that_anthropic_refuses_is_another_on_call_and_result():
    calls = [{"id": "functions.f:0", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    body = chat(
        HI,
        {"role": "assistant", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "functions.f:0", "content": "r"},
    )
    told, _ = ask(CHAT, MESSAGES, body)
    call, result = plain(told["messages"][1])[0], plain(told["messages"][2])[0]
    assert call["id"] == result["tool_use_id"]
    assert call["id"].replace("_", "").isalnum()


# -- history ---------------------------------------------------------------------------------------------------


def test_a_failed_result_says_so_once_to_openai():
    def body(text):
        call = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
        result = {"type": "tool_result", "tool_use_id": "t", "is_error": True, "content": text}
        return messages(HI, {"role": "assistant", "content": [call]}, user([result]))

    assert ask(MESSAGES, CHAT, body("no file"))[0]["messages"][-1]["content"] == "Error: no file"
    assert ask(MESSAGES, CHAT, body("Error: no file"))[0]["messages"][-1]["content"] == "Error: no file"
    assert ask(MESSAGES, RESPONSES, body("no file"))[0]["input"][-1]["output"] == "Error: no file"


@pytest.mark.parametrize("arguments", ["", "{}", "[1]", "no json", '"x"', "null"])
def test_arguments_are_an_object_for_anthropic_whatever_they_are(arguments):
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}]
    told, _ = ask(CHAT, MESSAGES, chat(HI, {"role": "assistant", "tool_calls": calls}))
    assert isinstance(plain(told["messages"][1])[0]["input"], dict)


def test_tools_of_the_conversation_are_named_where_the_request_has_none():
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    body = chat(HI, {"role": "assistant", "tool_calls": calls}, {"role": "tool", "tool_call_id": "c", "content": "r"})
    told, _ = ask(CHAT, MESSAGES, body)
    assert [tool["name"] for tool in told["tools"]] == ["f"]
    assert told["tool_choice"] == {"type": "none"}


def test_functions_of_the_older_form_are_tools():
    body = chat(
        HI,
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "one"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "two"},
        functions=[{"name": "f", "parameters": WEATHER}], function_call={"name": "f"},
    )  # fmt: skip
    told, _ = ask(CHAT, MESSAGES, body)
    # An answer of that form has place for one call.
    assert told["tool_choice"] == {"type": "tool", "name": "f", "disable_parallel_tool_use": True}
    calls = [plain(message)[0]["id"] for message in told["messages"] if message["role"] == "assistant"]
    results = [(plain(m)[0]["tool_use_id"], plain(m)[0]["content"]) for m in told["messages"][2::2]]
    assert results == [(calls[0], "one"), (calls[1], "two")]
    assert calls[0] != calls[1]


def test_calls_of_the_clients_own_shell_are_calls():
    call = {"type": "local_shell_call", "id": "i", "call_id": "c", "status": "completed",
            "action": {"type": "exec", "command": ["ls"], "env": {}}}  # fmt: skip
    output = {"type": "local_shell_call_output", "id": "c", "output": "a.txt"}
    told, notes = ask(RESPONSES, MESSAGES, responses(HI, call, output))
    assert plain(told["messages"][1])[0]["input"]["command"] == ["ls"]
    assert plain(told["messages"][2])[0]["content"] == "a.txt"
    assert not notes


def test_items_of_tools_that_run_at_openai_are_left_out_and_noted():
    told, notes = ask(RESPONSES, CHAT, responses(HI, {"type": "web_search_call", "id": "w", "status": "completed"}))
    assert told["messages"] == [HI]
    assert "web_search_call" in notes


def test_tools_in_a_namespace_have_one_name_for_others_and_come_back_in_theirs():
    inner = {"type": "function", "name": "f", "parameters": WEATHER}
    call = {"type": "function_call", "call_id": "c", "namespace": "mcp__docs", "name": "f", "arguments": "{}"}
    tools = [{"type": "namespace", "name": "mcp__docs", "description": "d", "tools": [inner]}]
    body = responses(HI, call, {"type": "function_call_output", "call_id": "c", "output": "x"}, tools=tools)
    translated = translate_request(RESPONSES, MESSAGES, json.dumps(body).encode(), "claude-sonnet-4-5")
    told = json.loads(translated.body)
    assert [tool["name"] for tool in told["tools"]] == ["mcp__docs__f"]
    assert told["messages"][1]["content"][0]["name"] == "mcp__docs__f"
    block = {"type": "tool_use", "id": "t", "name": "mcp__docs__f", "input": {}}
    answer = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [block],
        "stop_reason": "tool_use",
    }
    (item,) = json.loads(translate_answer(translated.context, json.dumps(answer).encode()))["output"]
    assert (item["namespace"], item["name"]) == ("mcp__docs", "f")
