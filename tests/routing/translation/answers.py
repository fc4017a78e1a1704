"""Answers of each vendor, in JSON and as streams, and what the vendors' SDKs make of such bytes."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import anthropic
import httpx
import httpx2
import openai

from routing.translation.answers import StreamTranslator, translate_answer
from routing.translation.context import CHAT, MESSAGES, RESPONSES, Context
from routing.translation.sse import Events

DIALECTS = (MESSAGES, CHAT, RESPONSES)
DIRECTIONS = [(client, provider) for client in DIALECTS for provider in DIALECTS if client != provider]
DONE = b"data: [DONE]\n\n"
CREATED = 1_700_000_000
_STOPS = {
    MESSAGES: {"stop": "end_turn", "length": "max_tokens", "tools": "tool_use", "refused": "refusal"},
    CHAT: {"stop": "stop", "length": "length", "tools": "tool_calls", "refused": "content_filter"},
}
_INCOMPLETE = {"length": "max_output_tokens", "refused": "content_filter"}


@dataclass(frozen=True)
class Call:
    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Answer:
    """What a model says. `state` is the vendor's own of its thinking."""

    text: str = ""
    thinking: str = ""
    state: str = ""
    calls: list[Call] = field(default_factory=list)
    stop: str = "stop"
    tokens: tuple[int, int, int] = (20, 5, 7)  # with cache, of the cache, answer


def context(client: str, provider: str, **more: Any) -> Context:
    return Context(client, provider, "asked-model", **{"include_usage": True, **more})


def translated(client: str, provider: str, body: Any, **more: Any) -> Any:
    """A JSON answer, translated."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return json.loads(translate_answer(context(client, provider, **more), data, CREATED))


def streamed(client: str, provider: str, pieces: Iterable[bytes], broken: bool = False, **more: Any) -> bytes:
    """A stream, translated to its end."""
    translator = StreamTranslator(context(client, provider, **more), CREATED)
    return b"".join([*(translator.feed(piece) for piece in pieces), translator.close(broken)])


def events_of(data: bytes) -> list[Any]:
    """The events of a stream, in JSON; a comment is None, an end "[DONE]"."""
    events = Events()
    found = events.feed(data) + events.finish()
    return [None if one is None else "[DONE]" if one == b"[DONE]" else json.loads(one) for one in found]


def is_complete(client: str, data: bytes) -> bool:
    """Whether a client would take the stream for a complete one."""
    events = [event for event in events_of(data) if isinstance(event, dict)]
    if client == CHAT:
        return b"[DONE]" in data or any(c.get("finish_reason") for e in events for c in e.get("choices", ()))
    ends = {MESSAGES: ("message_stop",), RESPONSES: ("response.completed", "response.incomplete")}[client]
    return any(event.get("type") in ends for event in events)


def is_failed(client: str, data: bytes) -> bool:
    """Whether the stream says that it failed."""
    events = [event for event in events_of(data) if isinstance(event, dict)]
    return any(e.get("type") in ("error", "response.failed") or (client == CHAT and "error" in e) for e in events)


def sse(*values: dict[str, Any]) -> list[bytes]:
    """Events as the vendors send them."""
    return [
        b"%bdata: %b\n\n" % (b"event: %b\n" % value["type"].encode() if "type" in value else b"", json.dumps(value).encode())
        for value in values
    ]  # fmt: skip


def pieces_of(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def json_of(provider: str, answer: Answer) -> dict[str, Any]:
    """The answer as the provider gives it in JSON."""
    return {MESSAGES: _message, CHAT: _completion, RESPONSES: _response}[provider](answer)


def stream_of(provider: str, answer: Answer, size: int = 3) -> list[bytes]:
    """The answer as the provider streams it, in deltas of `size` characters."""
    return {MESSAGES: _message_stream, CHAT: _completion_stream, RESPONSES: _response_stream}[provider](answer, size)


def _message_usage(answer: Answer) -> dict[str, int]:
    prompt, cached, output = answer.tokens
    return {
        "input_tokens": prompt - cached, "cache_read_input_tokens": cached, "cache_creation_input_tokens": 0,
        "output_tokens": output,
    }  # fmt: skip


def _message(answer: Answer) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    if answer.thinking or answer.state:
        content.append({"type": "thinking", "thinking": answer.thinking, "signature": answer.state})
    if answer.text:
        content.append({"type": "text", "text": answer.text})
    content += [
        {"type": "tool_use", "id": c.id, "name": c.name, "input": json.loads(c.arguments or "{}")} for c in answer.calls
    ]
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": content,
        "stop_reason": _STOPS[MESSAGES][answer.stop], "stop_sequence": None, "usage": _message_usage(answer),
    }  # fmt: skip


def _message_stream(answer: Answer, size: int) -> list[bytes]:
    whole = _message(answer)
    usage = whole["usage"]
    start = {**whole, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": start}]
    calls = iter(answer.calls)
    for index, block in enumerate(whole["content"]):
        kind = block["type"]
        if kind == "tool_use":
            begin = {**block, "input": {}}
            deltas = [("input_json_delta", "partial_json", piece) for piece in pieces_of(next(calls).arguments, size)]
        else:
            begin = {**block, kind: ""} if kind == "text" else {**block, kind: "", "signature": ""}
            deltas = [(f"{kind}_delta", kind, piece) for piece in pieces_of(block[kind], size)]
        if kind == "thinking":
            deltas.append(("signature_delta", "signature", block["signature"]))
        events.append({"type": "content_block_start", "index": index, "content_block": begin})
        events += [
            {"type": "content_block_delta", "index": index, "delta": {"type": t, name: piece}}
            for t, name, piece in deltas
        ]
        events.append({"type": "content_block_stop", "index": index})
    delta = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    events.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": usage["output_tokens"]}})
    return sse(*events, {"type": "message_stop"})


def _completion_usage(answer: Answer) -> dict[str, Any]:
    prompt, cached, output = answer.tokens
    return {
        "prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": cached}, "completion_tokens_details": {"reasoning_tokens": 0},
    }  # fmt: skip


def _completion(answer: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None}
    if answer.thinking:
        message["reasoning_content"] = answer.thinking
    if answer.calls:
        message["tool_calls"] = [
            {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
            for c in answer.calls
        ]
    choice = {"index": 0, "message": message, "finish_reason": _STOPS[CHAT][answer.stop], "logprobs": None}
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": CREATED, "model": "gpt", "choices": [choice],
        "usage": _completion_usage(answer),
    }  # fmt: skip


def chunk(delta: dict[str, Any], reason: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk of Chat Completions."""
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": CREATED, "model": "gpt"}
    return {**head, "choices": [choice], **more}


