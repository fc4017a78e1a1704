"""Thinking and reasoning: how it is asked for, and how it comes back over the turns of a tool loop."""

import pytest

from routing.translation.context import CHAT, MESSAGES, RESPONSES
from routing.translation.requests.abilities import is_openais, is_reasoning, most_tokens, nearest, openai_efforts
from routing.translation.sealed import seal
from tests.routing.translation.asking import WEATHER, ask, chat, messages, plain, responses, user

HI = user("hi")
OLDER, NEWER, NEWEST, ALWAYS = "claude-sonnet-4-5", "claude-opus-4-8", "claude-sonnet-5", "claude-fable-5"
TOOLS = [{"type": "function", "name": "f", "parameters": WEATHER, "strict": False}]


def reasoning(effort: str, *items: dict, **more) -> dict:
    return responses(HI, *items, reasoning={"effort": effort}, **more)


# -- asked of Anthropic ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("client", "body"), [(RESPONSES, reasoning("high")), (CHAT, chat(HI, reasoning_effort="high"))]
)
def test_an_effort_is_a_budget_for_older_models(client, body):
    told, _ = ask(client, MESSAGES, body, OLDER)
    assert told["thinking"] == {"type": "enabled", "budget_tokens": 16384}
    assert told["max_tokens"] > 16384
    assert "output_config" not in told


