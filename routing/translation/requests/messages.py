"""Anthropic Messages: requests read and written. https://docs.anthropic.com/en/api/messages."""

from base64 import b64decode
from typing import Any

from routing.session_ids import session_id_of
from routing.translation.context import Untranslatable
from routing.translation.requests.abilities import always_thinks, most_tokens, takes_sampling, takes_schemas
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
    role_of,
    text_of,
    texts_of,
    tool_name,
)
from routing.translation.requests.openais import drop_shared
from routing.translation.requests.schemas import FREE_TEXT, closed, is_strict, of_tool
from routing.translation.requests.thinking import is_thinking, write_thinking
from routing.translation.sealed import unseal

_DROPPED = ("top_k", "container", "mcp_servers", "inference_geo", "betas", "context_management", "speed")
_PICTURES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_MARK = {"type": "ephemeral"}
_SYSTEM = {"type": "text", "text": "Answer with a JSON object and nothing else."}


def read(body: dict[str, Any]) -> Form:
    """Read a request. Raises Untranslatable."""
    form = Form()
    form.system = [text_of(mapping(b, "system").get("text"), "system") for b in _content(body.get("system"), "system")]
    for index, message in enumerate(items(body.get("messages"), "messages")):
        place = f"messages[{index}]"
        message = mapping(message, place)
        role = role_of(form, message.get("role"), place + ".role")
        parts = [
            _part(mapping(b, place), f"{place}.content[{n}]", form)
            for n, b in enumerate(_content(message.get("content"), place + ".content"))
        ]
        form.turns.append(Turn(role, [p for p in parts if p is not None]))
    _read_tools(form, body)
    form.max_tokens = number_of(body.get("max_tokens"), "max_tokens")
    form.temperature = number_of(body.get("temperature"), "temperature")
    form.top_p = number_of(body.get("top_p"), "top_p")
    form.stop = texts_of(body.get("stop_sequences"), "stop_sequences")
    form.is_streaming = form.include_usage = body.get("stream") is True
    _read_thinking(form, body)
    metadata = body.get("metadata") or {}
    form.user = text_of(mapping(metadata, "metadata").get("user_id"), "metadata.user_id")
    form.session = session_id_of([], encode({"metadata": {"user_id": form.user}})) or "" if form.user else ""
    dropped(form, body, _DROPPED)
    if body.get("service_tier") not in (None, "auto"):
        form.note("service_tier", "left out, it has no counterpart")
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
            form.note("tools", f"{tool.get('type') or name} was left out, it is a tool of Anthropic's own")
            continue
        description = text_of(tool.get("description"), f"tools[{index}].description")
        form.tools.append(Tool(name, description, tool["input_schema"], _strictness(form, tool, name)))
    choice = body.get("tool_choice")
    if choice is None:
        return
    choice = mapping(choice, "tool_choice")
    kind = choice.get("type")
    if kind not in ("auto", "any", "none", "tool"):
        raise Untranslatable("tool_choice.type", f"{str(kind)[:40]} is not known")
    form.tool_choice = "=" + text_of(choice.get("name"), "tool_choice.name") if kind == "tool" else kind
    if choice.get("disable_parallel_tool_use") is True:
        form.parallel = False


def _strictness(form: Form, tool: dict[str, Any], name: str) -> bool | None:
    """Whether OpenAI shall hold to a tool's schema, of which it takes fewer than Anthropic; None where it is not said."""
    if tool.get("strict") is not True:
        return None
    strict = is_strict(tool["input_schema"])
    if not strict:
        form.note("tools", f"{name} is not strict, as OpenAI wants each property required for that")
    return strict


