"""OpenAI Responses: requests read and written. https://platform.openai.com/docs/api-reference/responses/create."""

from typing import Any

from routing.translation.context import Untranslatable
from routing.translation.requests.chat import (
    arguments_of,
    effort_of,
    is_reasoning,
    read_choice,
    write_choice,
    write_sampling,
)
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
    image_of,
    items,
    mapping,
    number_of,
    result_text,
    text_of,
    tool_name,
)
from routing.translation.sealed import unseal

_REFUSED = {
    "previous_response_id": "an answer that is stored at OpenAI cannot be continued elsewhere",
    "conversation": "a conversation that is stored at OpenAI cannot be continued elsewhere",
    "prompt": "a prompt that is stored at OpenAI cannot be used elsewhere",
    "background": "an answer in the background can be had of OpenAI only",
}
_DROPPED = (
    "truncation", "max_tool_calls", "top_logprobs", "service_tier", "context_management", "moderation",
    "prompt_cache_retention", "prompt_cache_options",
)  # fmt: skip
_DO_NOT_REASON = ("gpt-3", "gpt-4", "chatgpt-4")
_CUSTOM_SCHEMA = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}


def read(body: dict[str, Any]) -> Form:
    """Read a request. Raises Untranslatable."""
    for name, why in _REFUSED.items():
        if body.get(name):
            raise Untranslatable(name, why)
    form = Form()
    instructions = text_of(body.get("instructions"), "instructions")
    form.system = [instructions] if instructions else []
    given = body.get("input")
    if isinstance(given, str):
        form.turns.append(Turn("user", [Text(given)]))
    else:
        for index, item in enumerate(items(given, "input")):
            _read_item(form, mapping(item, f"input[{index}]"), f"input[{index}]")
    _read_tools(form, body)
    form.max_tokens = number_of(body.get("max_output_tokens"), "max_output_tokens")
    form.temperature = number_of(body.get("temperature"), "temperature")
    form.top_p = number_of(body.get("top_p"), "top_p")
    reasoning = body.get("reasoning")
    if reasoning is not None:
        form.effort = text_of(mapping(reasoning, "reasoning").get("effort"), "reasoning.effort")
    form.is_streaming = form.include_usage = body.get("stream") is True
    _read_format(form, body.get("text"))
    form.user = text_of(body.get("safety_identifier") or body.get("user"), "user")
    form.session = text_of(body.get("prompt_cache_key"), "prompt_cache_key")
    dropped(form, body, _DROPPED)
    return form


def _read_format(form: Form, text: Any) -> None:
    wanted = mapping(text, "text").get("format") if text is not None else None
    if wanted is None:
        return
    wanted = mapping(wanted, "text.format")
    if wanted.get("type") == "json_object":
        form.json_any = True
    elif wanted.get("type") == "json_schema":
        form.json_schema, form.json_name = wanted.get("schema") or {}, text_of(wanted.get("name"), "text.format")


def _read_item(form: Form, item: dict[str, Any], place: str) -> None:
    kind = item.get("type") or "message"
    if kind == "message":
        role = text_of(item.get("role"), place + ".role")
        role = {"developer": "system"}.get(role, role if role in ("system", "assistant") else "user")
        form.turns.append(Turn(role, _parts(form, item.get("content"), place + ".content")))
    elif kind in ("function_call", "custom_tool_call"):
        id = text_of(item.get("call_id") or item.get("id"), place + ".call_id")
        is_custom = kind == "custom_tool_call"
        arguments = text_of(item.get("input" if is_custom else "arguments"), place)
        form.turns.append(
            Turn("assistant", [Call(id, text_of(item.get("name"), place + ".name"), arguments, is_custom)])
        )
    elif kind in ("function_call_output", "custom_tool_call_output"):
        id = text_of(item.get("call_id"), place + ".call_id")
        parts = _parts(form, item.get("output"), place + ".output")
        form.turns.append(Turn("user", [Result(id, parts, is_custom=kind.startswith("custom"))]))
    elif kind == "reasoning":
        form.turns.append(Turn("assistant", [_reasoning(item, place)]))
    elif kind == "item_reference":
        raise Untranslatable(place, "an item that is stored at OpenAI cannot be read from here")
    else:
        form.note(place, f"{kind} was left out, it is known to OpenAI only")


def _reasoning(item: dict[str, Any], place: str) -> Thinking:
    parts = [*items(item.get("summary"), place), *items(item.get("content"), place)]
    text = "\n\n".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))
    encrypted = item.get("encrypted_content")
    sealed = unseal(encrypted)
    if sealed is None:
        return Thinking(text, item_id=text_of(item.get("id"), place), encrypted=text_of(encrypted, place))
    return Thinking(text, signature=str(sealed.get("signature") or ""), redacted=str(sealed.get("redacted") or ""))


def _parts(form: Form, content: Any, place: str) -> list[Any]:
    if isinstance(content, str):
        return [Text(content)] if content else []
    parts: list[Any] = []
    for index, part in enumerate(items(content, place)):
        at = f"{place}[{index}]"
        part = mapping(part, at)
        kind = part.get("type")
        if kind in ("input_text", "output_text", "text", "summary_text"):
            parts.append(Text(text_of(part.get("text"), at)))
        elif kind == "refusal":
            parts.append(Text(text_of(part.get("refusal"), at)))
        elif kind == "input_image":
            if not part.get("image_url"):
                raise Untranslatable(at, "an image that is stored at OpenAI cannot be read from here")
            parts.append(image_of(text_of(part["image_url"], at), text_of(part.get("detail"), at)))
        elif kind == "input_file":
            parts.append(_file(part, at))
        else:
            raise Untranslatable(at, f"{kind} is known to OpenAI only")
    return parts


