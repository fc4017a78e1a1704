"""What both vendors' APIs answer, deterministically: JSON and event streams, byte for byte as documented.

Asked with tools and told "use the tool NAME" (or "use the tool NAME with {JSON}"), it calls that tool, and answers in
text once the result is there. Told so of several "in parallel", it calls them all at once.
"""

import json
import re
from typing import TYPE_CHECKING

from tests.support.frames import websocket

if TYPE_CHECKING:
    from tests.support.upstream import Exchange


async def answer_as_vendor(exchange: "Exchange") -> None:
    """Answer as the vendors do."""
    request = exchange.request
    path = request.target.split(b"?")[0].decode("latin-1")
    if request.header("upgrade"):
        await websocket(exchange, response_events)
        return
    if path.endswith("/models"):
        await exchange.json({"object": "list", "data": [{"id": "gpt-5", "object": "model"}], "has_more": False})
        return
    try:
        body = json.loads(request.body or b"{}")
        if not isinstance(body, dict):
            raise ValueError
    except (ValueError, RecursionError):
        await exchange.json(anthropic_error("invalid_request_error", "the body is no JSON"), 400)
        return
    if path.endswith("/messages/count_tokens"):
        await exchange.json({"input_tokens": 42})
    elif path.endswith("/messages"):
        await anthropic(exchange, body)
    elif path.endswith("/chat/completions"):
        await chat(exchange, body)
    elif path.endswith("/responses"):
        await responses(exchange, body)
    elif path.endswith("/embeddings"):
        usage = {"prompt_tokens": 3, "total_tokens": 3}
        data = [{"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}]
        await exchange.json({"object": "list", "data": data, "model": body.get("model"), "usage": usage})
    else:
        await exchange.json(anthropic_error("not_found_error", f"no such address: {path}"), 404)


def anthropic_error(kind: str, message: str) -> dict:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_fake"}


def openai_error(kind: str, message: str, code: str | None = None) -> dict:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


_USE = re.compile(r"use the tool (\w+)(?: with (\{.*?\}))?", re.DOTALL)


def decide(text: str, tools: list[str], has_result: bool) -> tuple[str, list[tuple[str, dict]]]:
    """Give (text, calls of tools with their arguments): no calls where it only speaks."""
    # OpenCode quotes a prompt that holds quotes.
    found = [] if has_result else _USE.findall(text.replace('\\"', '"'))
    calls = [(name, json.loads(arguments) if arguments else {}) for name, arguments in found if name in tools]
    if calls:
        return "I will use a tool.", calls if "in parallel" in text else calls[:1]
    return "Done." if has_result else f"You said: {text[-60:]}", []


def call_ids(prefix: str, number: int, called: list) -> list[tuple[str, tuple[str, dict]]]:
    """Give each call of the answer `number` with an id."""
    return [(f"{prefix}_{number:06}" + (f"_{at}" if at else ""), call) for at, call in enumerate(called)]


def sse(name: str, value: dict) -> bytes:
    return f"event: {name}\ndata: {json.dumps(value)}\n\n".encode()


def pieces(text: str, size: int = 7) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)] or [""]


