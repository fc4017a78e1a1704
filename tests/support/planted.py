"""Conversations in all dialects with values planted wherever one may stand."""

import gzip
from collections.abc import Iterator

import msgspec

from proxy.capture import RESPONSE_HEAD, Attempt, ResponseHead, Routing
from sessions.digest import Capture
from sessions.store import Store
from tests.support.exchanges import Frame, compact, frames

EMAIL, SSN, CARD = "john.doe@corp-mail.org", "123-45-6789", "4111 1111 1111 1111"
SSE = [("content-type", "text/event-stream")]
ID = "6f1d0f4e-7c7b-4b57-9a3e-0d6f4c1b2a90"
OTHER = "zzyzx.roe@elsewhere.net"
VALUES = (EMAIL, "john.doe", "corp-mail", SSN, CARD, "1111 1111", OTHER, "zzyzx")
CHAT = {"path": "/v1/chat/completions", "provider": "openai"}
RESPONSES = {"path": "/v1/responses", "provider": "openai"}


ROUTING = Routing(
    rule="fallback", why=f"the marker of {EMAIL}", provider="backup", provider_type="anthropic", model="claude-haiku-4-5",
    attempts=[Attempt("anthropic", 429, 12.5, f"rate_limited for {OTHER}"), Attempt("backup", 200, 3.0)],
    notes=["metadata left out", f"header x-mail: {EMAIL}", f"tool renamed to {SSN}"],
)  # fmt: skip


def deltas(*pieces: str, kind: str = "text") -> list[bytes]:
    block = {
        "text": {"type": "text", "text": ""},
        "input_json": {"type": "tool_use", "id": "t1", "name": "Bash", "input": {}},
    }[kind]
    delta = {"text": ("text_delta", "text"), "input_json": ("input_json_delta", "partial_json")}[kind]
    given = [
        {"type": "message_start", "message": {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": [],
            "usage": {"input_tokens": 3, "output_tokens": 1},
        }},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": delta[0], delta[1]: piece}} for piece in pieces),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    ]  # fmt: skip
    return [f"event: {event['type']}\ndata: ".encode() + compact(event) + b"\n\n" for event in given]


def stream(*values: object) -> list[bytes]:
    return [b"data: " + (value if isinstance(value, bytes) else compact(value)) + b"\n\n" for value in values]


def with_status(some: list[Frame], status: int) -> list[Frame]:
    head = msgspec.json.encode(ResponseHead(status, [("content-type", "application/json")]))
    return [(kind, when, head if kind == RESPONSE_HEAD else payload) for kind, when, payload in some]


def anthropic() -> Iterator[list[Frame]]:
    """Give a session with tools, an errand, a sub-agent, counted tokens, a failure and an error."""
    tools = [{"name": "Mail", "description": f"write to {EMAIL}", "input_schema": {"properties": {EMAIL: {}}}}]
    head = {
        "model": "claude-sonnet-4-5", "system": f"You work for {EMAIL}", "tools": tools,
        "metadata": {"user_id": f"user_x_account__session_{ID}", "note": EMAIL},
    }  # fmt: skip
    agent = [
        ("x-mail", EMAIL),
        ("user-agent", f"claude-cli/2 {EMAIL}"),
        ("x-project-id", f"of {EMAIL}"),
        ("x-session-tags", f"a,{SSN}"),
    ]
    errand = {
        "model": "m",
        "metadata": head["metadata"],
        "messages": [{"role": "user", "content": f"title for {OTHER}"}],
    }
    yield frames(compact(errand))
    # The title is cut off within the address.
    said = f"{'word ' * 22}{EMAIL} is who I am, ssn {SSN}"
    messages = [{"role": "user", "content": [{"type": "text", "text": said, "cache_control": {"type": "ephemeral"}}]}]
    yield frames(
        compact({**head, "messages": messages}), deltas("write to john", ".doe@corp", "-mail.org, card 4111 11", "11 1111 1111"),
        answer_headers=[*SSE, ("x-who", EMAIL)], headers=agent,
    )  # fmt: skip
    messages += [
        {"role": "assistant", "content": [{"type": "text", "text": f"write to {EMAIL}, card {CARD}"}]},
        {"role": "user", "content": f"\\u0041 {CARD} and {EMAIL} \U0001f600"},
    ]
    yield frames(
        compact({**head, "messages": messages}), deltas('{"command": "mail jo', "hn.doe@cor", 'p-mail.org", "', EMAIL, '": 1}', kind="input_json"),
        answer_headers=SSE, headers=agent,
    )  # fmt: skip
    sub = {**head, "system": f"a helper of {OTHER}", "messages": [{"role": "user", "content": f"look for {OTHER}"}]}
    yield frames(compact(sub), headers=agent)
    long = f"sent to {EMAIL} " + "and more " * 30
    messages += [
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": f"mail {EMAIL}"}}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": long}]},
    ]
    yield frames(
        compact({**head, "messages": messages}), path="/v1/messages/count_tokens", answer=b'{"input_tokens":7}'
    )
    failed = compact({"type": "error", "error": {"type": "invalid_request_error", "message": f"who is {EMAIL}?"}})
    yield with_status(frames(compact({**head, "messages": messages}), failed, headers=agent), 400)
    yield frames(
        compact({**head, "messages": messages}), deltas("half of", EMAIL)[:3], answer_headers=SSE, headers=agent,
        error="upstream_broken", error_message=f"{EMAIL} hung up", routing=ROUTING,
    )  # fmt: skip
    yield frames(b'{"model": "m", "messages": [ "I am ' + EMAIL.encode(), session="broken")
    packed = gzip.compress(compact({"model": "m", "messages": [{"role": "user", "content": f"I am {EMAIL}"}]}))
    yield frames(packed, session="packed", headers=[("content-encoding", "gzip")])
    yield frames(
        b"nothing of note in {",
        session="plain",
        path=f"/v1/unheard/{EMAIL}/of",
        answer=[b"no ", b"JSON " + SSN.encode()],
    )


