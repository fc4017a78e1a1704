"""Streams, translated event by event."""

import json

import pytest

from routing.translation.answers import StreamTranslator
from routing.translation.context import CHAT, MESSAGES, RESPONSES
from routing.translation.sealed import unseal
from tests.routing.translation.answers import (
    CREATED,
    DIRECTIONS,
    DONE,
    Answer,
    Call,
    call,
    chunk,
    context,
    events_of,
    is_complete,
    is_failed,
    of_chat,
    read_stream,
    sse,
    stream_of,
    streamed,
)


def types_of(data: bytes) -> list[str]:
    return [event["type"] for event in events_of(data) if isinstance(event, dict)]


# What goes out when


@pytest.mark.parametrize(("client", "provider"), DIRECTIONS)
def test_a_piece_goes_out_with_the_bytes_that_bring_it(client, provider):
    translator = StreamTranslator(context(client, provider), CREATED)
    out = [translator.feed(event) for event in stream_of(provider, Answer("one-two-six"), 4)]
    at = [next(n for n, data in enumerate(out) if piece in data) for piece in (b'"one-', b'"two-', b'"six"')]
    assert at == [at[0], at[0] + 1, at[0] + 2]


@pytest.mark.parametrize(("client", "provider"), DIRECTIONS)
def test_nothing_comes_after_the_end(client, provider):
    translator = StreamTranslator(context(client, provider), CREATED)
    for event in stream_of(provider, Answer("text")):
        translator.feed(event)
    assert translator.feed(b"".join(stream_of(provider, Answer("text")))) == b""
    assert translator.close(broken=True) == b""


def test_events_of_anthropic_are_in_the_order_of_its_own():
    found = types_of(streamed(MESSAGES, CHAT, stream_of(CHAT, Answer("t", "why", "", [Call("c", "f", "{}")]))))
    block = ["content_block_start", "content_block_delta", "content_block_stop"]
    thought = ["content_block_start", *["content_block_delta"] * 2, "content_block_stop"]  # its text, its signature
    assert found == ["message_start", *thought, *block, *block, "message_delta", "message_stop"]


def test_events_of_responses_are_in_the_order_of_its_own():
    data = streamed(
        RESPONSES, MESSAGES, stream_of(MESSAGES, Answer("t", "w", "own", [Call("c", "f", "{}")], "tools"), 9)
    )
    assert [name.removeprefix("response.") for name in types_of(data)] == [
        "created", "in_progress", "output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta",
        "reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done", "output_item.added",
        "content_part.added", "output_text.delta", "output_text.done", "content_part.done", "output_item.done",
        "output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done", "completed",
    ]  # fmt: skip
    assert [event["sequence_number"] for event in events_of(data)] == list(range(19))


def test_usage_of_chat_comes_only_where_it_is_asked_for():
    events = stream_of(MESSAGES, Answer("t"))
    asked = [e for e in events_of(streamed(CHAT, MESSAGES, events)) if isinstance(e, dict) and "usage" in e]
    assert [(e["choices"], e["usage"]["prompt_tokens"]) for e in asked] == [([], 20)]
    assert b'"usage"' not in streamed(CHAT, MESSAGES, events, include_usage=False)


def test_a_client_of_anthropic_is_told_an_estimate_first_and_the_tokens_last():
    events = events_of(streamed(MESSAGES, CHAT, stream_of(CHAT, Answer("t")), estimated_input=99))
    assert events[0]["message"]["usage"]["input_tokens"] == 99
    assert events[-2]["usage"] == {
        "input_tokens": 15,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 5,
        "output_tokens": 7,
    }


def test_usage_that_never_comes_is_not_made_up():
    sent = [*sse(chunk({"content": "x"}), chunk({}, "stop")), DONE]
    assert read_stream(MESSAGES, streamed(MESSAGES, CHAT, sent, estimated_input=99))["usage"]["input_tokens"] == 99
    assert "usage" not in read_stream(RESPONSES, streamed(RESPONSES, CHAT, sent))


@pytest.mark.parametrize(("client", "provider"), DIRECTIONS)
def test_a_comment_keeps_the_connection_of_the_client_alive(client, provider):
    translator = StreamTranslator(context(client, provider), CREATED)
    expected = b'event: ping\ndata: {"type":"ping"}\n\n' if client == MESSAGES else b": keepalive\n\n"
    assert translator.feed(b": busy\n\n") == expected
    assert read_stream(client, expected + b"".join(map(translator.feed, stream_of(provider, Answer("t")))))