async def anthropic(exchange: "Exchange", body: dict) -> None:
    """POST /v1/messages."""
    messages = body.get("messages") or [{"role": "user", "content": ""}]
    last = messages[-1]["content"]
    blocks = [{"type": "text", "text": last}] if isinstance(last, str) else last
    has_result = any(b.get("type") == "tool_result" for b in blocks)
    text = "\n".join(b["text"] for b in blocks if b.get("type") == "text")
    said, called = decide(text, [t.get("name") for t in body.get("tools", [])], has_result)
    number = len(exchange.upstream.requests)
    content: list[dict] = []
    if body.get("thinking", {}).get("type") in ("enabled", "adaptive"):
        content.append({"type": "thinking", "thinking": "Let me think about it.", "signature": "c2lnbmF0dXJl"})
    content.append({"type": "text", "text": said})
    for id, (tool, arguments) in call_ids("toolu", number, called):
        content.append({"type": "tool_use", "id": id, "name": tool, "input": arguments})
    usage = {
        "input_tokens": 150, "cache_creation_input_tokens": 30, "cache_read_input_tokens": 1000,
        "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 10}, "output_tokens": 42,
        "service_tier": "standard",
    }  # fmt: skip
    stop = "tool_use" if called else "end_turn"
    message = {
        "id": f"msg_{number:06}", "type": "message", "role": "assistant", "model": body.get("model"),
        "content": content, "stop_reason": stop, "stop_sequence": None, "usage": usage,
    }  # fmt: skip
    if not body.get("stream"):
        await exchange.json(message, 200, ("request-id", f"req_{number}"))
        return
    start = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    events = [sse("message_start", {"type": "message_start", "message": start}), sse("ping", {"type": "ping"})]
    for index, block in enumerate(content):
        kind = block["type"]
        empty = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}, "tool_use": {"input": {}}}[kind]
        events.append(
            sse(
                "content_block_start",
                {"type": "content_block_start", "index": index, "content_block": {**block, **empty}},
            )
        )
        if kind == "tool_use":
            deltas = [
                {"type": "input_json_delta", "partial_json": p} for p in ["", *pieces(json.dumps(block["input"]))]
            ]
        elif kind == "thinking":
            deltas = [{"type": "thinking_delta", "thinking": p} for p in pieces(block["thinking"])]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        else:
            deltas = [{"type": "text_delta", "text": p} for p in pieces(said)]
        events += [
            sse("content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta})
            for delta in deltas
        ]
        events.append(sse("content_block_stop", {"type": "content_block_stop", "index": index}))
    delta = {"stop_reason": stop, "stop_sequence": None}
    events.append(sse("message_delta", {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 42}}))
    events.append(sse("message_stop", {"type": "message_stop"}))
    await exchange.start_stream(("request-id", f"req_{number}"))
    for event in events:
        await exchange.chunk(event)
    await exchange.end_stream()


