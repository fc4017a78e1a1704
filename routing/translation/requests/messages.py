"""Anthropic Messages: requests read and written. https://docs.anthropic.com/en/api/messages."""

from typing import Any

from routing.translation.context import Untranslatable
from routing.translation.requests.form import (
    Call,
    Document,
    Form,
    Image,
    Result,
    Text,
    Thinking,
    Tool,
    Turn,
    call_id,
    dropped,
    encode,
    items,
    mapping,
    number_of,
    object_of,
    text_of,
    texts_of,
    tool_name,
)
from routing.translation.sealed import unseal

MAX_TOKENS, MIN_BUDGET = 32_000, 1024
# Effort ↔ tokens to think with.
BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 32768, "max": 65536}
_DROPPED = (
    "top_k",
    "container",
    "mcp_servers",
    "inference_geo",
    "betas",
    "context_management",
    "service_tier",
    "speed",
)
_CUSTOM_SCHEMA = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The whole input of the tool, as plain text."}},
    "required": ["input"],
}


def read(body: dict[str, Any]) -> Form:
    """Read a request. Raises Untranslatable."""
    form = Form()
    form.system = [text_of(mapping(b, "system").get("text"), "system") for b in _content(body.get("system"), "system")]
    for index, message in enumerate(items(body.get("messages"), "messages")):
        place = f"messages[{index}]"
        message = mapping(message, place)
        role = text_of(message.get("role"), place + ".role")
        parts = [
            _part(mapping(b, place), f"{place}.content[{n}]", form)
            for n, b in enumerate(_content(message.get("content"), place + ".content"))
        ]
        form.turns.append(
            Turn(role if role in ("assistant", "system") else "user", [p for p in parts if p is not None])
        )
    _read_tools(form, body)
    form.max_tokens = number_of(body.get("max_tokens"), "max_tokens")
    form.temperature = number_of(body.get("temperature"), "temperature")
    form.top_p = number_of(body.get("top_p"), "top_p")
    form.stop = texts_of(body.get("stop_sequences"), "stop_sequences")
    form.is_streaming = form.include_usage = body.get("stream") is True
    _read_thinking(form, body)
    metadata = body.get("metadata") or {}
    form.user = text_of(mapping(metadata, "metadata").get("user_id"), "metadata.user_id")
    dropped(form, body, _DROPPED)
    return form


def _content(value: Any, place: str) -> list[Any]:
    if isinstance(value, str):
        return [{"type": "text", "text": value}] if value else []
    return items(value, place)


def _read_tools(form: Form, body: dict[str, Any]) -> None:
    for index, tool in enumerate(items(body.get("tools"), "tools")):
        tool = mapping(tool, f"tools[{index}]")
        name = text_of(tool.get("name"), f"tools[{index}].name")
        if "input_schema" not in tool:
            form.note(f"tools[{index}]", f"{tool.get('type') or name} was left out, it runs at Anthropic")
            continue
        description = text_of(tool.get("description"), f"tools[{index}].description")
        form.tools.append(Tool(name, description, tool["input_schema"], tool.get("strict")))
    choice = body.get("tool_choice")
    if choice is None:
        return
    choice = mapping(choice, "tool_choice")
    kind = choice.get("type")
    form.tool_choice = "=" + text_of(choice.get("name"), "tool_choice.name") if kind == "tool" else str(kind or "")
    if choice.get("disable_parallel_tool_use") is True:
        form.parallel = False


def _read_thinking(form: Form, body: dict[str, Any]) -> None:
    thinking = body.get("thinking")
    if thinking is not None:
        thinking = mapping(thinking, "thinking")
        form.thinks = thinking.get("type") not in ("disabled", None)
        form.budget = number_of(thinking.get("budget_tokens"), "thinking.budget_tokens")
    config = body.get("output_config")
    config = mapping(config, "output_config") if config is not None else {}
    form.effort = text_of(config.get("effort"), "output_config.effort")
    wanted = config.get("format") or body.get("output_format")
    if wanted is not None:
        wanted = mapping(wanted, "output_config.format")
        if wanted.get("type") == "json_schema":
            form.json_schema, form.json_name = wanted.get("schema"), "answer"


