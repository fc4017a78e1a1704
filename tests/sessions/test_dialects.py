"""What requests and answers say, in any dialect, in any chunking."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions.dialects import dialect_of, kind_of, parse_request, response_parser
from sessions.dialects.sse import SseParser

SSE, JSON = "text/event-stream; charset=utf-8", "application/json"


def stream(*events: dict, named: bool = True) -> bytes:
    return b"".join(
        (b"event: " + e["type"].encode() + b"\n" if named else b"")
        + b"data: "
        + json.dumps(e, ensure_ascii=False).encode()
        + b"\n\n"
        for e in events
    )


ANTHROPIC = stream(
    {
        "type": "message_start",
        "message": {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": [], "stop_reason": None,
            "usage": {
                "input_tokens": 12, "cache_read_input_tokens": 1000, "cache_creation_input_tokens": 30, "output_tokens": 1,
                "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 10},
            },
        },
    },
    {"type": "ping"},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm… 思"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "c2ln"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Grüße "}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "🌙"}},
    {"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {}}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": '{"file_path": "/a'}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": '.py"}'}},
    {"type": "something_new", "x": 1},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 99}},
    {"type": "message_stop"},
)  # fmt: skip
CHUNK = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-5", "type": ""}
CHAT = (
    stream(
        {**CHUNK, "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]},
        {**CHUNK, "choices": [{"index": 0, "delta": {"reasoning_content": "Hm… 思"}}]},
        {**CHUNK, "choices": [{"index": 0, "delta": {"content": "Grüße 🌙"}}]},
        {**CHUNK, "choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "Read", "arguments": ""}}]}}]},
        {**CHUNK, "choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": '{"file_path": "/a.py"}'}}]}}]},
        {**CHUNK, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
        {
            **CHUNK, "choices": [],
            "usage": {
                "prompt_tokens": 1042, "completion_tokens": 114, "prompt_tokens_details": {"cached_tokens": 1000, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 15},
            },
        },
        named=False,
    )
    + b"data: [DONE]\n\n"
)  # fmt: skip
ITEMS = [
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm… 思"}]},
    {"type": "message", "id": "m_1", "role": "assistant", "content": [{"type": "output_text", "text": "Grüße 🌙"}]},
    {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "Read", "arguments": '{"file_path": "/a.py"}'},
]
RESPONSE = {
    "id": "resp_1", "object": "response", "model": "gpt-5", "status": "completed", "output": ITEMS, "incomplete_details": None,
    "usage": {
        "input_tokens": 1042, "input_tokens_details": {"cached_tokens": 1000}, "output_tokens": 114,
        "output_tokens_details": {"reasoning_tokens": 15},
    },
}  # fmt: skip
RESPONSES = stream(
    {"type": "response.created", "response": {**RESPONSE, "status": "in_progress", "output": [], "usage": None}},
    {"type": "response.output_item.added", "output_index": 1, "item": {**ITEMS[1], "content": []}},
    {"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "Grüße "},
    {"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "🌙"},
    {"type": "response.completed", "response": RESPONSE},
)
STREAMS = [("anthropic", ANTHROPIC), ("openai-chat", CHAT), ("openai-responses", RESPONSES)]


def facts_of(dialect: str, data: bytes, content_type: str = SSE, status: int = 200, step: int = 0):
    parser = response_parser(dialect, content_type, status)
    for at in range(0, len(data), step or len(data) or 1):
        parser.feed(data[at : at + (step or len(data))])
    return parser.finish()


@pytest.mark.parametrize(("dialect", "data"), STREAMS)
@pytest.mark.parametrize("step", [0, 1, 7])
def test_a_stream_says_the_same_in_any_chunking(dialect, data, step):
    facts = facts_of(dialect, data, step=step)
    assert facts.text == "Grüße 🌙"
    assert facts.thinking_text == "Hm… 思"
    assert [(c.name, json.loads(c.arguments)) for c in facts.tool_calls] == [("Read", {"file_path": "/a.py"})]
    assert facts.complete
    assert not facts.error
    assert facts.finish_reason in ("tool_use", "tool_calls", "completed")


@given(st.sampled_from(STREAMS), st.lists(st.integers(1, 400), max_size=30))
def test_a_stream_cut_anywhere_says_the_same(given_stream, cuts):
    dialect, data = given_stream
    parser, at = response_parser(dialect, SSE, 200), 0
    for cut in [*cuts, len(data)]:
        parser.feed(data[at : at + cut])
        at += cut
        parser.finish()  # asking in between changes nothing
    assert parser.finish() == facts_of(dialect, data)


def test_usage_classes_do_not_overlap():
    usage = facts_of("anthropic", ANTHROPIC).usage
    assert (usage.input, usage.cache_read, usage.cache_creation_5m, usage.cache_creation_1h, usage.output) == (
        12,
        1000,
        20,
        10,
        99,
    )
    assert usage.total == 1141
    for dialect, data in STREAMS[1:]:
        usage = facts_of(dialect, data).usage
        assert (usage.input, usage.cache_read, usage.output, usage.thinking, usage.total) == (42, 1000, 99, 15, 1156)


@pytest.mark.parametrize(("dialect", "data"), STREAMS)
def test_the_assembled_answer_reads_like_the_stream(dialect, data):
    streamed = facts_of(dialect, data)
    whole = facts_of(dialect, json.dumps(streamed.content).encode(), JSON)
    assert (whole.text, whole.tool_calls, whole.usage, whole.finish_reason) == (
        streamed.text, streamed.tool_calls, streamed.usage, streamed.finish_reason,
    )  # fmt: skip


@pytest.mark.parametrize(("dialect", "data"), STREAMS)
def test_half_a_stream_is_half_an_answer(dialect, data):
    cut = data[: data.index("🌙".encode()) + 2]  # in the middle of a character
    facts = facts_of(dialect, cut)
    assert not facts.complete
    assert not facts.error


@given(
    st.sampled_from(["anthropic", "openai-chat", "openai-responses", ""]),
    st.binary(max_size=300),
    st.sampled_from([SSE, JSON, ""]),
)
def test_nothing_raises_whatever_comes(dialect, data, content_type):
    facts_of(dialect, data, content_type)
    facts_of(dialect, b"data: " + data + b"\n\n", content_type)
    parse_request(dialect, "model", data)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["type", "message", "content", "delta", "index", "usage", "choices", "item", "output", "input", "messages", "role",
                         "tool_calls", "function", "text", "system", "response", "error", "metadata"]),
        inner, max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip


@given(st.sampled_from(["anthropic", "openai-chat", "openai-responses"]), anything)
def test_json_of_any_shape_is_read_as_far_as_it_makes_sense(dialect, value):
    data = json.dumps(value).encode()
    facts_of(dialect, data, JSON)
    facts_of(dialect, b"data: " + data + b"\n\n")
    parse_request(dialect, "model", data)


def test_broken_arguments_of_a_tool_stay_what_they_are():
    data = ANTHROPIC.replace(rb".py\"}", rb".py")
    facts = facts_of("anthropic", data)
    assert facts.tool_calls[0].arguments == '{"file_path": "/a.py'
    assert facts.complete


def test_ten_thousand_deltas_are_put_together():
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "word "}}
    start = {"type": "message_start", "message": {"id": "m", "model": "x", "usage": {"input_tokens": 1}}}
    facts = facts_of("anthropic", stream(start, *[delta] * 10_000, {"type": "message_stop"}), step=1000)
    assert facts.text == "word " * 10_000


def test_errors_in_a_body_and_in_a_stream():
    body = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
    assert facts_of("anthropic", body, JSON, 529).error == "overloaded_error: Overloaded"
    assert facts_of("anthropic", b"event: error\ndata: " + body + b"\n\n").error == "overloaded_error: Overloaded"
    body = b'{"error":{"message":"no","type":"invalid_request_error","param":null,"code":"bad"}}'
    assert facts_of("openai-chat", body, JSON, 400).error == "invalid_request_error: no"
    failed = {
        "type": "response.failed",
        "response": {"id": "r", "status": "failed", "error": {"code": "server_error", "message": "x"}},
    }
    assert facts_of("openai-responses", stream(failed)).error == "server_error: x"


def test_refusals_are_seen():
    assert facts_of("anthropic", b'{"content":[],"stop_reason":"refusal"}', JSON).has_refusal
    refusal = b'{"choices":[{"message":{"refusal":"No."},"finish_reason":"stop"}]}'
    assert facts_of("openai-chat", refusal, JSON).has_refusal
    part = b'{"output":[{"type":"message","content":[{"type":"refusal","refusal":"No."}]}]}'
    assert facts_of("openai-responses", part, JSON).has_refusal


def test_an_anthropic_request():
    body = {
        "model": "m", "stream": True, "system": [{"type": "text", "text": "be"}, {"type": "text", "text": "kind"}], "tools": [{}, {}],
        "messages": [
            {"role": "user", "content": "<system-reminder>x</system-reminder>first words"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "Bash", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t1", "is_error": True, "content": [{"type": "text", "text": "oops"}]},
                {"type": "text", "text": "last words"},
            ]},
        ],
    }  # fmt: skip
    facts = parse_request("anthropic", "model", json.dumps(body).encode())
    assert (facts.first_user_text, facts.user_text, facts.system) == ("first words", "last words", "be\n\nkind")
    assert (facts.message_count, facts.tool_count, facts.is_streaming) == (3, 2, True)
    assert [(r.id, r.text, r.is_error) for r in facts.tool_results] == [("t1", "oops", True)]


def test_a_responses_request_of_codex():
    body = {
        "type": "response.create", "model": "m", "instructions": "be", "previous_response_id": "resp_0",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "<environment_context>x</environment_context>"}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "do it"}]},
            {"type": "function_call", "call_id": "c1", "name": "shell", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": '{"output":"bad","metadata":{"exit_code":2}}'},
        ],
    }  # fmt: skip
    facts = parse_request("openai-responses", "model", json.dumps(body).encode())
    assert (facts.user_text, facts.system, facts.previous_response_id) == ("do it", "be", "resp_0")
    assert [(r.id, r.text, r.is_error) for r in facts.tool_results] == [("c1", "bad", True)]


@pytest.mark.parametrize(
    ("method", "path", "dialect", "kind"),
    [
        ("POST", "/v1/messages", "anthropic", "model"),
        ("POST", "/v1/messages/count_tokens", "anthropic", "count_tokens"),
        ("POST", "/v1/messages/batches", "", "batches"),
        ("POST", "/v1/chat/completions", "openai-chat", "model"),
        ("POST", "/responses", "openai-responses", "model"),
        ("GET", "/v1/responses/resp_1", "openai-responses", "other"),
        ("GET", "/v1/models", "", "models"),
        ("POST", "/v1/embeddings", "", "embeddings"),
        ("GET", "/nowhere", "", "other"),
    ],
)
def test_what_a_request_is(method, path, dialect, kind):
    assert (dialect_of("any", method, path), kind_of(method, path)) == (dialect, kind)


@given(
    st.lists(st.sampled_from([b"data: a", b"data:b", b"data", b"event: e", b": note", b"id: 1", b""]), max_size=12),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.integers(1, 5),
)
def test_events_are_the_same_in_any_chunking_and_with_any_line_end(lines, end, step):
    data = end.join([*lines, b"", b""])
    whole = SseParser().feed(b"\n".join([*lines, b"", b""]))
    parser, events = SseParser(), []
    for at in range(0, len(data), step):
        events += parser.feed(data[at : at + step])
    events += parser.feed(b"")
    assert events == whole
