"""Redaction of recorded streams: values in any number of pieces, framing and everything else as it came."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pii.events import redact_messages, redact_stream
from pii.policy import Policy
from pii.redactor import Redactor
from sessions.dialects import response_parser
from tests.pii.test_redactor import EMAIL, MODES, SSN, redactor

DIALECTS = ("anthropic", "openai-chat", "openai-responses")


def cuts(text: str, seed: int) -> list[str]:
    """Cut a text anywhere, into pieces of 0 to 5 characters."""
    rng, out = random.Random(seed), []
    while text:
        size = rng.randint(0, 5)
        out.append(text[:size])
        text = text[size:]
    return out


def anthropic(text: str, arguments: str, seed: int = 0) -> list[dict]:
    events = [
        {"type": "message_start", "message": {"id": "msg_1", "model": "m", "content": [], "usage": {"input_tokens": 3}}}
    ]
    blocks = [
        ({"type": "thinking", "thinking": "", "signature": ""}, "thinking_delta", "thinking", text),
        ({"type": "text", "text": ""}, "text_delta", "text", text),
        (
            {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}},
            "input_json_delta",
            "partial_json",
            arguments,
        ),
    ]
    deltas = []
    for index, (block, kind, name, whole) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        deltas.append(
            [
                {"type": "content_block_delta", "index": index, "delta": {"type": kind, name: p}}
                for p in cuts(whole, seed + index)
            ]
        )
    # Blocks that come at once, as parallel calls may.
    for at in range(max(map(len, deltas))):
        events += [stream[at] for stream in deltas if at < len(stream)]
    events.append(
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "c2ln" * 30}}
    )
    return [
        *events,
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 7}},
        {"type": "message_stop"},
    ]


def chat(text: str, arguments: str, seed: int = 0) -> list[dict]:
    def event(delta, index=0):
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "choices": [{"index": index, "delta": delta, "finish_reason": None}],
        }

    events = [event({"role": "assistant", "content": ""})]
    events += [event({"reasoning_content": piece}) for piece in cuts(text, seed)]
    events += [event({"content": piece}) for piece in cuts(text, seed + 1)]
    events.append(
        event(
            {
                "tool_calls": [
                    {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}
                ]
            }
        )
    )
    for piece in cuts(arguments, seed + 2):
        events.append(event({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}))
    return [*events, {"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}]


def responses(text: str, arguments: str, seed: int = 0) -> list[dict]:
    events = [{"type": "response.created", "response": {"id": "resp_1", "model": "m", "output": []}}]
    kinds = (
        ("response.reasoning_summary_text.delta", {"summary_index": 0}, text),
        ("response.output_text.delta", {"content_index": 0}, text),
        ("response.function_call_arguments.delta", {}, arguments),
    )
    for index, (kind, part, whole) in enumerate(kinds):
        head = {"type": kind, "item_id": f"item_{index}", "output_index": index, **part}
        events += [{**head, "delta": piece, "sequence_number": n} for n, piece in enumerate(cuts(whole, seed + index))]
    events.append({"type": "response.output_text.done", "output_index": 1, "content_index": 0, "text": text})
    output = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": text}]},
        {"type": "message", "content": [{"type": "output_text", "text": text}]},
        {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": arguments},
    ]
    return [
        *events,
        {
            "type": "response.completed",
            "response": {"id": "resp_1", "model": "m", "status": "completed", "output": output},
        },
    ]


STREAMS = {"anthropic": anthropic, "openai-chat": chat, "openai-responses": responses}


def framed(events: list[dict], end: str = "\n", space: str = " ") -> bytes:
    out = [f": hello{end}{end}"]
    for event in events:
        name = f"event: {event['type']}{end}" if "type" in event else ""
        out.append(f"{name}data:{space}{json.dumps(event)}{end}{end}")
    return "".join(out).encode() + f"data: [DONE]{end}{end}".encode()


def blocks(dialect: str, raw: bytes) -> list[tuple[str, str]]:
    """What a stream says, as the record reads it."""
    parser = response_parser(dialect, "text/event-stream", 200)
    parser.feed(raw)
    return [(block.kind, block.text) for block in parser.finish().blocks]


@pytest.mark.parametrize("dialect", DIALECTS)
@given(st.integers(0, 10_000), st.sampled_from(MODES), st.sampled_from(["\n", "\r\n", "\r"]))
def test_values_are_found_over_any_number_of_pieces(dialect, seed, mode, end):
    made = redactor(mode)
    text = f'Dear {EMAIL}, "é\U0001f600" {SSN}\nand {EMAIL}'
    arguments = json.dumps({"to": [EMAIL], EMAIL: f'x\n"{SSN}"', "inner": json.dumps({"é": EMAIL})})
    raw = framed(STREAMS[dialect](text, arguments, seed), end)
    redacted = redact_stream(made, dialect, raw)
    assert EMAIL.encode() not in redacted
    assert SSN.encode() not in redacted
    said = blocks(dialect, redacted)
    assert [b[0] for b in said] == ["thinking", "text", "tool_call"]
    assert said[0][1] == said[1][1] == made.text(text)
    assert json.loads(said[2][1]) == json.loads(made.json(arguments.encode()))
    assert redact_stream(made, dialect, redacted) == redacted


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_stream_without_values_is_the_same_object(dialect, end):
    raw = framed(STREAMS[dialect]("nothing é", '{"a": 1}'), end, "")
    assert redact_stream(redactor(), dialect, raw) is raw
    raw = raw[:-9]
    assert redact_stream(redactor(), dialect, raw) is raw


def test_events_without_values_and_framing_stay_byte_for_byte():
    raw = (
        b"\xef\xbb\xbfevent: ping\r\ndata: {\"type\" : \"ping\", \"x\":1e400}\r\n\r\n: comment\r\nid: 5\r\n\r\n"
        b'event: content_block_delta\ndata:{"type":"content_block_delta", "index":0,\ndata: "delta":{"type":"text_delta","text":"\\u0061\\/ john.doe@"}}\n\n'
        b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"example.com, \\u0062"}}\n\ndata: not JSON\n\ndata: [DONE]'
    )  # fmt: skip
    after = raw.replace(b"john.doe@", b"[EMAIL]").replace(b"example.com", b"")
    assert redact_stream(redactor(), "anthropic", raw) == after


def test_what_is_no_piece_of_a_text_is_redacted_too():
    raw = f'data: {{"type":"error","error":{{"message":"no {EMAIL}"}}}}\n\nid: {SSN}\n: {EMAIL}\n\ndata: {EMAIL} is no JSON\n\n'.encode()
    redacted = redact_stream(redactor(), "anthropic", raw)
    assert redacted == raw.replace(EMAIL.encode(), b"[EMAIL]").replace(SSN.encode(), b"[SSN]")


def test_what_stands_behind_a_piece_is_redacted_where_it_stands():
    message = '{"type":"completion","completion":"hello you","stop":"x@y.org","log_id":"z"}'
    assert redact_messages(redactor(), "anthropic", [message]) == [message.replace("x@y.org", "[EMAIL]")]


def test_a_value_that_the_end_of_a_broken_stream_completes_is_found():
    raw = (
        b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"no 123-45"}}\n\n'
        b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"-6789 is'
    )
    assert redact_stream(redactor(), "anthropic", raw) == raw.replace(b"123-45", b"[SSN]").replace(b"-6789", b"")


def test_several_answers_and_calls_in_one_message_are_kept_apart():
    def event(*texts):
        choices = [
            {"index": n, "delta": {"content": text, "tool_calls": [{"index": 0, "function": {"arguments": text}}]}}
            for n, text in enumerate(texts)
        ]
        return json.dumps({"choices": choices, "logprobs": {"content": None}})

    messages = [event("123-", "123-"), event("45-", "xx"), event("6789", "45-6789")]
    assert redact_messages(redactor(), "openai-chat", messages) == [
        event("[SSN]", "123-"),
        event("", "xx"),
        event("", "45-6789"),
    ]


def test_halves_of_a_character_in_two_pieces_stay():
    messages = [
        '{"choices":[{"index":0,"delta":{"content":"\\ud83d"}}]}',
        '{"choices":[{"index":0,"delta":{"content":"\\ude00 john.doe@exam"}}]}',
        '{"choices":[{"index":0,"delta":{"content":"ple.com"}}]}',
    ]
    redacted = redact_messages(redactor(), "openai-chat", messages)
    assert redacted == [
        messages[0],
        messages[1].replace("john.doe@exam", "[EMAIL]"),
        messages[2].replace("ple.com", ""),
    ]


def test_a_message_in_which_a_piece_has_no_certain_place_is_withheld():
    messages = [
        '{"choices":[{"index":0,"delta":{"content":"123-"}}]}',
        '{"choices":[{"index":0,"delta":{"content":"x","content":"45-6789"}}]}',
    ]
    redacted = redact_messages(redactor(), "openai-chat", messages)
    assert redacted == [messages[0].replace("123-", "[SSN]"), '"[REDACTION FAILED]"']


def test_signatures_and_encrypted_content_are_left_alone():
    sealed = "Zm9v" * 40 + "123-45-6789".replace("-", "+")
    raw = framed([
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": sealed}},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "redacted_thinking", "data": sealed}},
        {"type": "response.output_item.done", "item": {"type": "reasoning", "encrypted_content": sealed}},
    ])  # fmt: skip
    assert redact_stream(Redactor(Policy()), "anthropic", raw) is raw


def test_an_answer_that_is_no_stream_is_redacted_as_json():
    raw = json.dumps({"content": [{"type": "text", "text": EMAIL}]}).encode()
    assert redact_stream(redactor(), "anthropic", raw) == raw.replace(EMAIL.encode(), b"[EMAIL]")
    assert redact_stream(redactor(), "anthropic", b"") == b""