def _read_thinking(form: Form, body: dict[str, Any]) -> None:
    thinking = body.get("thinking")
    if thinking is not None:
        thinking = mapping(thinking, "thinking")
        form.thinks = thinking.get("type") not in ("disabled", "between_tools", None)
        form.budget = number_of(thinking.get("budget_tokens"), "thinking.budget_tokens")
    config = body.get("output_config")
    config = mapping(config, "output_config") if config is not None else {}
    form.effort = text_of(config.get("effort"), "output_config.effort")
    wanted = config.get("format") or body.get("output_format")
    if wanted is not None:
        wanted = mapping(wanted, "output_config.format")
        if wanted.get("type") == "json_schema":
            form.json_schema = mapping(wanted.get("schema"), "output_config.format.schema")


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
    body: dict[str, Any] = {"model": model, "max_tokens": form.max_tokens or most_tokens(model)}
    system, turns = _parted(form)
    body["messages"] = _messages(form, turns)
    if system:
        body["system"] = [{"type": "text", "text": text} for text in system]
    _write_format(form, body, model)
    write_thinking(form, body, model)
    _write_tools(form, body, model)
    _write_settings(form, body, model)
    drop_shared(form)
    _mark_for_caching(body)
    if form.user or form.session:
        body["metadata"] = {"user_id": (f"session_{form.session}" if form.session else form.user)[:256]}
    if form.is_streaming:
        body["stream"] = True
    return body


def _parted(form: Form) -> tuple[list[str], list[Turn]]:
    """The system prompt, with what of it stands in front of the conversation, and the conversation."""
    turns = form.turns
    first = next((n for n, turn in enumerate(turns) if turn.role != "system"), len(turns))
    texts = [part.text for turn in turns[:first] for part in turn.parts if isinstance(part, Text)]
    return [text for text in (*form.system, *texts) if text.strip()], turns[first:]


def _messages(form: Form, turns: list[Turn]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for turn in turns:
        role = "assistant" if turn.role == "assistant" else "user"
        parts = turn.parts if turn.role != "system" else [_marked_system(part) for part in turn.parts]
        blocks = [block for part in parts if (block := _block(part, form, role)) is not None]
        if not blocks:
            continue
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += blocks
        else:
            messages.append({"role": role, "content": blocks})
    if not messages or messages[0]["role"] != "user":
        messages.insert(0, _go_on())
    if messages[-1]["role"] != "user":
        form.note("messages", "the user says 'Continue.' after the last message, newer models want to be asked")
        messages.append(_go_on())
    return messages


def _go_on() -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": "Continue."}]}


def _marked_system(part: Any) -> Any:
    """What a developer says amid the conversation, where Anthropic knows users only."""
    if isinstance(part, Text) and part.text.strip():
        return Text(f"<system>\n{part.text}\n</system>")
    return part


def _block(part: Any, form: Form, role: str) -> dict[str, Any] | None:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text} if part.text.strip() else None
    if isinstance(part, Call):
        arguments = {"input": part.arguments} if part.is_custom else object_of(part.arguments)
        return {"type": "tool_use", "id": call_id(part.id), "name": tool_name(part.name), "input": arguments}
    if isinstance(part, Result):
        content = [block for p in part.parts if (block := _block(p, form, "user")) is not None]
        plain = content[0]["text"] if len(content) == 1 and content[0]["type"] == "text" else content
        block = {"type": "tool_result", "tool_use_id": call_id(part.id), "content": plain or "(empty)"}
        return {**block, "is_error": True} if part.is_error else block
    if isinstance(part, Image | Document):
        if role == "assistant":
            form.note("messages", "pictures and files of the assistant were left out")
            return None
        return _picture(part) if isinstance(part, Image) else _file(part)
    if part.redacted:
        return {"type": "redacted_thinking", "data": part.redacted}
    if part.signature:
        return {"type": "thinking", "thinking": part.text, "signature": part.signature}
    return None  # another vendor's thinking: Anthropic takes its own only


def _picture(image: Image) -> dict[str, Any]:
    if image.url.startswith("data:") or (not image.url and image.media not in _PICTURES):
        raise Untranslatable("messages", f"a picture of type {image.media[:40] or 'unknown'} is not known to Anthropic")
    return {"type": "image", "source": _source(image.url, image.data, image.media)}


def _file(document: Document) -> dict[str, Any]:
    source = _source(document.url, document.data, document.media)
    if document.text or document.media.startswith("text/"):
        text = document.text
        if not text and document.data:
            try:
                text = b64decode(document.data, validate=True).decode("utf-8", "replace")
            except ValueError:
                raise Untranslatable("messages", "a file that is no base64") from None
        source = {"type": "text", "media_type": "text/plain", "data": text or "(empty)"}
    elif not document.url and document.media != "application/pdf":
        raise Untranslatable("messages", f"a file of type {document.media[:80]} is not known to Anthropic")
    return {"type": "document", "source": source, **({"title": document.name} if document.name else {})}


