"""Answers in shapes that the vendors' own servers do not give, or seldom."""

import json

import pytest

from routing.translation.answers import StreamTranslator, WrongDialect, translate_answer
from routing.translation.context import CHAT, MESSAGES, RESPONSES, Context
from routing.translation.sealed import seal

PARTS = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "Let me "}, {"type": "text", "text": "see."}], "closed": True},
    {"type": "text", "text": "Nine."},
    {"type": "reference", "reference_ids": [1]},
]  # fmt: skip


def streamed(client: str, provider: str, *events: dict | bytes) -> list[dict]:
    """The events that a client gets."""
    translator = StreamTranslator(Context(client, provider, "m"), 0)
    data = b"".join(b"data: %b\n\n" % (e if isinstance(e, bytes) else json.dumps(e).encode()) for e in events)
    out = translator.feed(data) + translator.close(broken=False)
    lines = [line[6:] for line in out.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


# A signature that is none of Anthropic's, so that it never reaches it.
SIGNED = seal({"from": CHAT})


def chunk(delta: dict, reason: str | None = None) -> dict:
    return {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


def completion(message: dict, reason: str = "stop") -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}
    return json.dumps({"id": "c1", "model": "m", "choices": [choice]}).encode()


def whole(client: str, provider: str, body: bytes) -> dict:
    return json.loads(translate_answer(Context(client, provider, "m"), body))


def test_content_in_parts_is_read_from_json():
    content = whole(MESSAGES, CHAT, completion({"content": PARTS}))["content"]
    assert content == [
        {"type": "thinking", "thinking": "Let me see.", "signature": SIGNED},
        {"type": "text", "text": "Nine."},
    ]


def test_content_in_parts_is_read_from_a_stream():
    events = streamed(
        MESSAGES, CHAT, chunk({"content": PARTS[:1]}), chunk({"content": PARTS[1:]}), chunk({}, "stop"), b"[DONE]"
    )
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    assert deltas == [
        {"type": "thinking_delta", "thinking": "Let me see."},
        {"type": "signature_delta", "signature": SIGNED},
        {"type": "text_delta", "text": "Nine."},
    ]


@pytest.mark.parametrize("content", [[None, 7, {}], [{"type": "text", "text": None}], {"type": "text"}, 7, True])
def test_content_that_is_neither_text_nor_parts_is_left_out(content):
    assert whole(MESSAGES, CHAT, completion({"content": content}))["content"] == []
    events = streamed(MESSAGES, CHAT, chunk({"content": content}), chunk({}, "stop"), b"[DONE]")
    assert [event["type"] for event in events] == ["message_start", "message_delta", "message_stop"]


@pytest.mark.parametrize("reason", ["error", "abort", "insufficient_system_resource"])
def test_an_answer_that_a_server_gave_up_is_not_complete(reason):
    events = streamed(MESSAGES, CHAT, chunk({"content": "Ni"}), chunk({}, reason), b"[DONE]")
    assert events[-1]["type"] == "error"
    with pytest.raises(WrongDialect):
        whole(MESSAGES, CHAT, completion({"content": "Ni"}, reason))


def test_the_end_of_a_models_context_is_a_limit_of_length():
    assert whole(MESSAGES, CHAT, completion({"content": "Ni"}, "model_length"))["stop_reason"] == "max_tokens"


def test_a_summary_and_the_thoughts_themselves_are_told_apart_in_a_stream_as_in_json():
    item = {
        "id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "In short."}],
        "content": [{"type": "reasoning_text", "text": "At length."}],
    }  # fmt: skip
    response = {"id": "resp_1", "model": "m", "status": "completed", "output": [item]}
    place = {"output_index": 0, "item_id": "rs_1"}
    events = streamed(
        CHAT, RESPONSES,
        {"type": "response.created", "response": {"id": "resp_1", "model": "m"}},
        {"type": "response.output_item.added", **place, "item": {**item, "summary": [], "content": []}},
        {"type": "response.reasoning_summary_text.delta", **place, "summary_index": 0, "delta": "In short."},
        {"type": "response.reasoning_text.delta", **place, "content_index": 0, "delta": "At "},
        {"type": "response.reasoning_text.delta", **place, "content_index": 0, "delta": "length."},
        {"type": "response.output_item.done", **place, "item": item},
        {"type": "response.completed", "response": response},
    )  # fmt: skip
    told = "".join(event["choices"][0]["delta"].get("reasoning_content", "") for event in events)
    message = whole(CHAT, RESPONSES, json.dumps(response).encode())["choices"][0]["message"]
    assert told == message["reasoning_content"] == "In short.\n\nAt length."