@pytest.mark.parametrize("client", [CHAT, RESPONSES])
def test_a_ping_of_anthropic_is_a_comment_for_others(client):
    assert (
        StreamTranslator(context(client, MESSAGES), 0).feed(b'event: ping\ndata: {"type": "ping"}\n\n')
        == b": keepalive\n\n"
    )


# What providers leave out


@pytest.mark.parametrize(("client", "provider"), DIRECTIONS)
def test_a_stream_may_lack_its_beginning(client, provider):
    events = [
        event
        for event in stream_of(provider, Answer("text"))
        if b"message_start" not in event and b".created" not in event
    ]
    assert "text" in json.dumps(read_stream(client, streamed(client, provider, events)))


def test_a_stream_begins_once():
    start = stream_of(MESSAGES, Answer("t"))[0]
    data = streamed(RESPONSES, MESSAGES, [start, *stream_of(MESSAGES, Answer("t"))])
    assert types_of(data).count("response.created") == 1


def test_a_block_of_text_may_lack_its_beginning_and_its_end():
    events = [event for event in stream_of(MESSAGES, Answer("text", "why")) if b"content_block_st" not in event]
    found = read_stream(CHAT, streamed(CHAT, MESSAGES, events))["choices"][0]["message"]
    assert (found["content"], found["reasoning_content"]) == ("text", "why")


def test_a_chat_stream_may_lack_its_last_word():
    data = streamed(MESSAGES, CHAT, stream_of(CHAT, Answer("text"))[:-1])
    assert read_stream(MESSAGES, data)["usage"]["output_tokens"] == 7
    assert is_complete(MESSAGES, data)


def test_a_chat_stream_whose_connection_broke_before_its_last_word_has_failed():
    data = streamed(MESSAGES, CHAT, stream_of(CHAT, Answer("text"))[:-1], broken=True)
    assert is_failed(MESSAGES, data)
    assert not is_complete(MESSAGES, data)


def test_a_chat_stream_may_lack_why_it_ended():
    assert of_chat(chunk({"content": "x"}))["stop_reason"] == "end_turn"
    assert of_chat(call(0, "{}", "f", "c"))["stop_reason"] == "tool_use"


def test_a_chat_stream_of_its_last_word_alone_has_failed():
    assert is_failed(MESSAGES, streamed(MESSAGES, CHAT, [DONE]))


@pytest.mark.parametrize(("client", "provider"), DIRECTIONS)
@pytest.mark.parametrize("sent", [b"", b"<html>\n\nhello\n\n", b'{"error": "x"}', b"data: hello\n\n"])
def test_a_stream_without_an_event_has_failed(client, provider, sent):
    data = streamed(client, provider, [sent])
    assert is_failed(client, data)
    assert not is_complete(client, data)


def test_an_event_that_cannot_be_read_is_not_left_out_of_an_answer():
    events = stream_of(CHAT, Answer("some text"))
    data = streamed(MESSAGES, CHAT, [*events[:3], b'data: {"choices": [{"del\n\n', *events[3:]])
    assert is_failed(MESSAGES, data)
    assert not is_complete(MESSAGES, data)


def test_half_a_character_does_not_end_a_stream():
    assert of_chat(chunk({"content": "a\ud83d"}), chunk({"content": "b"}))["content"][0]["text"] == "a?b"


@pytest.mark.parametrize("size", [1, 100])
@pytest.mark.parametrize(
    "left_out",
    [
        b".delta",
        b".delta text.done part.done arguments.done",
        b"item.added part.added",
        b".delta item.added",
        b"output_item response.output response.content response.reas response.func",
    ],
)
def test_what_responses_did_not_stream_comes_with_what_ends_it(left_out, size):
    answer = Answer("text", "why", "own", [Call("c", "f", '{"a":1}')])
    expected = read_stream(MESSAGES, streamed(MESSAGES, RESPONSES, stream_of(RESPONSES, answer)))
    events = [
        event
        for event in stream_of(RESPONSES, answer, size)
        if not any(name in event.split(b"\n")[0] for name in left_out.split())
    ]
    assert len(events) < len(stream_of(RESPONSES, answer, size))
    assert read_stream(MESSAGES, streamed(MESSAGES, RESPONSES, events)) == expected