def _source(url: str, data: str, media: str) -> dict[str, Any]:
    return {"type": "url", "url": url} if url else {"type": "base64", "media_type": media, "data": data}


def _write_format(form: Form, body: dict[str, Any], model: str) -> None:
    if form.json_any:
        body.setdefault("system", []).append({**_SYSTEM})
        form.note("response_format", "json_object is asked for in the system prompt")
    elif form.json_schema is not None and takes_schemas(model):
        body["output_config"] = {"format": {"type": "json_schema", "schema": closed(form.json_schema)}}
    elif form.json_schema is not None:
        text = f"{_SYSTEM['text']} It has to follow this JSON schema:\n{encode(form.json_schema).decode()}"
        body.setdefault("system", []).append({"type": "text", "text": text})
        form.note("response_format", f"the schema is asked for in the system prompt, {model} holds to none")


def _write_tools(form: Form, body: dict[str, Any], model: str) -> None:
    if not form.tools:
        _write_known_tools(body)
        return
    can_be_strict = takes_schemas(model)
    body["tools"] = [_tool(tool, can_be_strict) for tool in form.tools]
    choice: dict[str, Any] = {}
    if form.tool_choice.startswith("="):
        choice = {"type": "tool", "name": tool_name(form.tool_choice[1:])}
    elif form.tool_choice:
        choice = {"type": form.tool_choice}
    if choice.get("type") in ("tool", "any") and (is_thinking(body) or always_thinks(model)):
        form.note("tool_choice", f"it is auto, {model} thinks and so takes no other")
        choice = {"type": "auto"}
    if form.parallel is False and choice.get("type") != "none":
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    if choice:
        body["tool_choice"] = choice


def _tool(tool: Tool, can_be_strict: bool) -> dict[str, Any]:
    written: dict[str, Any] = {"name": tool_name(tool.name)}
    if tool.description:
        written["description"] = tool.description
    written["input_schema"] = FREE_TEXT if tool.is_custom else of_tool(tool.schema)
    if tool.strict is True and can_be_strict and not tool.is_custom:
        written |= {"input_schema": closed(written["input_schema"]), "strict": True}
    return written


def _write_known_tools(body: dict[str, Any]) -> None:
    """Name the tools of the conversation where the request has none, as it may not call what it does not name."""
    names = {block["name"]: None for m in body["messages"] for block in m["content"] if block["type"] == "tool_use"}
    if names:
        body["tools"] = [{"name": name, "input_schema": of_tool(None)} for name in names]
        body["tool_choice"] = {"type": "none"}


def _write_settings(form: Form, body: dict[str, Any], model: str) -> None:
    refused = ""
    if is_thinking(body):
        refused = "a model that thinks takes none"
    elif not takes_sampling(model):
        refused = f"{model} takes none"
    if form.temperature is not None:
        if refused:
            form.note("temperature", f"left out, {refused}")
        else:
            body["temperature"] = min(form.temperature, 1.0)
            if form.temperature > 1:
                form.note("temperature", "it is 1, the most that Anthropic takes")
    if form.top_p is not None:
        if refused or "temperature" in body:
            form.note("top_p", f"left out, {refused or 'Anthropic takes it or temperature'}")
        else:
            body["top_p"] = form.top_p
    stop = [text for text in form.stop if text.strip()]
    if len(stop) != len(form.stop):
        form.note("stop", "a sequence of white space was left out, Anthropic takes none")
    if stop:
        body["stop_sequences"] = stop


def _mark_for_caching(body: dict[str, Any]) -> None:
    """Mark what stays the same from request to request: OpenAI caches by itself, Anthropic where it is told."""
    for name in ("tools", "system"):
        if body.get(name):
            body[name][-1] = {**body[name][-1], "cache_control": _MARK}
    users = [message for message in body["messages"] if message["role"] == "user"][-2:]
    for message in users:
        message["content"][-1] = {**message["content"][-1], "cache_control": _MARK}
