"""Settings of a request: lengths, sampling, structured output, who asks, and what is refused or left out."""

import json

import pytest

from routing.translation.context import CHAT, MESSAGES, RESPONSES, Untranslatable
from tests.routing.translation.asking import DIRECTIONS, WEATHER, ask, chat, messages, responses, translated, user

HI = user("hi")
BUILD = {MESSAGES: messages, CHAT: chat, RESPONSES: responses}
SESSION = "0195e1f2-1111-4222-8333-444455556666"


@pytest.mark.parametrize(("client", "provider"), DIRECTIONS)
def test_the_model_is_the_one_to_ask_for(client, provider):
    assert ask(client, provider, BUILD[client](HI), "other")[0]["model"] == "other"


def test_a_length_has_the_name_that_each_dialect_knows():
    body = messages(HI)
    assert ask(MESSAGES, CHAT, body, "gpt-5")[0]["max_completion_tokens"] == 1000
    assert ask(MESSAGES, CHAT, body, "qwen3-coder")[0]["max_tokens"] == 1000
    assert ask(MESSAGES, CHAT, body, "gpt-oss-20b")[0]["max_tokens"] == 1000
    assert ask(MESSAGES, RESPONSES, body)[0]["max_output_tokens"] == 1000
    assert ask(CHAT, MESSAGES, chat(HI, max_tokens=7))[0]["max_tokens"] == 7
    assert ask(RESPONSES, MESSAGES, responses(HI, max_output_tokens=7))[0]["max_tokens"] == 7
    assert ask(MESSAGES, RESPONSES, {**body, "max_tokens": 1})[0]["max_output_tokens"] == 16


def test_temperature_is_within_what_anthropic_takes():
    told, notes = ask(CHAT, MESSAGES, chat(HI, temperature=1.7, top_p=0.5))
    assert told["temperature"] == 1
    assert "top_p" not in told
    assert "temperature" in notes
    assert ask(CHAT, MESSAGES, chat(HI, top_p=0.5))[0]["top_p"] == 0.5
    assert ask(MESSAGES, CHAT, messages(HI, temperature=0.3, top_p=0.5), "gpt-4.1")[0]["top_p"] == 0.5


def test_stop_sequences_in_each_dialect():
    assert ask(CHAT, MESSAGES, chat(HI, stop="x"))[0]["stop_sequences"] == ["x"]
    told, notes = ask(CHAT, MESSAGES, chat(HI, stop=["x", "\n"]))
    assert told["stop_sequences"] == ["x"]
    assert "stop" in notes
    told, notes = ask(MESSAGES, CHAT, messages(HI, stop_sequences=list("abcde")), "gpt-4.1")
    assert told["stop"] == list("abcd")
    assert "stop" in ask(MESSAGES, RESPONSES, messages(HI, stop_sequences=["x"]))[1]


@pytest.mark.parametrize(
    ("client", "more", "field"),
    [
        (CHAT, {"n": 2}, "n"),
        (CHAT, {"modalities": ["text", "audio"]}, "modalities"),
        (RESPONSES, {"previous_response_id": "r"}, "previous_response_id"),
        (RESPONSES, {"conversation": {"id": "c"}}, "conversation"),
        (RESPONSES, {"background": True}, "background"),
        (RESPONSES, {"prompt": {"id": "p"}}, "prompt"),
        (RESPONSES, {"input": [{"type": "item_reference", "id": "i"}]}, "input[0]"),
        (RESPONSES, {"input": [HI, {"type": "compaction", "encrypted_content": "x"}]}, "input[1]"),
    ],
)
def test_what_would_change_the_meaning_is_refused_with_its_field(client, more, field):
    with pytest.raises(Untranslatable) as refused:
        translated(client, MESSAGES, {**BUILD[client](HI), **more})
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("client", "more"),
    [
        (CHAT, {"seed": 1}), (CHAT, {"logprobs": True}), (CHAT, {"logit_bias": {"1": 2}}), (CHAT, {"presence_penalty": 1}),
        (CHAT, {"verbosity": "low"}), (CHAT, {"service_tier": "flex"}), (CHAT, {"metadata": {"a": "b"}}),
        (RESPONSES, {"truncation": "auto"}), (RESPONSES, {"max_tool_calls": 2}),
        (MESSAGES, {"top_k": 3}), (MESSAGES, {"container": "c"}), (MESSAGES, {"mcp_servers": [{"name": "x"}]}),
        (MESSAGES, {"inference_geo": "us"}), (MESSAGES, {"service_tier": "standard_only"}),
    ],
)  # fmt: skip
def test_what_is_left_out_is_noted(client, more):
    (name,) = more
    provider = CHAT if client == MESSAGES else MESSAGES
    told, notes = ask(client, provider, BUILD[client](HI, **more))
    assert name not in told
    assert notes.startswith(f"{name}: left out")


