"""Sound requests and answers in all dialects, for bench/fuzz.py to damage, and values that are odd anywhere."""

import json

MESSAGES = json.loads(r"""{
"model": "claude-sonnet-4-5",
"max_tokens": 100,
"stream": true,
"system": [{"type": "text", "text": "Be careful."}],
"metadata": {"user_id": "user_x_account__session_0b8f1e9e-0000-4000-8000-000000000001"},
"tools": [{"name": "Read", "description": "reads", "input_schema": {"type": "object", "properties": {"path": {"type":
  "string"}}}}],
"tool_choice": {"type": "auto"},
"thinking": {"type": "enabled", "budget_tokens": 1024},
"stop_sequences": ["END"],
"messages": [{"role": "user", "content": "mail me at someone@example.com [LUNAROUTE:anthropic]"}, {"role":
  "assistant", "content": [{"type": "text", "text": "yes"}, {"type": "tool_use", "id": "t1", "name": "Read", "input":
  {"path": "/x"}}]}, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": [{"type":
  "text", "text": "4111 1111 1111 1111"}], "is_error": false}, {"type": "image", "source": {"type": "base64",
  "media_type": "image/png", "data": "iVBORw0KGgo="}}]}]
}""")
CHAT = json.loads(r"""{
"model": "gpt-5",
"stream": true,
"stream_options": {"include_usage": true},
"n": 1,
"response_format": {"type": "json_object"},
"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
"messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": [{"type": "text", "text": "hi"}]},
  {"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f",
  "arguments": "{}"}}]}, {"role": "tool", "tool_call_id": "c", "content": "done"}]
}""")
RESPONSES = json.loads(r"""{
"model": "gpt-5",
"stream": true,
"instructions": "be brief",
"previous_response_id": "resp_1",
"prompt_cache_key": "k",
"reasoning": {"effort": "low"},
"tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
"input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}, {"type":
  "function_call", "call_id": "c", "name": "f", "arguments": "{}"}, {"type": "function_call_output", "call_id": "c",
  "output": "done"}]
}""")
ANSWERS = json.loads(r"""[
{"id": "m", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "stop_reason": "end_turn", "usage":
  {"input_tokens": 3, "output_tokens": 4}, "content": [{"type": "text", "text": "hi"}, {"type": "tool_use", "id": "t",
  "name": "Read", "input": {}}]},
{"id": "c", "object": "chat.completion", "model": "gpt-5", "choices": [{"index": 0, "finish_reason": "stop",
  "message": {"role": "assistant", "content": "hi"}}], "usage": {"prompt_tokens": 3, "completion_tokens": 4}},
{"id": "resp_1", "object": "response", "model": "gpt-5", "status": "completed", "output": [{"type": "message", "role":
  "assistant", "content": [{"type": "output_text", "text": "hi"}]}], "usage": {"input_tokens": 3, "output_tokens": 4}},
{"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
]""")
STREAMS = json.loads(r"""[
[{"type": "message_start", "message": {"id": "m", "model": "claude-sonnet-4-5", "usage": {"input_tokens": 3}}},
  {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}, {"type":
  "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi a@b.example"}}, {"type":
  "content_block_stop", "index": 0}, {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage":
  {"output_tokens": 4}}, {"type": "message_stop"}],
[{"id": "c", "object": "chat.completion.chunk", "model": "gpt-5", "choices": [{"index": 0, "delta": {"role":
  "assistant", "content": "hi"}}]}, {"id": "c", "choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id":
  "t", "function": {"name": "f", "arguments": "{"}}]}}]}, {"id": "c", "choices": [{"index": 0, "delta": {},
  "finish_reason": "stop"}], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}],
[{"type": "response.created", "response": {"id": "resp_1", "model": "gpt-5"}}, {"type": "response.output_item.added",
  "output_index": 0, "item": {"type": "message", "id": "i"}}, {"type": "response.output_text.delta", "item_id": "i",
  "output_index": 0, "content_index": 0, "delta": "hi"}, {"type": "response.completed", "response": {"id": "resp_1",
  "status": "completed", "output": [], "usage": {"input_tokens": 3, "output_tokens": 4}}}]
]""")
SOUND = {
    b"/v1/messages": MESSAGES,
    b"/v1/chat/completions": CHAT,
    b"/v1/responses": RESPONSES,
    b"/v1/messages/count_tokens": MESSAGES,
    b"/v1/embeddings": {"model": "e", "input": ["x"]},
}
ODD_TEXTS = (
    "",
    "\0",
    "\x1b[2J",
    "' OR 1=1 --",
    "<script>alert(1)</script>",
    "../../../etc/passwd",
    "%00",
    "{{7*7}}",
    "${env.SECRET}",
    "\ud800",
    "𐍈" * 40,
    "x" * 5000,
    "=1+1",
    "\r\nSet-Cookie: a=b",
    "-1",
    "1e999",
    "NaN",
    "null",
    "2026-02-30",
    "0001-01-01",
    "9" * 40,
    "[]",
    '"',
    "(foo",
    "*",
    "a:b",
    "~",
    "AND",
    '"un',
    "-",
    "\u202e",
    "0x10",
    "١٢",
    " ",
    "true",
    "%",
    "_",
    "\\",
)
ODD_VALUES = (
    None,
    True,
    False,
    0,
    -1,
    10**30,
    1e308,
    -0.0,
    "",
    "x",
    "\0",
    "\ud83d",
    [],
    [[]],
    {},
    {"": None},
    [None],
    ["x", 1],
    {"type": None},
    {"type": "text"},
    {"type": "nonsense", "text": 5},
    [{"role": "user"}],
    "a" * 3000,
)


# Pages with their parameters; what the API has, it tells.
PAGES = (
    ("GET", "/ui/", ["days", "project", "client", "model"]),
    ("GET", "/ui/analytics", ["days", "project"]),
    (
        "GET",
        "/ui/sessions",
        ["text_search", "page", "page_size", "days", "min_cost", "sort", "since", "has_tool", "tag"],
    ),
    ("GET", "/ui/sessions/{id}", ["turn", "at", "thread", "before", "find"]),
    ("GET", "/ui/sessions/{id}/diff", ["a", "b"]),
    ("GET", "/ui/sessions/{id}/exchanges/{id}", []),
    ("GET", "/ui/images/{id}/{id}/{id}", []),
    ("GET", "/ui/routing", ["path", "model", "headers", "client", "marker", "dialect"]),
    ("GET", "/login", ["next"]),
    ("GET", "/owner/{id}", []),
    ("GET", "/admin/login/", ["next"]),
    ("GET", "/static/{id}", []),
    ("GET", "/{id}", []),
    ("POST", "/login", ["token", "csrfmiddlewaretoken"]),
    ("POST", "/ui/sessions/{id}/pin", ["pinned"]),
    ("POST", "/ui/notices/{id}/dismiss", ["back"]),
    ("POST", "/ui/pii/", ["text"]),
)
