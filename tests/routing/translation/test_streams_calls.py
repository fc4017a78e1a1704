"""Calls of tools in streams, translated piece by piece."""

import pytest

from routing.translation.answers import StreamTranslator
from routing.translation.context import CHAT, MESSAGES, RESPONSES
from tests.routing.translation.answers import (
    CREATED,
    DIRECTIONS,
    Answer,
    Call,
    call,
    calls_of,
    chunk,
    context,
    events_of,
    is_failed,
    json_of,
    of_chat,
    read_stream,
    sse,
    stream_of,
    streamed,
    translated,
)


def test_interleaved_calls_come_one_after_another():
    found = of_chat(
        call(0, '{"a"', "f", "c0"), call(1, '{"b"', "g", "c1"), call(0, ":1"), call(1, ":2"), call(0, "}"), call(1, "}"),
    )  # fmt: skip
    assert calls_of(found) == [("c0", "f", {"a": 1}), ("c1", "g", {"b": 2})]


def test_the_first_of_interleaved_calls_streams():
    translator = StreamTranslator(context(MESSAGES, CHAT), CREATED)
    for event in sse(call(0, '{"a', "f", "c0"), call(1, '{"b', "g", "c1")):
        translator.feed(event)
    assert b"going on" in translator.feed(sse(call(0, 'going on"'))[0])


def test_a_call_does_not_wait_for_the_end_of_one_that_is_complete():
    translator = StreamTranslator(context(MESSAGES, CHAT), CREATED)
    translator.feed(sse(call(0, '{"a":1}', "f", "c0"))[0])
    assert b'"c1"' in translator.feed(sse(call(1, "", "g", "c1"))[0])


def test_text_between_the_pieces_of_a_call_loses_nothing():
    found = of_chat(
        call(0, '{"a"', "f", "c0"), chunk({"content": "x"}), call(0, ":1}"), chunk({"content": "y"}),
        chunk({"reasoning_content": "why"}), chunk({"content": "z"}),
    )  # fmt: skip
    assert calls_of(found) == [("c0", "f", {"a": 1})]
    assert "".join(b["text"] for b in found["content"] if b["type"] == "text") == "xyz"


def test_calls_that_all_have_the_same_index_are_told_apart_by_their_ids():
    found = of_chat(call(0, '{"a":1}', "f", "c0"), call(0, '{"b":2}', "f", "c1"))
    assert calls_of(found) == [("c0", "f", {"a": 1}), ("c1", "f", {"b": 2})]


def test_a_call_without_an_index_is_one():
    assert calls_of(of_chat(call(None, '{"a":1}', "f", "c0"))) == [("c0", "f", {"a": 1})]


def test_a_server_may_repeat_name_and_id_or_make_up_an_id_for_each_piece():
    assert calls_of(of_chat(call(0, '{"a"', "f", "c0"), call(0, ":1}", "f", "c0"))) == [("c0", "f", {"a": 1})]
    assert calls_of(of_chat(call(0, '{"a"', "f", "c0"), call(0, ":1}", id="c9"))) == [("c0", "f", {"a": 1})]


def test_a_name_may_come_after_the_id_and_the_first_arguments():
    assert calls_of(of_chat(call(0, '{"a"', id="c0"), call(0, ":1", "f"), call(0, "}"))) == [("c0", "f", {"a": 1})]


def test_the_function_call_of_old_streams():
    pieces = [{"name": "f", "arguments": ""}, {"arguments": '{"a":'}, {"arguments": "1}"}]
    found = of_chat(*(chunk({"function_call": piece}) for piece in pieces), chunk({}, "function_call"))
    assert [(name, given) for _, name, given in calls_of(found)] == [("f", {"a": 1})]
    assert found["stop_reason"] == "tool_use"