@pytest.mark.parametrize(
    ("client", "more"),
    [(CHAT, {"seed": None}), (CHAT, {"service_tier": "auto"}), (CHAT, {"n": 1}), (CHAT, {"prompt_cache_key": "k"}),
     (RESPONSES, {"include": ["reasoning.encrypted_content"], "store": False, "text": None, "reasoning": None})],
)  # fmt: skip
def test_what_means_nothing_is_not_noted(client, more):
    assert ask(client, MESSAGES, BUILD[client](HI, **more))[1] == ""


def test_marks_for_anthropics_cache_are_left_out_silently():
    block = {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}
    told, notes = ask(MESSAGES, CHAT, messages(user([block]), system=[block]))
    assert "cache_control" not in str(told)
    assert not notes


def test_what_stays_the_same_is_marked_for_anthropics_cache():
    tools = [{"type": "function", "function": {"name": n, "parameters": WEATHER}} for n in "ab"]
    said = [
        {"role": "system", "content": "s"},
        HI,
        {"role": "assistant", "content": "ho"},
        HI,
        {"role": "assistant", "content": "x"},
        HI,
    ]
    told, _ = ask(CHAT, MESSAGES, chat(*said, tools=tools))
    marked = ["cache_control" in message["content"][-1] for message in told["messages"]]
    assert marked == [False, False, True, False, True]
    assert "cache_control" in told["tools"][1]
    assert "cache_control" in told["system"][-1]
    assert json.dumps(told).count("cache_control") == 4  # Anthropic takes no more


# -- structured output -----------------------------------------------------------------------------------------

LOOSE = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}
STRICT = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}


def test_a_schema_of_an_answer_in_each_dialect():
    body = messages(HI, output_config={"format": {"type": "json_schema", "schema": STRICT}})
    wanted = {"name": "answer", "schema": STRICT, "strict": True}
    assert ask(MESSAGES, CHAT, body)[0]["response_format"] == {"type": "json_schema", "json_schema": wanted}
    assert ask(MESSAGES, RESPONSES, body)[0]["text"]["format"] == {"type": "json_schema", **wanted}
    told, _ = ask(CHAT, MESSAGES, chat(HI, response_format={"type": "json_schema", "json_schema": wanted}))
    assert told["output_config"] == {"format": {"type": "json_schema", "schema": STRICT}}
    told, _ = ask(RESPONSES, MESSAGES, responses(HI, text={"format": {"type": "json_schema", **wanted}}))
    assert told["output_config"] == {"format": {"type": "json_schema", "schema": STRICT}}


def test_a_schema_that_openai_would_refuse_as_strict_is_none():
    body = messages(HI, output_config={"format": {"type": "json_schema", "schema": LOOSE}})
    assert ask(MESSAGES, CHAT, body)[0]["response_format"]["json_schema"]["strict"] is False