# Thinking


def test_anthropics_signature_is_sealed_for_responses():
    data = streamed(RESPONSES, MESSAGES, stream_of(MESSAGES, Answer("t", "why", "c2ln")))
    item = read_stream(RESPONSES, data)["output"][0]
    assert item["summary"][0]["text"] == "why"
    assert unseal(item["encrypted_content"]) == {"signature": "c2ln"}


def test_redacted_thinking_is_sealed_for_responses_and_left_out_of_chat():
    block = {"type": "redacted_thinking", "data": "ZGF0YQ"}
    events = stream_of(MESSAGES, Answer("t"))
    events[1:1] = sse(
        {"type": "content_block_start", "index": 9, "content_block": block}, {"type": "content_block_stop", "index": 9}
    )
    item = read_stream(RESPONSES, streamed(RESPONSES, MESSAGES, events))["output"][0]
    assert unseal(item["encrypted_content"]) == {"redacted": "ZGF0YQ"}
    assert read_stream(CHAT, streamed(CHAT, MESSAGES, events))["choices"][0]["message"]["content"] == "t"


def test_encrypted_reasoning_without_words_is_a_signature_for_anthropic():
    block = read_stream(MESSAGES, streamed(MESSAGES, RESPONSES, stream_of(RESPONSES, Answer("t", "", "secret"))))[
        "content"
    ][0]
    assert (block["type"], block["thinking"]) == ("thinking", "")
    assert unseal(block["signature"]) == {"id": "rs_1", "encrypted_content": "secret"}


def test_parts_of_a_summary_are_paragraphs():
    place = {"output_index": 0, "item_id": "rs_1"}
    kind = "response.reasoning_summary_text.delta"
    events = stream_of(RESPONSES, Answer("t", "why"))
    events = [e for e in events if b"reasoning_summary" not in e]
    events[2:2] = sse(
        *({"type": kind, **place, "summary_index": n, "delta": text} for n, text in ((0, "a"), (0, "b"), (1, "c")))
    )
    found = read_stream(MESSAGES, streamed(MESSAGES, RESPONSES, events))
    assert found["content"][0]["thinking"] == "ab\n\nc"


def test_raw_reasoning_is_thinking():
    delta = {"type": "response.reasoning_text.delta", "output_index": 0, "content_index": 0, "delta": "raw"}
    events = stream_of(RESPONSES, Answer("", "", "own"))
    events[2:2] = sse(delta)
    assert read_stream(MESSAGES, streamed(MESSAGES, RESPONSES, events))["content"][0]["thinking"] == "raw"


# Refusals, and parts that the other side lacks


def test_a_refusal_is_text_and_the_reason_to_stop_at_anthropic():
    found = of_chat(chunk({"refusal": "I "}), chunk({"refusal": "won't."}), chunk({}, "stop"))
    assert [b["text"] for b in found["content"]] == ["I won't."]
    assert found["stop_reason"] == "refusal"


def test_a_refusal_is_one_in_both_dialects_of_openai():
    found = of_chat(chunk({"refusal": "I "}), chunk({"refusal": "won't."}), chunk({}, "stop"), client=RESPONSES)
    assert found["output"][0]["content"] == [{"type": "refusal", "refusal": "I won't."}]
    place = {"output_index": 0, "content_index": 0, "item_id": "m"}
    refused = sse(
        {"type": "response.refusal.delta", **place, "delta": "No."}, {"type": "response.completed", "response": {}}
    )
    assert read_stream(CHAT, streamed(CHAT, RESPONSES, refused))["choices"][0]["message"]["refusal"] == "No."


def test_two_parts_of_a_message_stay_two():
    parts = [{"type": "output_text", "text": text, "annotations": []} for text in ("one", "two")]
    item = {"id": "m", "type": "message", "role": "assistant", "content": parts}
    deltas = [
        {"type": "response.output_text.delta", "output_index": 0, "content_index": n, "delta": p["text"]}
        for n, p in enumerate(parts)
    ]
    end = {"type": "response.completed", "response": {"output": [item]}}
    found = streamed(
        MESSAGES, RESPONSES, sse(*deltas, {"type": "response.output_item.done", "output_index": 0, "item": item}, end)
    )
    assert [b["text"] for b in read_stream(MESSAGES, found)["content"]] == ["one", "two"]