@pytest.mark.parametrize(
    ("model", "effort", "expected"),
    [
        (NEWER, "high", "high"),
        (NEWER, "xhigh", "xhigh"),
        (NEWER, "minimal", "low"),
        ("claude-opus-4-6", "xhigh", "max"),
        ("claude-sonnet-4-6", "xhigh", "high"),
        (NEWEST, "max", "max"),
    ],
)
def test_newer_models_are_told_the_effort_itself(model, effort, expected):
    told, _ = ask(RESPONSES, MESSAGES, reasoning(effort), model)
    assert told["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert told["output_config"] == {"effort": expected}


def test_a_budget_leaves_room_for_the_answer():
    told, _ = ask(RESPONSES, MESSAGES, reasoning("high", max_output_tokens=4000), OLDER)
    assert 1024 <= told["thinking"]["budget_tokens"] < 4000
    told, notes = ask(RESPONSES, MESSAGES, reasoning("high", max_output_tokens=1000), OLDER)
    assert "thinking" not in told
    assert "max_tokens" in notes


def test_no_effort_turns_off_what_models_do_unasked():
    assert "thinking" not in ask(RESPONSES, MESSAGES, reasoning("none"), OLDER)[0]
    assert ask(RESPONSES, MESSAGES, reasoning("none"), NEWEST)[0]["thinking"] == {"type": "disabled"}
    told, notes = ask(RESPONSES, MESSAGES, reasoning("none"), ALWAYS)
    assert "thinking" not in told
    assert "always" in notes


@pytest.mark.parametrize("model", ["claude-opus-5-5", "claude-fable-5-1", "claude-mythos-5"])
def test_a_model_that_always_thinks_is_told_to_think_least(model):
    told, notes = ask(RESPONSES, MESSAGES, reasoning("none"), model)
    assert told["output_config"] == {"effort": "low"}
    assert "thinking" not in told
    assert "always" in notes


def test_a_model_that_thinks_between_tools_at_least_is_told_so():
    told, _ = ask(RESPONSES, MESSAGES, reasoning("none"), "claude-sonnet-5-5")
    assert told["thinking"] == {"type": "between_tools"}


def test_who_does_not_speak_of_reasoning_gets_the_models_own():
    told, notes = ask(RESPONSES, MESSAGES, responses(HI), NEWEST)
    assert "thinking" not in told
    assert not notes


@pytest.mark.parametrize("model", [OLDER, NEWER])
def test_how_to_sample_is_left_out_where_a_model_thinks(model):
    told, notes = ask(RESPONSES, MESSAGES, reasoning("high", temperature=0.5, top_p=0.9), model)
    assert not {"temperature", "top_p"} & set(told)
    assert "temperature" in notes
    assert "top_p" in notes


def test_newer_models_are_not_told_how_to_sample():
    told, notes = ask(CHAT, MESSAGES, chat(HI, temperature=0.5), NEWER)
    assert "temperature" not in told
    assert NEWER in notes


def test_a_demanded_call_goes_before_thinking():
    body = reasoning("high", tools=TOOLS, tool_choice="required")
    told, notes = ask(RESPONSES, MESSAGES, body, OLDER)
    assert told["tool_choice"] == {"type": "any"}
    assert "thinking" not in told
    assert "tool_choice" in notes
    assert ask(RESPONSES, MESSAGES, body, NEWEST)[0]["thinking"] == {"type": "disabled"}
    assert ask(RESPONSES, MESSAGES, body, ALWAYS)[0]["tool_choice"] == {"type": "auto"}


@pytest.mark.parametrize(
    ("model", "thinking", "choice"),
    [
        (OLDER, None, "any"),
        (NEWER, None, "any"),
        (NEWEST, {"type": "disabled"}, "any"),
        ("claude-sonnet-5-5", {"type": "between_tools"}, "any"),
        ("claude-opus-5-5", None, "auto"),
    ],
)
def test_a_demanded_call_goes_before_what_models_do_unasked(model, thinking, choice):
    told, _ = ask(RESPONSES, MESSAGES, responses(HI, tools=TOOLS, tool_choice="required"), model)
    assert told.get("thinking") == thinking
    assert told["tool_choice"]["type"] == choice


@pytest.mark.parametrize("effort", ["xhigh", "max"])
def test_no_effort_asks_for_more_tokens_than_a_model_gives(effort):
    told, _ = ask(RESPONSES, MESSAGES, reasoning(effort), OLDER)
    assert told["thinking"]["budget_tokens"] < told["max_tokens"] <= most_tokens(OLDER)


def test_thinking_is_off_where_the_tool_loop_began_without():
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c", "output": "r"}
    body = reasoning("high", call, output, tools=TOOLS)
    told, notes = ask(RESPONSES, MESSAGES, body, OLDER)
    assert "thinking" not in told
    assert "without its thinking" in notes
    # These models do not mind.
    assert ask(RESPONSES, MESSAGES, body, NEWER)[0]["thinking"]["type"] == "adaptive"
    thought = {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": seal({"signature": "s"})}
    told, _ = ask(RESPONSES, MESSAGES, reasoning("high", thought, call, output, tools=TOOLS), OLDER)
    assert told["thinking"]["type"] == "enabled"


def test_an_unknown_effort_is_noted():
    told, notes = ask(RESPONSES, MESSAGES, reasoning("immense"), NEWER)
    assert "output_config" not in told
    assert "immense" in notes


# -- asked of OpenAI -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("budget", "effort"), [(2000, "low"), (10_000, "medium"), (31_999, "high")])
def test_a_budget_is_an_effort_for_openai(budget, effort):
    body = messages(HI, thinking={"type": "enabled", "budget_tokens": budget})
    assert ask(MESSAGES, CHAT, body)[0]["reasoning_effort"] == effort
    told, _ = ask(MESSAGES, RESPONSES, body)
    assert told["reasoning"] == {"effort": effort, "summary": "auto"}
    assert told["include"] == ["reasoning.encrypted_content"]
    assert told["store"] is False


def test_thinking_between_tools_alone_is_none_for_openai():
    told, _ = ask(MESSAGES, RESPONSES, messages(HI, thinking={"type": "between_tools"}), "gpt-5.4")
    assert told["reasoning"] == {"effort": "none"}


@pytest.mark.parametrize(
    ("model", "expected"),
    [("gpt-5", "minimal"), ("gpt-5.1", "none"), ("gpt-5.4-mini", "none"), ("o3", "low"), ("gpt-5-pro", "high"),
     ("gpt-5.1-codex", "low"), ("gpt-5.2-pro", "medium")],
)  # fmt: skip
def test_no_thinking_is_the_least_that_a_model_takes(model, expected):
    told, _ = ask(MESSAGES, CHAT, messages(HI, thinking={"type": "disabled"}), model)
    assert told["reasoning_effort"] == expected


@pytest.mark.parametrize(
    ("model", "asked", "expected"),
    [("gpt-5", "max", "high"), ("gpt-5.5", "max", "xhigh"), ("gpt-6.1-sol", "max", "max"), ("o4-mini", "xhigh", "high"),
     ("gpt-5.1-codex-max", "xhigh", "xhigh"), ("openai/gpt-5", "low", "low")],
)  # fmt: skip
def test_an_effort_is_the_nearest_that_a_model_takes(model, asked, expected):
    body = messages(HI, thinking={"type": "adaptive"}, output_config={"effort": asked})
    told, notes = ask(MESSAGES, CHAT, body, model)
    assert told["reasoning_effort"] == expected
    assert ("effort" in notes) == (asked != expected)


@pytest.mark.parametrize("model", ["gpt-4.1", "qwen3-coder", "gpt-5-chat-latest"])
def test_models_that_do_not_reason_are_not_told_to(model):
    told, notes = ask(MESSAGES, CHAT, messages(HI, thinking={"type": "enabled", "budget_tokens": 2000}), model)
    assert "reasoning_effort" not in told
    assert model in notes


def test_reasoning_models_are_not_told_how_to_sample_or_stop():
    told, notes = ask(MESSAGES, CHAT, messages(HI, temperature=0.5, stop_sequences=["x"]), "o3")
    assert not {"temperature", "stop"} & set(told)
    assert "temperature" in notes
    assert "stop" in notes


@pytest.mark.parametrize("model", ["gpt-5", "o3-mini", "gpt-5.1-codex-max", "ft:gpt-4o:x", "chatgpt-4o-latest"])
def test_openais_names_are_known(model):
    assert is_openais(model)


@pytest.mark.parametrize("model", ["gpt-oss-120b", "qwen3", "deepseek-chat", "olmo", "o3something"])
def test_other_names_are_none_of_openais(model):
    assert not is_openais(model)
    assert not is_reasoning(model)


def test_the_nearest_effort_is_not_less_than_asked_where_there_is_one():
    assert nearest("minimal", openai_efforts("gpt-5.4")) == "low"
    assert nearest("xhigh", ("low", "high")) == "high"
    assert nearest("huge", ("low", "high")) == ""


@pytest.mark.parametrize(
    ("model", "tokens"),
    [("claude-3-haiku-20240307", 4096), ("claude-3-opus-latest", 4096), ("claude-3-5-haiku-latest", 8192),
     ("claude-opus-4-20250514", 32_000), ("claude-opus-4-1", 32_000), ("claude-opus-4-5", 64_000),
     ("claude-sonnet-4-6", 64_000), ("claude-haiku-5-5", 64_000), ("glm-4.6", 32_000)],
)  # fmt: skip
def test_an_answer_may_be_as_long_as_its_model_allows(model, tokens):
    assert most_tokens(model) == tokens
    assert ask(CHAT, MESSAGES, chat(HI), model)[0]["max_tokens"] == tokens


# -- history ---------------------------------------------------------------------------------------------------


def loop(thinking: dict) -> dict:
    """A tool loop of an Anthropic client, with a block of thinking."""
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": "r"}
    return messages(HI, {"role": "assistant", "content": [thinking, call]}, user([result]))


def test_openais_reasoning_comes_back_through_a_client_of_anthropics():
    sealed = seal({"id": "rs_1", "encrypted_content": "secret"})
    told, _ = ask(MESSAGES, RESPONSES, loop({"type": "thinking", "thinking": "hm", "signature": sealed}))
    assert told["input"][1] == {
        "type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "secret",
    }  # fmt: skip
    told, _ = ask(MESSAGES, RESPONSES, loop({"type": "redacted_thinking", "data": sealed}))
    assert (told["input"][1]["summary"], told["input"][1]["encrypted_content"]) == ([], "secret")


def test_anthropics_thinking_comes_back_through_a_client_of_openais():
    def item(state):
        summary = [{"type": "summary_text", "text": "hm"}] if "signature" in state else []
        return {"type": "reasoning", "id": "rs", "summary": summary, "encrypted_content": seal(state)}

    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    told, _ = ask(RESPONSES, MESSAGES, responses(HI, item({"signature": "sig"}), call))
    assert plain(told["messages"][1])[0] == {"type": "thinking", "thinking": "hm", "signature": "sig"}
    told, _ = ask(RESPONSES, MESSAGES, responses(HI, item({"redacted": "dark"}), call))
    assert plain(told["messages"][1])[0] == {"type": "redacted_thinking", "data": "dark"}


@pytest.mark.parametrize("provider", [CHAT, RESPONSES])
def test_another_vendors_own_thinking_is_left_out(provider):
    told, _ = ask(MESSAGES, provider, loop({"type": "thinking", "thinking": "my thought", "signature": "EqQBreal"}))
    assert "my thought" not in str(told)


def test_openais_own_reasoning_is_left_out_for_anthropic():
    item = {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "real"}
    told, _ = ask(RESPONSES, MESSAGES, responses(HI, item, {"role": "assistant", "content": "a"}, HI))
    assert [block["type"] for block in plain(told["messages"][1])] == ["text"]


def test_reasoning_that_nothing_follows_is_left_out():
    sealed = seal({"id": "rs_1", "encrypted_content": "secret"})
    block = {"type": "thinking", "thinking": "hm", "signature": sealed}
    said = {"role": "assistant", "content": [{"type": "text", "text": "a"}, block]}
    told, _ = ask(MESSAGES, RESPONSES, messages(HI, said, HI))
    assert "secret" not in str(told)


def test_thoughts_in_plain_text_come_back_with_the_calls_that_they_led_to():
    block = {"type": "thinking", "thinking": "hm", "signature": ""}
    told, _ = ask(MESSAGES, CHAT, loop(block), "kimi-k2-thinking")
    assert told["messages"][1]["reasoning_content"] == "hm"
    assert "reasoning_content" not in ask(MESSAGES, CHAT, loop(block), "gpt-5")[0]["messages"][1]
    said = messages(HI, {"role": "assistant", "content": [block, {"type": "text", "text": "a"}]}, HI)
    assert "reasoning_content" not in ask(MESSAGES, CHAT, said, "kimi-k2-thinking")[0]["messages"][1]