def _part(block: dict[str, Any], place: str, form: Form) -> Any:
    kind = block.get("type")
    if kind == "text":
        return Text(text_of(block.get("text"), place + ".text"))
    if kind == "image":
        return _image(mapping(block.get("source"), place + ".source"), place)
    if kind == "document":
        return _document(block, mapping(block.get("source"), place + ".source"), place)
    if kind == "tool_use":
        arguments = encode(block.get("input", {})).decode()
        return Call(text_of(block.get("id"), place + ".id"), text_of(block.get("name"), place + ".name"), arguments)
    if kind == "tool_result":
        parts = [_part(mapping(b, place), place, form) for b in _content(block.get("content"), place + ".content")]
        kept = [part for part in parts if isinstance(part, Text | Image | Document)]
        return Result(text_of(block.get("tool_use_id"), place + ".tool_use_id"), kept, block.get("is_error") is True)
    if kind == "thinking":
        return _thinking(text_of(block.get("thinking"), place), block.get("signature"), "")
    if kind == "redacted_thinking":
        return _thinking("", None, text_of(block.get("data"), place + ".data"))
    if kind == "search_result":
        found = [b.get("text", "") for b in _content(block.get("content"), place) if isinstance(b, dict)]
        return Text("\n".join([str(block.get("title", "")), str(block.get("source", "")), *map(str, found)]))
    form.note(place, f"{kind} was left out, it has no counterpart")
    return None


def _thinking(text: str, signature: Any, redacted: str) -> Thinking:
    sealed = unseal(signature) or unseal(redacted)
    if sealed is not None:
        return Thinking(text, item_id=str(sealed.get("id", "")), encrypted=str(sealed.get("encrypted_content") or ""))
    return Thinking(text, signature if isinstance(signature, str) else "", redacted)


def _image(source: dict[str, Any], place: str) -> Image:
    kind = source.get("type")
    if kind == "base64":
        return Image(data=text_of(source.get("data"), place), media=text_of(source.get("media_type"), place))
    if kind == "url":
        return Image(url=text_of(source.get("url"), place))
    raise Untranslatable(place + ".source", f"a source of type {kind} is known to Anthropic only")


def _document(block: dict[str, Any], source: dict[str, Any], place: str) -> Any:
    kind, name = source.get("type"), text_of(block.get("title"), place + ".title")
    if kind == "base64":
        media = text_of(source.get("media_type"), place)
        return Document(data=text_of(source.get("data"), place), media=media, name=name)
    if kind == "url":
        return Document(url=text_of(source.get("url"), place), name=name)
    if kind == "text":
        return Document(text=text_of(source.get("data"), place), media="text/plain", name=name)
    if kind == "content":
        parts = _content(source.get("content"), place)
        return Document(text="\n".join(str(b.get("text", "")) for b in parts if isinstance(b, dict)), name=name)
    raise Untranslatable(place + ".source", f"a source of type {kind} is known to Anthropic only")


# -- writing ---------------------------------------------------------------------------------------------------


def write(form: Form, model: str) -> dict[str, Any]:
    """Give the request's body."""
    body: dict[str, Any] = {"model": model, "max_tokens": form.max_tokens or MAX_TOKENS}
    system, turns = _gathered(form)
    messages = _messages(form, turns)
    _write_thinking(form, body, messages)
    if system:
        body["system"] = [{"type": "text", "text": text} for text in system]
    if form.json_any:
        body.setdefault("system", []).append({"type": "text", "text": "Answer with a JSON object and nothing else."})
        form.note("response_format", "json_object is asked for in the system prompt")
    if form.json_schema is not None:
        body.setdefault("output_config", {})["format"] = {"type": "json_schema", "schema": form.json_schema}
    _write_tools(form, body)
    _write_settings(form, body)
    body["messages"] = messages
    _mark_for_caching(body)
    if form.user or form.session:
        body["metadata"] = {"user_id": (f"session_{form.session}" if form.session else form.user)[:256]}
    if form.is_streaming:
        body["stream"] = True
    return body