def test_citations_and_tools_that_ran_at_anthropic_are_left_out():
    events = stream_of(MESSAGES, Answer("found"))
    ran = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    cited = {"type": "citations_delta", "citation": {"type": "char_location", "cited_text": "x"}}
    more = sse(
        {"type": "content_block_start", "index": 5, "content_block": ran},
        {"type": "content_block_delta", "index": 5, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
        {"type": "content_block_stop", "index": 5},
    )
    events = [
        events[0],
        *more,
        events[1],
        *sse({"type": "content_block_delta", "index": 0, "delta": cited}),
        *events[2:],
    ]
    found = read_stream(CHAT, streamed(CHAT, MESSAGES, events))["choices"][0]["message"]
    assert found["content"] == "found"
    assert "tool_calls" not in found


# Failures


ERRORS = {
    MESSAGES: {"type": "error", "error": {"type": "overloaded_error", "message": "too busy"}},
    CHAT: {"error": {"type": "server_error", "code": 529, "message": "too busy"}},
    RESPONSES: {
        "type": "response.failed",
        "response": {"error": {"code": "server_is_overloaded", "message": "too busy"}},
    },
}


@pytest.mark.parametrize(("client", "provider"), DIRECTIONS)
@pytest.mark.parametrize("before", [0, 3])
def test_a_failure_is_told_in_the_clients_dialect(client, provider, before):
    data = streamed(client, provider, [*stream_of(provider, Answer("some text"))[:before], *sse(ERRORS[provider])])
    assert not is_complete(client, data)
    last = events_of(data)[-1]
    error = last["response"]["error"] if client == RESPONSES else last["error"]
    assert error["message"] == "too busy"
    if client == MESSAGES:
        assert error["type"] == "overloaded_error"
    else:
        assert error["code"] == "server_is_overloaded"


def test_a_failure_before_anything_else_is_read_by_the_sdk_of_responses():
    found = read_stream(RESPONSES, streamed(RESPONSES, MESSAGES, sse(ERRORS[MESSAGES])))
    assert (found["status"], found["error"]["message"]) == ("failed", "too busy")


@pytest.mark.parametrize(
    "error",
    [{"type": "error", "code": "server_error", "message": "bad"}, {"type": "error", "error": {"message": "bad"}}],
)
def test_both_forms_of_an_error_event_of_responses_are_read(error):
    assert events_of(streamed(MESSAGES, RESPONSES, sse(error)))[-1]["error"]["message"] == "bad"


@pytest.mark.parametrize(
    "error", [{"error": "bad"}, {"object": "error", "message": "bad", "code": 400}, {"error": {"message": "bad"}}]
)
def test_errors_of_other_servers_of_chat_are_read(error):
    assert events_of(streamed(MESSAGES, CHAT, sse(error)))[-1]["error"]["message"] == "bad"


# Long answers


@pytest.mark.parametrize(("client", "provider"), DIRECTIONS)
def test_long_arguments_in_small_pieces_arrive_whole(client, provider):
    events = stream_of(provider, Answer(calls=[Call("c", "f", '{"a":"%s"}' % ("xy" * 2_000))]), 1)
    found = [e for e in events_of(streamed(client, provider, events)) if isinstance(e, dict)]
    told = {
        MESSAGES: lambda e: e.get("delta", {}).get("partial_json", ""),
        CHAT: lambda e: "".join(
            c["function"]["arguments"] for x in e["choices"] for c in x["delta"].get("tool_calls", ())
        ),
        RESPONSES: lambda e: e.get("delta", ""),
    }[client]
    assert "".join(map(told, found)) == '{"a":"%s"}' % ("xy" * 2_000)


@pytest.mark.parametrize(("client", "provider"), DIRECTIONS)
def test_a_long_text_in_one_event_in_small_pieces_takes_time_by_its_length(client, provider):
    data = b"".join(stream_of(provider, Answer("x" * 5_000_000), 5_000_000))
    assert is_complete(client, streamed(client, provider, (data[at : at + 1000] for at in range(0, len(data), 1000))))
