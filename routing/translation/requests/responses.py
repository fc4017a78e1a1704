"""OpenAI Responses: requests read and written. https://platform.openai.com/docs/api-reference/responses/create."""

from typing import Any

from routing.translation.context import Untranslatable
from routing.translation.requests.abilities import is_reasoning
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
    document_of,
    dropped,
    encode,
    image_of,
    items,
    mapping,
    number_of,
    result_text,
    role_of,
    text_of,
    tool_name,
)
from routing.translation.requests.openais import (
    answer_schema,
    arguments_of,
    effort_of,
    openai_fields,
    read_choice,
    read_shared,
    with_grammar,
    write_choice,
    write_sampling,
)
from routing.translation.requests.schemas import FREE_TEXT, of_tool
from routing.translation.sealed import unseal

_REFUSED = {
    "previous_response_id": "an answer that is stored at OpenAI cannot be continued elsewhere",
    "conversation": "a conversation that is stored at OpenAI cannot be continued elsewhere",
    "prompt": "a prompt that is stored at OpenAI cannot be used elsewhere",
    "background": "an answer in the background can be had of OpenAI only",
}
_DROPPED = (
    "truncation",
    "max_tool_calls",
    "top_logprobs",
    "context_management",
    "background_options",
    "access_programs",
)
# Items that stand for what was said before, and can be read at OpenAI only.
_OPAQUE = ("item_reference", "compaction", "compaction_summary", "compaction_trigger")
# Calls of tools that the client runs, though OpenAI defines them, and where their arguments are.
_CLIENT_CALLS = {"local_shell_call": "action", "shell_call": "action", "apply_patch_call": "operation"}
_DO_NOT_REASON = ("gpt-3", "gpt-4", "chatgpt-4")


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
    read_shared(form, body)
    dropped(form, body, _DROPPED)
    return form


def _read_format(form: Form, text: Any) -> None:
    if text is None:
        return
    text = mapping(text, "text")
    form.verbosity = text_of(text.get("verbosity"), "text.verbosity")
    wanted = mapping(text.get("format") or {}, "text.format")
    if wanted.get("type") == "json_object":
        form.json_any = True
    elif wanted.get("type") == "json_schema":
        form.json_schema = mapping(wanted.get("schema") or {}, "text.format.schema")
        form.json_name = text_of(wanted.get("name"), "text.format.name")
        form.json_strict = wanted.get("strict") is True


def _read_item(form: Form, item: dict[str, Any], place: str) -> None:
    kind = item.get("type") or "message"
    if kind == "message":
        role = role_of(form, item.get("role"), place + ".role")
        form.turns.append(Turn(role, _parts(form, item.get("content"), place + ".content")))
    elif kind in ("function_call", "custom_tool_call"):
        id = text_of(item.get("call_id") or item.get("id"), place + ".call_id")
        is_custom = kind == "custom_tool_call"
        arguments = text_of(item.get("input" if is_custom else "arguments"), place)
        namespace = text_of(item.get("namespace"), place + ".namespace")
        name = _one_name(form, namespace, text_of(item.get("name"), place + ".name"))
        form.turns.append(Turn("assistant", [Call(id, name, arguments, is_custom)]))
    elif kind in ("function_call_output", "custom_tool_call_output"):
        id = text_of(item.get("call_id"), place + ".call_id")
        parts = _parts(form, item.get("output"), place + ".output")
        form.turns.append(Turn("user", [Result(id, parts, is_custom=kind.startswith("custom"))]))
    elif kind == "reasoning":
        form.turns.append(Turn("assistant", [_reasoning(item, place)]))
    elif kind in _OPAQUE:
        raise Untranslatable(place, f"{kind}: what it stands for can be read at OpenAI only")
    elif not _read_client_call(form, kind, item, place):
        form.note("input", f"{kind} was left out, it is known to OpenAI only")


def _read_client_call(form: Form, kind: Any, item: dict[str, Any], place: str) -> bool:
    """Read a call, or its result, of a tool that OpenAI defines and the client runs, as that of any other tool."""
    name = str(kind).removesuffix("_output")
    if name not in _CLIENT_CALLS:
        return False
    id = text_of(item.get("call_id") or item.get("id"), place + ".call_id")
    if kind == name:
        arguments = encode(item.get(_CLIENT_CALLS[name]) or {}).decode()
        form.turns.append(Turn("assistant", [Call(id, name.removesuffix("_call"), arguments)]))
        return True
    output = item.get("output")
    text = output if isinstance(output, str) else encode(output).decode()
    form.turns.append(Turn("user", [Result(id, [Text(text)], item.get("status") == "failed")]))
    return True


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
    return document_of(text_of(part["file_data"], at), name)


def _read_tools(form: Form, body: dict[str, Any]) -> None:
    for index, tool in enumerate(items(body.get("tools"), "tools")):
        place = f"tools[{index}]"
        tool = mapping(tool, place)
        if tool.get("type") == "namespace":
            name = text_of(tool.get("name"), place + ".name")
            for inner in items(tool.get("tools"), place + ".tools"):
                _read_tool(form, mapping(inner, place + ".tools"), place, name)
        else:
            _read_tool(form, tool, place)
    read_choice(form, body.get("tool_choice"))
    if isinstance(body.get("parallel_tool_calls"), bool):
        form.parallel = body["parallel_tool_calls"]