def _completion_stream(answer: Answer, size: int) -> list[bytes]:
    chunks = [chunk({"role": "assistant", "content": ""})]
    chunks += [chunk({"reasoning_content": piece}) for piece in pieces_of(answer.thinking, size)]
    chunks += [chunk({"content": piece}) for piece in pieces_of(answer.text, size)]
    for index, call in enumerate(answer.calls):
        function = {"name": call.name, "arguments": ""}
        chunks.append(
            chunk({"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": function}]})
        )
        for piece in pieces_of(call.arguments, size):
            chunks.append(chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}))
    chunks.append(chunk({}, _STOPS[CHAT][answer.stop]))
    chunks.append({**chunk({}), "choices": [], "usage": _completion_usage(answer)})
    return [*sse(*chunks), b"data: [DONE]\n\n"]


def _response(answer: Answer) -> dict[str, Any]:
    output: list[dict[str, Any]] = []
    if answer.thinking or answer.state:
        summary = [{"type": "summary_text", "text": answer.thinking}] if answer.thinking else []
        output.append(
            {"id": "rs_1", "type": "reasoning", "summary": summary, "encrypted_content": answer.state or None}
        )
    if answer.text:
        part = {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
        output.append({"id": "m_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]})
    output += [
        {"id": f"fc_{n}", "type": "function_call", "call_id": c.id, "name": c.name, "arguments": c.arguments,
         "status": "completed"} for n, c in enumerate(answer.calls)
    ]  # fmt: skip
    prompt, cached, spent = answer.tokens
    reason = _INCOMPLETE.get(answer.stop)
    return {
        "id": "resp_1", "object": "response", "created_at": CREATED, "model": "gpt", "output": output,
        "status": "incomplete" if reason else "completed", "incomplete_details": {"reason": reason} if reason else None,
        "error": None, "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
        "usage": {
            "input_tokens": prompt, "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
            "output_tokens": spent, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": prompt + spent,
        },
    }  # fmt: skip


def _response_stream(answer: Answer, size: int) -> list[bytes]:
    whole = _response(answer)
    start = {**whole, "output": [], "status": "in_progress", "usage": None, "incomplete_details": None}
    events: list[dict[str, Any]] = [{"type": "response.created", "response": start}]
    for index, item in enumerate(whole["output"]):
        place = {"output_index": index, "item_id": item["id"]}
        begun = {"message": {"content": []}, "function_call": {"arguments": ""}}.get(item["type"], {"summary": []})
        events.append({"type": "response.output_item.added", "output_index": index, "item": {**item, **begun}})
        if item["type"] == "message":
            place["content_index"] = 0
            part = item["content"][0]
            events.append({"type": "response.content_part.added", **place, "part": {**part, "text": ""}})
            events += [
                {"type": "response.output_text.delta", **place, "delta": p} for p in pieces_of(part["text"], size)
            ]
            events.append({"type": "response.output_text.done", **place, "text": part["text"]})
            events.append({"type": "response.content_part.done", **place, "part": part})
        elif item["type"] == "function_call":
            kind = "response.function_call_arguments"
            events += [{"type": f"{kind}.delta", **place, "delta": p} for p in pieces_of(item["arguments"], size)]
            events.append({"type": f"{kind}.done", **place, "arguments": item["arguments"]})
        elif item["summary"]:
            place["summary_index"] = 0
            kind, text = "response.reasoning_summary_text", item["summary"][0]["text"]
            events += [{"type": f"{kind}.delta", **place, "delta": p} for p in pieces_of(text, size)]
            events.append({"type": f"{kind}.done", **place, "text": text})
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    end = {"type": f"response.{whole['status']}", "response": whole}
    return sse(*({**event, "sequence_number": n} for n, event in enumerate([*events, end])))


class _Canned:
    """The vendors' clients, which get the bytes that were given last."""

    def __init__(self) -> None:
        self.body, self.kind = b"", ""
        self.anthropic = anthropic.Anthropic(api_key="k", max_retries=0, http_client=self._client(httpx2))
        self.openai = openai.OpenAI(api_key="k", max_retries=0, http_client=self._client(httpx))

    def _client(self, library: Any) -> Any:
        def answer(_: Any) -> Any:
            return library.Response(200, content=self.body, headers={"content-type": self.kind})

        return library.Client(transport=library.MockTransport(answer))


_canned = _Canned()


def read_json(client: str, body: bytes) -> dict[str, Any]:
    """What the client's SDK makes of an answer in JSON."""
    _canned.body, _canned.kind = body, "application/json"
    if client == MESSAGES:
        asked = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
        return _plain(_canned.anthropic.messages.create(**asked))
    if client == CHAT:
        return _plain_chat(_canned.openai.chat.completions.create(model="m", messages=[]))
    return _plain(_canned.openai.responses.create(model="m", input="x"))


def read_stream(client: str, body: bytes) -> dict[str, Any]:
    """What the client's SDK has made of a stream at its end. Raises its errors."""
    _canned.body, _canned.kind = body, "text/event-stream"
    if client == MESSAGES:
        asked = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
        with _canned.anthropic.messages.stream(**asked) as events:
            return _plain(events.get_final_message())
    if client == CHAT:
        with _canned.openai.chat.completions.stream(model="m", messages=[]) as chunks:
            try:
                return _plain_chat(chunks.get_final_completion())
            except (openai.LengthFinishReasonError, openai.ContentFilterFinishReasonError) as cut:
                return _plain_chat(cut.completion)
    with _canned.openai.responses.stream(model="m", input="x") as events:
        return _plain([event for event in events if event.type.startswith("response.")][-1].response)


def _plain(message: Any) -> dict[str, Any]:
    return message.model_dump(exclude_none=True, warnings=False)


def _plain_chat(completion: Any) -> dict[str, Any]:
    """Without what only the accumulated form has."""
    value = _plain(completion)
    (choice,) = value["choices"]
    message = choice["message"]
    message["content"] = message.get("content") or None
    for call in message.get("tool_calls", ()):
        call.pop("index", None)
    return {**value, "object": "chat.completion"}


def call(index: int | None, arguments: str | None = None, name: str = "", id: str = "") -> dict:
    """A chunk of Chat Completions with a piece of a call."""
    given: dict = {} if index is None else {"index": index}
    if id:
        given["id"] = id
    given["function"] = {**({"name": name} if name else {}), **({} if arguments is None else {"arguments": arguments})}
    return chunk({"tool_calls": [given]})


def of_chat(*chunks: dict, client: str = MESSAGES, **more) -> dict:
    """What the client's SDK makes of a Chat provider's stream."""
    return read_stream(client, streamed(client, CHAT, [*sse(*chunks), DONE], **more))


def calls_of(found: dict) -> list[tuple[str, str, dict]]:
    return [(b["id"], b["name"], b["input"]) for b in found["content"] if b["type"] == "tool_use"]