def test_a_schema_is_closed_and_without_bounds_for_anthropic():
    inner = {"type": "array", "items": LOOSE, "minItems": 3}
    wanted = {"name": "a", "schema": {"type": "object", "properties": {"maximum": inner}, "$defs": {"x": LOOSE}}}
    told, _ = ask(CHAT, MESSAGES, chat(HI, response_format={"type": "json_schema", "json_schema": wanted}))
    closed = {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": False}
    assert told["output_config"]["format"]["schema"] == {
        "type": "object", "properties": {"maximum": {"type": "array", "items": closed}}, "$defs": {"x": closed},
        "additionalProperties": False,
    }  # fmt: skip


def test_strictness_is_kept_between_openais_two():
    wanted = {"name": "a", "schema": LOOSE, "strict": False}
    told, _ = ask(RESPONSES, CHAT, responses(HI, text={"format": {"type": "json_schema", **wanted}}))
    assert told["response_format"]["json_schema"] == wanted


def test_older_models_are_asked_for_a_schema_in_words():
    wanted = {"name": "a", "schema": STRICT}
    body = chat(HI, response_format={"type": "json_schema", "json_schema": wanted})
    told, notes = ask(CHAT, MESSAGES, body, "claude-3-haiku-20240307")
    assert "output_config" not in told
    assert '"integer"' in told["system"][-1]["text"]
    assert "response_format" in notes


def test_any_json_is_asked_for_in_words_of_anthropic_and_as_such_of_openai():
    body = chat(HI, response_format={"type": "json_object"})
    told, notes = ask(CHAT, MESSAGES, body)
    assert "JSON" in told["system"][-1]["text"]
    assert "response_format" in notes
    assert ask(CHAT, RESPONSES, body)[0]["text"] == {"format": {"type": "json_object"}}


def test_a_schema_beside_thinking_and_effort():
    wanted = {"name": "a", "schema": STRICT}
    body = chat(HI, reasoning_effort="low", response_format={"type": "json_schema", "json_schema": wanted})
    told, _ = ask(CHAT, MESSAGES, body, "claude-opus-4-8")
    assert set(told["output_config"]) == {"format", "effort"}


# -- who asks, and streams -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "user_id",
    [
        f"user_abc_account_def_session_{SESSION}",
        json.dumps({"device_id": "d", "session_id": SESSION, "account": "a" * 80}),
    ],
)
def test_the_session_is_not_lost_on_its_way_to_openai(user_id):
    body = messages(HI, metadata={"user_id": user_id})
    assert ask(MESSAGES, RESPONSES, body)[0]["prompt_cache_key"] == SESSION
    assert ask(MESSAGES, CHAT, body)[0]["prompt_cache_key"] == SESSION
    # Other servers may refuse what they do not know.
    assert "prompt_cache_key" not in ask(MESSAGES, CHAT, body, "qwen3-coder")[0]


def test_the_session_is_not_lost_on_its_way_to_anthropic():
    told, _ = ask(RESPONSES, MESSAGES, responses(HI, prompt_cache_key=SESSION))
    assert told["metadata"] == {"user_id": f"session_{SESSION}"}
    assert ask(CHAT, MESSAGES, chat(HI, user="u1"))[0]["metadata"] == {"user_id": "u1"}


@pytest.mark.parametrize(("client", "provider"), [(CHAT, RESPONSES), (RESPONSES, CHAT)])
def test_what_both_of_openais_have_is_kept(client, provider):
    both = {
        "service_tier": "flex",
        "metadata": {"a": "b"},
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "user": "u",
    }
    told, notes = ask(client, provider, BUILD[client](HI, **both))
    assert {name: told[name] for name in both} == both
    assert not notes


def test_verbosity_is_kept_between_openais_two():
    assert ask(CHAT, RESPONSES, chat(HI, verbosity="low"))[0]["text"] == {"verbosity": "low"}
    assert ask(RESPONSES, CHAT, responses(HI, text={"verbosity": "low"}))[0]["verbosity"] == "low"


@pytest.mark.parametrize(("client", "provider"), DIRECTIONS)
def test_a_stream_stays_one_and_chat_is_asked_for_usage(client, provider):
    result = translated(client, provider, BUILD[client](HI, stream=True))
    told = json.loads(result.body)
    assert result.context.is_streaming
    assert told["stream"] is True
    assert (told.get("stream_options") == {"include_usage": True}) == (provider == CHAT)
    assert not translated(client, provider, BUILD[client](HI)).context.is_streaming


def test_the_context_knows_whether_a_client_wants_usage():
    body = chat(HI, stream=True, stream_options={"include_usage": True})
    assert translated(CHAT, MESSAGES, body).context.include_usage
    assert not translated(CHAT, MESSAGES, chat(HI, stream=True)).context.include_usage


def test_the_context_keeps_the_settings_and_not_the_conversation():
    result = translated(RESPONSES, MESSAGES, responses(HI, instructions="i"))
    assert result.context.request == {"model": "m", "instructions": "i"}
    assert result.path == "/v1/messages"


def test_a_stream_of_anthropics_has_its_input_estimated():
    assert translated(MESSAGES, CHAT, messages(user("word " * 100), stream=True)).context.estimated_input > 50