def _gathered(form: Form) -> tuple[list[str], list[Turn]]:
    """The system prompt with what stands in front of the conversation, and turns whose roles alternate."""
    system = [text for text in form.system if text.strip()]
    turns: list[Turn] = []
    for turn in form.turns:
        if turn.role == "system":
            texts = [part.text for part in turn.parts if isinstance(part, Text) and part.text.strip()]
            if not turns:
                system += texts
                continue
            turn = Turn("user", [Text(f"<system>\n{text}\n</system>") for text in texts])
        if turns and turns[-1].role == turn.role:
            turns[-1] = Turn(turn.role, [*turns[-1].parts, *turn.parts])
        else:
            turns.append(turn)
    return system, turns


def _messages(form: Form, turns: list[Turn]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    open_calls: list[str] = []
    for turn in turns:
        blocks = [block for part in turn.parts if (block := _block(part, form, turn.role)) is not None]
        if turn.role == "user":
            blocks = _answered(form, blocks, open_calls)
            open_calls = []
        elif open_calls:
            messages.append({"role": "user", "content": _answered(form, [], open_calls)})
        if turn.role == "assistant":
            open_calls = [block["id"] for block in blocks if block["type"] == "tool_use"]
        if blocks:
            messages.append({"role": turn.role, "content": blocks})
    if open_calls:
        messages.append({"role": "user", "content": _answered(form, [], open_calls)})
    if not messages or messages[0]["role"] != "user":
        messages.insert(0, {"role": "user", "content": [{"type": "text", "text": "Continue."}]})
    return messages


def _answered(form: Form, blocks: list[dict[str, Any]], calls: list[str]) -> list[dict[str, Any]]:
    """Results first, one for each call: Anthropic takes no call without and no result that nobody asked for."""
    results = {b["tool_use_id"]: b for b in blocks if b["type"] == "tool_result"}
    for id in results.keys() - set(calls):
        form.note("messages", f"the result of the unknown call {id} was left out")
    for id in set(calls) - results.keys():
        form.note("messages", f"the call {id} has no result: an empty one stands for it")
    empty = {"content": "(no result)", "is_error": True}
    given = [results.get(id) or {"type": "tool_result", "tool_use_id": id, **empty} for id in calls]
    return [*given, *(block for block in blocks if block["type"] != "tool_result")]


def _block(part: Any, form: Form, role: str) -> dict[str, Any] | None:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text} if part.text.strip() else None
    if isinstance(part, Image):
        if role == "assistant":
            form.note("messages", "an image of the assistant was left out")
            return None
        return {"type": "image", "source": _source(part.url, part.data, part.media)}
    if isinstance(part, Document):
        source = _source(part.url, part.data, part.media)
        if part.text:
            source = {"type": "text", "media_type": "text/plain", "data": part.text}
        return {"type": "document", "source": source, **({"title": part.name} if part.name else {})}
    if isinstance(part, Call):
        arguments = {"input": part.arguments} if part.is_custom else object_of(part.arguments)
        return {"type": "tool_use", "id": call_id(part.id), "name": tool_name(part.name), "input": arguments}
    if isinstance(part, Result):
        content = [block for p in part.parts if (block := _block(p, form, "user")) is not None]
        plain = content[0]["text"] if len(content) == 1 and content[0]["type"] == "text" else content
        block = {"type": "tool_result", "tool_use_id": call_id(part.id), "content": plain or "(empty)"}
        return {**block, "is_error": True} if part.is_error else block
    if part.redacted:
        return {"type": "redacted_thinking", "data": part.redacted}
    if part.signature:
        return {"type": "thinking", "thinking": part.text, "signature": part.signature}
    return None  # another vendor's thinking: Anthropic takes its own only