def openai() -> Iterator[list[Frame]]:
    """Give sessions of both of OpenAI's dialects, streamed and not."""
    tools = [{"type": "function", "function": {"name": "mail", "parameters": {}}}]
    messages: list[dict] = [{"role": "system", "content": f"for {EMAIL}"}, {"role": "user", "content": f"I am {OTHER}"}]
    call = {"id": "c1", "type": "function", "function": {"name": "mail", "arguments": f'{{"to": "{EMAIL}"}}'}}
    answer = {
        "id": "chat1", "object": "chat.completion", "model": "gpt-5",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
    }  # fmt: skip
    yield frames(
        compact({"model": "gpt-5", "messages": messages, "tools": tools}), compact(answer), session="chat", **CHAT
    )
    messages += [answer["choices"][0]["message"], {"role": "tool", "tool_call_id": "c1", "content": f"{EMAIL}: ok"}]
    pieces = [
        {"id": "chat2", "model": "gpt-5", "choices": [{"index": 0, "delta": {"content": text}}]}
        for text in ("it is zzyzx", ".roe@else", "where.net!")
    ]
    end = {"id": "chat2", "model": "gpt-5", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    yield frames(
        compact({"model": "gpt-5", "messages": messages, "tools": tools, "stream": True}), stream(*pieces, end, b"[DONE]"),
        session="chat", answer_headers=SSE, **CHAT,
    )  # fmt: skip

    def response(number: int) -> dict:
        output = [{"type": "message", "id": f"m{number}", "role": "assistant", "status": "completed",
                   "content": [{"type": "output_text", "text": f"you are {OTHER}", "annotations": []}]}]  # fmt: skip
        return {"id": f"resp_{number}", "object": "response", "status": "completed", "model": "gpt-5", "output": output,
                "usage": {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8}}  # fmt: skip

    yield frames(
        compact({"model": "gpt-5", "instructions": f"for {EMAIL}", "input": f"who is {OTHER}?"}), compact(response(1)),
        session="responses", **RESPONSES,
    )  # fmt: skip
    text = [
        {"type": "response.output_text.delta", "item_id": "m2", "output_index": 0, "content_index": 0, "delta": d}
        for d in ("you are zzyzx", ".roe@elsewhere.net")
    ]
    # Of no session of its own: it is that of the answer which it continues.
    yield frames(
        compact({"model": "gpt-5", "previous_response_id": "resp_1", "input": [{"role": "user", "content": EMAIL}], "stream": True}),
        stream({"type": "response.created", "response": {**response(2), "status": "in_progress", "output": []}}, *text,
               {"type": "response.completed", "response": response(2)}),
        answer_headers=SSE, **RESPONSES,
    )  # fmt: skip


def conversation() -> list[list[Frame]]:
    """Give the frames of all of it, exchange by exchange; of six sessions."""
    return [*anthropic(), *openai()]


def record(store: Store, conversation: list[list[Frame]]) -> None:
    """Record exchanges, each as a batch of its own."""
    for some in conversation:
        capture = Capture()
        store.apply([event for frame in some for event in capture.feed(*frame)])