def _file(part: dict[str, Any], at: str) -> Document:
    name = text_of(part.get("filename"), at)
    if part.get("file_url"):
        return Document(url=text_of(part["file_url"], at), name=name)
    if not part.get("file_data"):
        raise Untranslatable(at, "a file that is stored at OpenAI cannot be read from here")
    found = image_of(text_of(part["file_data"], at))
    return Document(data=found.data or found.url, media=found.media or "application/pdf", name=name)


def _read_tools(form: Form, body: dict[str, Any]) -> None:
    for index, tool in enumerate(items(body.get("tools"), "tools")):
        place = f"tools[{index}]"
        tool = mapping(tool, place)
        kind = tool.get("type")
        if kind not in ("function", "custom"):
            form.note(place, f"{kind} was left out, it runs at OpenAI")
            continue
        name = text_of(tool.get("name"), place + ".name")
        description = text_of(tool.get("description"), place + ".description")
        if kind == "custom" and isinstance(tool.get("format"), dict) and tool["format"].get("definition"):
            description += f"\n\nThe input follows this grammar:\n{tool['format']['definition']}"
        schema = tool.get("parameters") or {"type": "object", "properties": {}}
        form.tools.append(Tool(name, description, schema, tool.get("strict"), kind == "custom"))
    form.tool_choice = read_choice(body.get("tool_choice"))
    if isinstance(body.get("parallel_tool_calls"), bool):
        form.parallel = body["parallel_tool_calls"]


# -- writing ---------------------------------------------------------------------------------------------------


def write(form: Form, model: str) -> dict[str, Any]:
    """Give the request's body."""
    body: dict[str, Any] = {"model": model, "store": False}
    system = "\n\n".join(text for text in form.system if text)
    if system:
        body["instructions"] = system
    body["input"] = [item for turn in form.turns for item in _items(form, turn)]
    if form.tools:
        body["tools"] = [
            {"type": "function", "name": tool_name(tool.name), "description": tool.description,
             "parameters": _CUSTOM_SCHEMA if tool.is_custom else tool.schema, "strict": bool(tool.strict)}
            for tool in form.tools
        ]  # fmt: skip
        choice = write_choice(form.tool_choice)
        if choice:
            body["tool_choice"] = choice
        if form.parallel is not None:
            body["parallel_tool_calls"] = form.parallel
    # A name that is none of OpenAI's own may be anything: it reasons if it was asked to.
    reasons = is_reasoning(model) or (bool(effort_of(form)) and not model.startswith(_DO_NOT_REASON))
    if form.max_tokens is not None:
        body["max_output_tokens"] = max(form.max_tokens, 16)  # the least that it takes
    write_sampling(form, body, reasons)
    if form.stop:
        form.note("stop", "left out, Responses has no such setting")
    if reasons:
        effort = effort_of(form)
        body["include"] = ["reasoning.encrypted_content"]
        if effort:
            body["reasoning"] = {"effort": effort, "summary": "auto"}
    if form.json_schema is not None:
        schema = {"type": "json_schema", "name": form.json_name or "answer", "schema": form.json_schema, "strict": True}
        body["text"] = {"format": schema}
    elif form.json_any:
        body["text"] = {"format": {"type": "json_object"}}
    if form.session or form.user:
        body["prompt_cache_key"] = (form.session or form.user)[-64:]
    if form.is_streaming:
        body["stream"] = True
    return body


def _items(form: Form, turn: Turn) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    content: list[dict[str, Any]] = []
    for part in turn.parts:
        if isinstance(part, Thinking):
            found += _message(turn, content)
            found += _thought(part)
        elif isinstance(part, Call):
            found += _message(turn, content)
            found.append({"type": "function_call", "call_id": call_id(part.id), "name": tool_name(part.name),
                          "arguments": arguments_of(part)})  # fmt: skip
        elif isinstance(part, Result):
            found += _message(turn, content)
            pictures = [_content(p, "user") for p in part.parts if isinstance(p, Image | Document)]
            text = result_text(part)
            texts = [{"type": "input_text", "text": text}] if text else []
            output = [*texts, *pictures] if pictures else text
            found.append({"type": "function_call_output", "call_id": call_id(part.id), "output": output})
        elif turn.role == "assistant" and not isinstance(part, Text):
            form.note("messages", "an image of the assistant was left out")
        elif not isinstance(part, Text) or part.text:
            content.append(_content(part, turn.role))
    return [*found, *_message(turn, content)]


def _message(turn: Turn, content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give what was said so far as a message, and begin anew."""
    if not content:
        return []
    role = "developer" if turn.role == "system" else turn.role
    message = {"type": "message", "role": role, "content": [*content]}
    content.clear()
    return [message]


def _thought(part: Thinking) -> list[dict[str, Any]]:
    if not part.encrypted:
        return []  # another vendor's: OpenAI takes its own only
    summary = [{"type": "summary_text", "text": part.text}] if part.text else []
    return [{"type": "reasoning", "id": part.item_id, "summary": summary, "encrypted_content": part.encrypted}]


def _content(part: Any, role: str) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "output_text" if role == "assistant" else "input_text", "text": part.text}
    if isinstance(part, Image):
        return {"type": "input_image", "image_url": part.address(), "detail": part.detail or "auto"}
    if part.text:
        return {"type": "input_text", "text": f"{part.name}\n\n{part.text}" if part.name else part.text}
    if part.url:
        return {"type": "input_file", "file_url": part.url}
    data = f"data:{part.media};base64,{part.data}"
    return {"type": "input_file", "filename": part.name or "document.pdf", "file_data": data}