def _read_tool(form: Form, tool: dict[str, Any], place: str, namespace: str = "") -> None:
    kind = tool.get("type")
    if kind not in ("function", "custom"):
        form.note("tools", f"{kind} was left out, it is known to OpenAI only")
        return
    name = _one_name(form, namespace, text_of(tool.get("name"), place + ".name"))
    description = text_of(tool.get("description"), place + ".description")
    if kind == "custom":
        description = with_grammar(description, tool.get("format"))
    form.tools.append(Tool(name, description, tool.get("parameters"), tool.get("strict"), kind == "custom"))


def _one_name(form: Form, namespace: str, name: str) -> str:
    """Give the name under which others know a tool of a namespace (Codex has one for each MCP server)."""
    if not namespace:
        return name
    form.namespaces[f"{namespace}__{name}"] = (namespace, name)
    return f"{namespace}__{name}"


# -- writing ---------------------------------------------------------------------------------------------------


def write(form: Form, model: str) -> dict[str, Any]:
    """Give the request's body."""
    body: dict[str, Any] = {"model": model, "store": False}
    system = "\n\n".join(text for text in form.system if text)
    if system:
        body["instructions"] = system
    body["input"] = [item for turn in form.turns for item in _items(form, turn)]
    if form.turns and form.turns[-1].role == "assistant":
        form.note("messages", "the answer may begin anew instead of going on with the last message")
    _write_tools(form, body)
    _write_settings(form, body, model)
    return body


def _write_tools(form: Form, body: dict[str, Any]) -> None:
    if not form.tools:
        return
    body["tools"] = [
        {"type": "function", "name": tool_name(tool.name), "description": tool.description,
         "parameters": FREE_TEXT if tool.is_custom else of_tool(tool.schema), "strict": tool.strict is True}
        for tool in form.tools
    ]  # fmt: skip
    choice = write_choice(form.tool_choice)
    if choice:
        body["tool_choice"] = choice
    if form.parallel is not None:
        body["parallel_tool_calls"] = form.parallel


def _write_settings(form: Form, body: dict[str, Any], model: str) -> None:
    effort = effort_of(form, model)
    # A name that is none of OpenAI's own may be anything: it reasons if it was asked to.
    reasons = is_reasoning(model) or (bool(effort) and not model.startswith(_DO_NOT_REASON))
    if form.max_tokens is not None:
        body["max_output_tokens"] = max(form.max_tokens, 16)  # the least that it takes
    write_sampling(form, body, reasons)
    if form.stop:
        form.note("stop", "left out, Responses has no such setting")
    if reasons:
        body["include"] = ["reasoning.encrypted_content"]
        if effort:
            body["reasoning"] = {"effort": effort} if effort == "none" else {"effort": effort, "summary": "auto"}
    text: dict[str, Any] = {"verbosity": form.verbosity} if form.verbosity else {}
    if form.json_schema is not None:
        text["format"] = {"type": "json_schema", **answer_schema(form)}
    elif form.json_any:
        text["format"] = {"type": "json_object"}
    if text:
        body["text"] = text
    body |= openai_fields(form)
    if form.is_streaming:
        body["stream"] = True


def _items(form: Form, turn: Turn) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    content: list[dict[str, Any]] = []
    # Reasoning that nothing follows is refused.
    last = max((n for n, part in enumerate(turn.parts) if not isinstance(part, Thinking)), default=-1)
    for n, part in enumerate(turn.parts):
        if isinstance(part, Thinking):
            found += _message(turn, content)
            found += _thought(part) if n < last else []
        elif isinstance(part, Call):
            found += _message(turn, content)
            found.append({"type": "function_call", "call_id": call_id(part.id), "name": tool_name(part.name),
                          "arguments": arguments_of(part)})  # fmt: skip
        elif isinstance(part, Result):
            found += _message(turn, content)
            pictures = [_content(p) for p in part.parts if isinstance(p, Image | Document)]
            text = result_text(part)
            texts = [{"type": "input_text", "text": text}] if text else []
            output = [*texts, *pictures] if pictures else text
            found.append({"type": "function_call_output", "call_id": call_id(part.id), "output": output})
        elif turn.role == "assistant" and not isinstance(part, Text):
            form.note("messages", "an image of the assistant was left out")
        elif not isinstance(part, Text) or part.text:
            content.append(_content(part))
    return [*found, *_message(turn, content)]


def _message(turn: Turn, content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give what was said so far as a message, and begin anew."""
    if not content:
        return []
    role = "developer" if turn.role == "system" else turn.role
    # Its own answers are items with an id, which nobody else has; as a plain text they need none.
    said: Any = "".join([part["text"] for part in content]) if role == "assistant" else [*content]
    content.clear()
    return [{"type": "message", "role": role, "content": said}]


def _thought(part: Thinking) -> list[dict[str, Any]]:
    if not part.encrypted:
        return []  # another vendor's: OpenAI takes its own only
    summary = [{"type": "summary_text", "text": part.text}] if part.text else []
    item = {"type": "reasoning", "summary": summary, "encrypted_content": part.encrypted}
    return [{**item, "id": part.item_id} if part.item_id else item]


def _content(part: Any) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "input_text", "text": part.text}
    if isinstance(part, Image):
        return {"type": "input_image", "image_url": part.address(), "detail": part.detail or "auto"}
    if part.text:
        return {"type": "input_text", "text": f"{part.name}\n\n{part.text}" if part.name else part.text}
    if part.url:
        return {"type": "input_file", "file_url": part.url}
    data = f"data:{part.media};base64,{part.data}"
    return {"type": "input_file", "filename": part.name or "document.pdf", "file_data": data}