async def chat(exchange: "Exchange", body: dict) -> None:
    """POST /v1/chat/completions."""
    messages = body.get("messages") or [{"role": "user", "content": ""}]
    last = messages[-1]
    content = last.get("content") or ""
    text = content if isinstance(content, str) else "\n".join(p.get("text", "") for p in content)
    tools = [t["function"]["name"] for t in body.get("tools", []) if "function" in t]
    said, called = decide(text, tools, last.get("role") == "tool")
    number = len(exchange.upstream.requests)
    usage = {
        "prompt_tokens": 1150, "completion_tokens": 57, "total_tokens": 1207,
        "prompt_tokens_details": {"cached_tokens": 1000, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 15, "audio_tokens": 0},
    }  # fmt: skip
    head = {"id": f"chatcmpl-{number:06}", "created": 1760000000, "model": body.get("model")}
    calls = [
        {"id": id, "type": "function", "function": {"name": tool, "arguments": json.dumps(arguments)}}
        for id, (tool, arguments) in call_ids("call", number, called)
    ]
    stop = "tool_calls" if calls else "stop"
    if not body.get("stream"):
        message = {"role": "assistant", "content": said, "refusal": None, **({"tool_calls": calls} if calls else {})}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": stop}
        await exchange.json({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
        return
    deltas: list[dict] = [{"role": "assistant", "content": ""}, *({"content": p} for p in pieces(said))]
    for index, call in enumerate(calls):
        function = {"name": call["function"]["name"], "arguments": ""}
        deltas.append({"tool_calls": [{"index": index, "id": call["id"], "type": "function", "function": function}]})
        for piece in pieces(call["function"]["arguments"]):
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    await exchange.start_stream()
    chunk = {**head, "object": "chat.completion.chunk"}
    for delta in deltas:
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        await exchange.chunk(b"data: " + json.dumps({**chunk, "choices": [choice]}).encode() + b"\n\n")
    last_choice = {"index": 0, "delta": {}, "finish_reason": stop}
    await exchange.chunk(b"data: " + json.dumps({**chunk, "choices": [last_choice]}).encode() + b"\n\n")
    if body.get("stream_options", {}).get("include_usage"):
        await exchange.chunk(b"data: " + json.dumps({**chunk, "choices": [], "usage": usage}).encode() + b"\n\n")
    await exchange.chunk(b"data: [DONE]\n\n")
    await exchange.end_stream()


def response_events(body: dict, number: int) -> list[dict]:
    """The events of the Responses API for a request."""
    given = body.get("input") or ""
    entries = [{"role": "user", "content": given}] if isinstance(given, str) else given
    has_result = bool(entries) and str(entries[-1].get("type", "")).endswith("_output")
    texts = []
    for entry in entries:
        if entry.get("role") == "user":
            content = entry.get("content")
            texts.append(content if isinstance(content, str) else "\n".join(p.get("text", "") for p in content))
    names = [t.get("name") or t.get("function", {}).get("name") or t.get("type") for t in body.get("tools", [])]
    said, called = decide(texts[-1] if texts else "", names, has_result)
    output: list[dict] = [
        {"id": f"rs_{number}", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Thinking it over."}]},
        {
            "id": f"msg_{number}", "type": "message", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": said, "annotations": [], "logprobs": []}],
        },
    ]  # fmt: skip
    if "reasoning.encrypted_content" in (body.get("include") or ()):
        output[0]["encrypted_content"] = f"encrypted-{number}"
    for at, (call_id, (tool, arguments)) in enumerate(call_ids("call", number, called)):
        output.append({
            "id": f"fc_{number}" + (f"_{at}" if at else ""), "type": "function_call", "status": "completed",
            "call_id": call_id, "name": tool, "arguments": json.dumps(arguments),
        })  # fmt: skip
    usage = {
        "input_tokens": 1150, "input_tokens_details": {"cached_tokens": 1000}, "output_tokens": 57,
        "output_tokens_details": {"reasoning_tokens": 15}, "total_tokens": 1207,
    }  # fmt: skip
    response = {
        "id": f"resp_{number:06}", "object": "response", "created_at": 1760000000, "status": "in_progress", "error": None,
        "incomplete_details": None, "instructions": None, "model": body.get("model"), "output": [], "usage": None,
        "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "metadata": {},
        "previous_response_id": body.get("previous_response_id"),
    }  # fmt: skip
    events = [{"type": "response.created", "response": response}]
    for index, item in enumerate(output):
        place = {"output_index": index, "item_id": item["id"]}
        events.append(
            {"type": "response.output_item.added", "output_index": index, "item": {**item, "status": "in_progress"}}
        )
        if item["type"] == "message":
            empty = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            events.append({"type": "response.content_part.added", **place, "content_index": 0, "part": empty})
            for piece in pieces(said):
                events.append(
                    {"type": "response.output_text.delta", **place, "content_index": 0, "delta": piece, "logprobs": []}
                )
            events.append(
                {"type": "response.output_text.done", **place, "content_index": 0, "text": said, "logprobs": []}
            )
            events.append(
                {"type": "response.content_part.done", **place, "content_index": 0, "part": item["content"][0]}
            )
        elif item["type"] == "function_call":
            for piece in pieces(item["arguments"]):
                events.append({"type": "response.function_call_arguments.delta", **place, "delta": piece})
            done = {"type": "response.function_call_arguments.done", **place, "arguments": item["arguments"]}
            events.append({**done, "name": item["name"]})
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    final = {**response, "status": "completed", "output": output, "usage": usage}
    events.append({"type": "response.completed", "response": final})
    return [{**event, "sequence_number": place} for place, event in enumerate(events)]


async def responses(exchange: "Exchange", body: dict) -> None:
    """POST /v1/responses."""
    events = response_events(body, len(exchange.upstream.requests))
    if not body.get("stream"):
        await exchange.json(events[-1]["response"])
        return
    await exchange.start_stream()
    for event in events:
        await exchange.chunk(sse(event["type"], event))
    await exchange.end_stream()