def _source(url: str, data: str, media: str) -> dict[str, Any]:
    return {"type": "url", "url": url} if url else {"type": "base64", "media_type": media, "data": data}


def _write_tools(form: Form, body: dict[str, Any]) -> None:
    if not form.tools:
        return
    body["tools"] = [
        {"name": tool_name(tool.name), **({"description": tool.description} if tool.description else {}),
         "input_schema": _CUSTOM_SCHEMA if tool.is_custom else _schema(tool.schema)}
        for tool in form.tools
    ]  # fmt: skip
    choice: dict[str, Any] = {}
    if form.tool_choice.startswith("="):
        choice = {"type": "tool", "name": tool_name(form.tool_choice[1:])}
    elif form.tool_choice:
        choice = {"type": form.tool_choice}
    if choice.get("type") in ("tool", "any") and "thinking" in body and body["thinking"]["type"] != "disabled":
        form.note("tool_choice", "it is auto, as a model that thinks takes no other")
        choice = {"type": "auto"}
    if form.parallel is False and choice.get("type") != "none":
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    if choice:
        body["tool_choice"] = choice


def _schema(schema: Any) -> Any:
    return (
        schema if isinstance(schema, dict) and schema.get("type") == "object" else {"type": "object", **(schema or {})}
    )


def _write_thinking(form: Form, body: dict[str, Any], messages: list[dict[str, Any]]) -> None:
    effort = form.effort if form.effort != "none" else ""
    if form.thinks is False or (not effort and not form.budget and not form.thinks):
        return
    if _lacks_thinking(messages):
        form.note("reasoning", "off for this request: the turn with the last tool call came without its thinking")
        return
    budget = form.budget or BUDGETS.get(effort, BUDGETS["medium"])
    if form.max_tokens is None:
        body["max_tokens"] = budget + MAX_TOKENS
    budget = min(budget, body["max_tokens"] - MIN_BUDGET // 2)
    if budget < MIN_BUDGET:
        form.note("reasoning", f"left out, max_tokens {body['max_tokens']} leaves no room for it")
        return
    body["thinking"] = {"type": "enabled", "budget_tokens": budget}


def _lacks_thinking(messages: list[dict[str, Any]]) -> bool:
    """Whether the last turn of the assistant calls tools and has no thinking in front, which Anthropic refuses."""
    if not messages or not any(block["type"] == "tool_result" for block in messages[-1]["content"]):
        return False
    last = next((m["content"] for m in reversed(messages) if m["role"] == "assistant"), [])
    return bool(last) and last[0]["type"] not in ("thinking", "redacted_thinking")


def _write_settings(form: Form, body: dict[str, Any]) -> None:
    thinks = "thinking" in body
    if form.temperature is not None:
        if thinks:
            form.note("temperature", "left out, a model that thinks takes none")
        else:
            body["temperature"] = min(form.temperature, 1.0)
            if form.temperature > 1:
                form.note("temperature", "it is 1, the most that Anthropic takes")
    if form.top_p is not None:
        if thinks or "temperature" in body:
            form.note("top_p", "left out beside temperature or thinking")
        else:
            body["top_p"] = form.top_p
    stop = [text for text in form.stop if text.strip()]
    if len(stop) != len(form.stop):
        form.note("stop", "a sequence of white space was left out, Anthropic takes none")
    if stop:
        body["stop_sequences"] = stop


def _mark_for_caching(body: dict[str, Any]) -> None:
    """Mark what stays the same from request to request: OpenAI caches by itself, Anthropic where it is told."""
    mark = {"type": "ephemeral"}
    for name in ("tools", "system"):
        if body.get(name):
            body[name][-1] = {**body[name][-1], "cache_control": mark}
    users = [message for message in body["messages"] if message["role"] == "user"][-2:]
    for message in users:
        message["content"][-1] = {**message["content"][-1], "cache_control": mark}