def test_a_client_that_knows_functions_only_gets_one_function_call():
    answer = Answer(calls=[Call("c0", "f", '{"a":1}'), Call("c1", "g", "{}")], stop="tools")
    data = streamed(CHAT, MESSAGES, stream_of(MESSAGES, answer), request={"functions": [{"name": "f"}]})
    (choice,) = read_stream(CHAT, data)["choices"]
    assert choice["message"]["function_call"] == {"name": "f", "arguments": '{"a":1}'}
    assert choice["finish_reason"] == "function_call"
    assert "tool_calls" not in choice["message"]


@pytest.mark.parametrize("arguments", ["[1,2]", ' "x"', "words", "5"])
def test_arguments_that_are_no_object_are_made_one_for_anthropic(arguments):
    sent = [call(0, "", "f", "c0"), *(call(0, piece) for piece in arguments)]
    ((_, _, given),) = calls_of(of_chat(*sent))
    assert list(given) == ["input"]


def test_arguments_that_begin_with_blanks_stream():
    assert calls_of(of_chat(call(0, " \n", "f", "c0"), call(0, " {"), call(0, "}"))) == [("c0", "f", {})]


@pytest.mark.parametrize("client", [CHAT, RESPONSES])
def test_the_pieces_of_a_call_without_arguments_are_an_empty_object(client):
    events = stream_of(MESSAGES, Answer(calls=[Call("c", "f", "")]))
    data = streamed(client, MESSAGES, events)
    assert b'"delta":"{}"' in data if client == RESPONSES else b'"arguments":"{}"' in data


def test_a_call_without_an_id_has_the_same_one_as_in_json():
    answer = Answer(calls=[Call("", "f", "{}"), Call("", "g", "{}")])
    ids = [id for id, _, _ in calls_of(read_stream(MESSAGES, streamed(MESSAGES, CHAT, stream_of(CHAT, answer))))]
    assert ids == [block["id"] for block in translated(MESSAGES, CHAT, json_of(CHAT, answer))["content"]]
    assert len(set(ids)) == 2


def test_the_text_of_a_free_text_tool_streams():
    custom = context(RESPONSES, MESSAGES, custom_tools=frozenset({"patch"}))
    translator = StreamTranslator(custom, CREATED)
    events = stream_of(MESSAGES, Answer(calls=[Call("c", "patch", '{"input": "*** Begin\\n+\\u00e9"}')]), 4)
    found = [event for data in map(translator.feed, events) for event in events_of(data)]
    deltas = [event["delta"] for event in found if event["type"] == "response.custom_tool_call_input.delta"]
    assert len(deltas) > 3
    assert "".join(deltas) == "*** Begin\n+é"
    assert found[-1]["response"]["output"][0]["input"] == "*** Begin\n+é"


def test_a_free_text_tool_of_chat_streams():
    events = stream_of(MESSAGES, Answer(calls=[Call("c", "patch", '{"input": "a\\nb"}')]))
    data = streamed(CHAT, MESSAGES, events, custom_tools=frozenset({"patch"}))
    calls = [
        c
        for e in events_of(data)
        if isinstance(e, dict) and e["choices"]
        for c in e["choices"][0]["delta"].get("tool_calls", ())
    ]
    assert calls[0]["type"] == "custom"
    assert calls[0]["custom"]["name"] == "patch"
    assert "".join(c["custom"]["input"] for c in calls) == "a\nb"


@pytest.mark.parametrize(("client", "provider"), DIRECTIONS)
def test_a_tool_has_the_name_that_the_client_gave_it(client, provider):
    data = streamed(
        client, provider, stream_of(provider, Answer(calls=[Call("c", "a_b", "{}")])), tool_names={"a_b": "a.b"}
    )
    assert b'"a.b"' in data
    assert b'"a_b"' not in data


def test_many_calls_that_are_not_complete_take_time_by_their_number():
    translator = StreamTranslator(context(MESSAGES, CHAT), CREATED)
    translator.feed(b"".join(sse(call(0, '{"a":"%s' % ("x" * 1_000_000), "f", "c0"))))
    for n in range(1, 2000):
        translator.feed(b"".join(sse(call(n, '{"b', "g", f"c{n}"))))
    assert is_failed(MESSAGES, translator.close(broken=True))
