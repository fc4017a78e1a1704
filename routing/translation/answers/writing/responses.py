"""OpenAI Responses: answers written. https://platform.openai.com/docs/api-reference/responses-streaming."""

from typing import Any

import msgspec

from routing.translation.answers.events import (
    CALL,
    LENGTH,
    REFUSAL,
    REFUSED,
    STOP,
    TEXT,
    THINKING,
    Close,
    Delta,
    End,
    Event,
    Failure,
    Open,
    Ping,
    Spent,
    Start,
    State,
    Stop,
    Usage,
    call_id,
)
from routing.translation.answers.freetext import FreeText
from routing.translation.context import Context
from routing.translation.errors import error_of
from routing.translation.sealed import seal

encode = msgspec.json.Encoder().encode

# Fields of a request that its answer repeats, with what they are where the request does not say.
_REPEATED = {
    "instructions": None, "max_output_tokens": None, "max_tool_calls": None, "parallel_tool_calls": True, "reasoning": None,
    "store": False, "temperature": None, "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [],
    "top_p": None, "truncation": "disabled", "metadata": {}, "prompt_cache_key": None, "safety_identifier": None,
}  # fmt: skip


class Writer:
    """Writes for a client of Responses."""

    def __init__(self, context: Context, created: int) -> None:
        self._context, self._created = context, created
        self._number = 0
        self._response: dict[str, Any] = {}
        self._output: list[dict[str, Any]] = []
        self._open: Open | None = None
        self._parts: list[str] = []
        self._encrypted: str | None = None
        self._has_part = False
        self._stop = Stop(STOP)
        self._usage: Usage | None = None
        self._free: FreeText | None = None  # of a tool that takes free text
        self.keeps = False

    def write(self, event: Event) -> bytes:
        """Give what the client gets of an event."""
        kind = type(event)
        if kind is Delta:
            return self._delta(event.text)
        if kind is Open:
            return self._begin(event)
        if kind is State:
            self._state(event)
        elif kind is Close:
            return self._close()
        elif kind is Start:
            return self._start(event)
        elif kind is Stop:
            self._stop = event
        elif kind is Spent:
            self._usage = event.usage
        elif kind is End:
            name = "response.incomplete" if self._stop.reason in (LENGTH, REFUSED) else "response.completed"
            return self._event(name, response=self._final())
        elif kind is Failure:
            return self._fail(event)
        elif kind is Ping:
            return self.comment()
        return b""

    def _event(self, name: str, /, **fields: Any) -> bytes:
        value = {"type": name, "sequence_number": self._number, **fields}
        self._number += 1
        return b"event: %b\ndata: %b\n\n" % (name.encode(), encode(value))

    def _start(self, event: Start) -> bytes:
        request = self._context.request
        self._response = {
            "id": event.id if event.id.startswith("resp_") else f"resp_{event.id or 'lunaroute'}", "object": "response",
            "created_at": self._created, "status": "in_progress", "background": False, "error": None,
            "incomplete_details": None, "model": event.model or self._context.model, "output": [], "usage": None,
            "previous_response_id": None, "service_tier": "default",
            **{name: request[name] if request.get(name) is not None else default for name, default in _REPEATED.items()},
        }  # fmt: skip
        created = self._event("response.created", response=self._response)
        return created + self._event("response.in_progress", response=self._response)

    def _item(self, kind: str) -> dict[str, Any]:
        opened, at = self._open, len(self._output)
        own = self._response.get("id", "resp_")[5:]
        if kind == THINKING:
            return {"id": f"rs_{own}_{at}", "type": "reasoning", "summary": []}
        if kind != CALL:
            return {
                "id": f"msg_{own}_{at}",
                "type": "message",
                "role": "assistant",
                "status": "in_progress",
                "content": [],
            }
        name = self._context.tool_names.get(opened.name, opened.name)
        id = call_id(opened.id, own, at)
        item = {"id": f"fc_{own}_{at}", "call_id": id, "name": name, "status": "in_progress"}
        if name in self._context.namespaces:
            namespace, name = self._context.namespaces[name]
            item |= {"namespace": namespace, "name": name}
        if self._free is not None:
            return {**item, "id": f"ctc_{own}_{at}", "type": "custom_tool_call", "input": ""}
        return {**item, "type": "function_call", "arguments": ""}

    def _begin(self, event: Open) -> bytes:
        self._open, self._parts, self._encrypted, self._has_part = event, [], None, False
        name = self._context.tool_names.get(event.name, event.name)
        self._free = FreeText() if event.kind == CALL and name in self._context.custom_tools else None
        self._item_now = self._item(event.kind)
        out = self._event("response.output_item.added", output_index=len(self._output), item=self._item_now)
        if event.kind in (TEXT, REFUSAL):
            out += self._event("response.content_part.added", **self._place(), content_index=0, part=self._part(""))
        return out

    def _place(self) -> dict[str, Any]:
        return {"output_index": len(self._output), "item_id": self._item_now["id"]}

    def _part(self, text: str) -> dict[str, Any]:
        if self._open.kind == REFUSAL:
            return {"type": "refusal", "refusal": text}
        if self._open.kind == THINKING:
            return {"type": "summary_text", "text": text}
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}

    def _delta(self, text: str) -> bytes:
        kind = self._open.kind
        if self._free is not None:
            text = self._free.feed(text)
            return self._input(text) if text else b""
        self._parts.append(text)
        if kind == TEXT:
            return self._event("response.output_text.delta", **self._place(), content_index=0, delta=text, logprobs=[])
        if kind == REFUSAL:
            return self._event("response.refusal.delta", **self._place(), content_index=0, delta=text)
        if kind == CALL:
            return self._event("response.function_call_arguments.delta", **self._place(), delta=text)
        out = b""
        if not self._has_part:
            self._has_part = True
            part = self._part("")
            out = self._event("response.reasoning_summary_part.added", **self._place(), summary_index=0, part=part)
        return out + self._event("response.reasoning_summary_text.delta", **self._place(), summary_index=0, delta=text)

    def _input(self, text: str) -> bytes:
        self._parts.append(text)
        return self._event("response.custom_tool_call_input.delta", **self._place(), delta=text)

    def _state(self, event: State) -> None:
        if event.signature:
            self._encrypted = seal({"signature": event.signature})
        elif event.redacted:
            self._encrypted = seal({"redacted": event.redacted})

    def _close(self) -> bytes:
        kind, place = self._open.kind, self._place()
        if kind in (TEXT, REFUSAL):
            out, more = self._end_text(place)
        elif kind == THINKING:
            out, more = self._end_thinking(place)
        else:
            out, more = self._end_call(place)
        item = {**self._item_now, **more}
        out += self._event("response.output_item.done", output_index=len(self._output), item=item)
        self._output.append(item)
        self._open = None
        return out

    def _end_text(self, place: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
        text = "".join(self._parts)
        part = self._part(text)
        if self._open.kind == TEXT:
            out = self._event("response.output_text.done", **place, content_index=0, text=text, logprobs=[])
        else:
            out = self._event("response.refusal.done", **place, content_index=0, refusal=text)
        out += self._event("response.content_part.done", **place, content_index=0, part=part)
        return out, {"status": "completed", "content": [part]}

    def _end_thinking(self, place: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
        more = {"encrypted_content": self._encrypted or seal({"from": self._context.provider})}
        if not self._has_part:
            return b"", more
        text = "".join(self._parts)
        part = self._part(text)
        out = self._event("response.reasoning_summary_text.done", **place, summary_index=0, text=text)
        out += self._event("response.reasoning_summary_part.done", **place, summary_index=0, part=part)
        return out, {**more, "summary": [part]}

    def _end_call(self, place: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
        if self._free is not None:
            rest = self._free.finish()
            out = self._input(rest) if rest else b""
            text = "".join(self._parts)
            out += self._event("response.custom_tool_call_input.done", **place, input=text)
            return out, {"status": "completed", "input": text}
        out = b"" if self._parts else self._delta("{}")
        text = "".join(self._parts)
        out += self._event(
            "response.function_call_arguments.done", **place, arguments=text, name=self._item_now["name"]
        )
        return out, {"status": "completed", "arguments": text}

    def _final(self) -> dict[str, Any]:
        reason = self._stop.reason
        incomplete = {LENGTH: "max_output_tokens", REFUSED: "content_filter"}.get(reason)
        return {
            **self._response, "status": "incomplete" if incomplete else "completed", "output": self._output,
            "incomplete_details": {"reason": incomplete} if incomplete else None, "usage": _usage(self._usage),
        }  # fmt: skip

    def _fail(self, event: Failure) -> bytes:
        begin = b"" if self._response else self._start(Start("", ""))  # a client reads no event before this one
        error = msgspec.json.decode(error_of(self._context.client, event.status, event.message))["error"]
        # Clients ask again after an error of the server, and the same request would fail in the same way.
        code = error["code"] or ("invalid_prompt" if event.status < 500 else "server_error")
        response = {**self._response, "status": "failed", "error": {"code": code, "message": error["message"]}}
        return begin + self._event("response.failed", response={**response, "output": self._output})

    def whole(self) -> bytes:
        """Give the answer in JSON."""
        return encode(self._final())

    def comment(self) -> bytes:
        """Give what keeps the connection alive."""
        return b": keepalive\n\n"


def _usage(usage: Usage | None) -> dict[str, Any] | None:
    return usage and {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.thinking},
        "total_tokens": usage.prompt + usage.output,
    }
