"""OpenAI Chat Completions: requests read and written. https://platform.openai.com/docs/api-reference/chat/create."""

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
    image_of,
    items,
    mapping,
    number_of,
    result_text,
    text_of,
    texts_of,
    tool_name,
)

_DROPPED = (
    "frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "top_logprobs", "seed", "prediction", "store",
    "service_tier", "verbosity", "web_search_options", "metadata", "moderation",
)  # fmt: skip
_CUSTOM_SCHEMA = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}


def read(body: dict[str, Any]) -> Form:
    """Read a request. Raises Untranslatable."""
    form = Form()
    if (body.get("n") or 1) != 1:
        raise Untranslatable("n", "more than one answer can be had of Chat Completions only")
    if "audio" in (body.get("modalities") or ()):
        raise Untranslatable("modalities", "an answer in audio can be had of Chat Completions only")
    for index, message in enumerate(items(body.get("messages"), "messages")):
        _read_message(form, mapping(message, f"messages[{index}]"), f"messages[{index}]")
    _read_tools(form, body)
    form.max_tokens = number_of(body.get("max_completion_tokens") or body.get("max_tokens"), "max_completion_tokens")
    form.temperature = number_of(body.get("temperature"), "temperature")
    form.top_p = number_of(body.get("top_p"), "top_p")
    form.stop = texts_of(body.get("stop"), "stop")
    form.effort = text_of(body.get("reasoning_effort"), "reasoning_effort")
    form.is_streaming = body.get("stream") is True
    options = body.get("stream_options")
    form.include_usage = options is not None and mapping(options, "stream_options").get("include_usage") is True
    _read_format(form, body.get("response_format"))
    form.user = text_of(body.get("safety_identifier") or body.get("user"), "user")
    form.session = text_of(body.get("prompt_cache_key"), "prompt_cache_key")
    dropped(form, body, _DROPPED)
    return form


def _read_format(form: Form, wanted: Any) -> None:
    if wanted is None:
        return
    wanted = mapping(wanted, "response_format")
    if wanted.get("type") == "json_object":
        form.json_any = True
    elif wanted.get("type") == "json_schema":
        schema = mapping(wanted.get("json_schema"), "response_format.json_schema")
        form.json_schema, form.json_name = schema.get("schema") or {}, text_of(schema.get("name"), "response_format")


def _read_message(form: Form, message: dict[str, Any], place: str) -> None:
    role = text_of(message.get("role"), place + ".role")
    if role in ("tool", "function"):
        id = text_of(message.get("tool_call_id") or message.get("name"), place + ".tool_call_id")
        form.turns.append(Turn("user", [Result(id, _parts(form, message.get("content"), place))]))
        return
    parts = _parts(form, message.get("content"), place + ".content")
    if role == "assistant":
        thought = message.get("reasoning_content") or message.get("reasoning")
        if isinstance(thought, str) and thought:
            parts.insert(0, Thinking(thought))
        if message.get("refusal"):
            parts.append(Text(text_of(message["refusal"], place + ".refusal")))
        calls = [*items(message.get("tool_calls"), place + ".tool_calls")]
        if message.get("function_call"):  # the form before there were tools
            function = mapping(message["function_call"], place + ".function_call")
            calls.append({"id": function.get("name"), "type": "function", "function": function})
        parts += [_call(mapping(call, place), f"{place}.tool_calls") for call in calls]
    form.turns.append(
        Turn({"developer": "system"}.get(role, role if role in ("system", "assistant") else "user"), parts)
    )


def _call(call: dict[str, Any], place: str) -> Call:
    id = text_of(call.get("id"), place + ".id")
    if call.get("type") == "custom":
        custom = mapping(call.get("custom"), place + ".custom")
        return Call(id, text_of(custom.get("name"), place), text_of(custom.get("input"), place), True)
    function = mapping(call.get("function"), place + ".function")
    return Call(
        id, text_of(function.get("name"), place + ".name"), text_of(function.get("arguments"), place + ".arguments")
    )


def _parts(form: Form, content: Any, place: str) -> list[Any]:
    if isinstance(content, str):
        return [Text(content)] if content else []
    parts: list[Any] = []
    for index, part in enumerate(items(content, place)):
        at = f"{place}[{index}]"
        part = mapping(part, at)
        kind = part.get("type")
        if kind in ("text", "refusal"):
            parts.append(Text(text_of(part.get(kind), at)))
        elif kind == "image_url":
            image = mapping(part.get("image_url"), at)
            parts.append(image_of(text_of(image.get("url"), at), text_of(image.get("detail"), at)))
        elif kind == "file":
            file = mapping(part.get("file"), at)
            if not file.get("file_data"):
                raise Untranslatable(at + ".file", "a file that is stored at OpenAI cannot be read from here")
            found = image_of(text_of(file["file_data"], at))
            name = text_of(file.get("filename"), at)
            parts.append(Document(data=found.data or found.url, media=found.media or "application/pdf", name=name))
        else:
            raise Untranslatable(at, f"{kind} is known to Chat Completions only")
    return parts


def _read_tools(form: Form, body: dict[str, Any]) -> None:
    tools = [*items(body.get("tools"), "tools")]
    tools += [{"type": "function", "function": f} for f in items(body.get("functions"), "functions")]
    for index, tool in enumerate(tools):
        place = f"tools[{index}]"
        tool = mapping(tool, place)
        kind = tool.get("type")
        if kind not in ("function", "custom"):
            form.note(place, f"{kind} was left out, it runs at OpenAI")
            continue
        given = mapping(tool.get(kind), f"{place}.{kind}")
        name, described = text_of(given.get("name"), place), text_of(given.get("description"), place)
        schema = given.get("parameters") or {"type": "object", "properties": {}}
        form.tools.append(Tool(name, described, schema, given.get("strict"), kind == "custom"))
    form.tool_choice = read_choice(body.get("tool_choice") or body.get("function_call"))
    if isinstance(body.get("parallel_tool_calls"), bool):
        form.parallel = body["parallel_tool_calls"]


def read_choice(choice: Any) -> str:
    """Read a tool choice of either of OpenAI's APIs."""
    if choice is None or isinstance(choice, str):
        return {"required": "any"}.get(choice or "", choice or "")
    choice = mapping(choice, "tool_choice")
    if choice.get("type") == "allowed_tools":
        allowed = choice.get("allowed_tools") or choice
        mode = allowed.get("mode") if isinstance(allowed, dict) else ""
        return "any" if mode == "required" else "auto"
    named = choice.get(choice.get("type") or "function")
    name = named.get("name") if isinstance(named, dict) else choice.get("name")
    return "=" + text_of(name, "tool_choice.name") if name else "auto"


# -- writing ---------------------------------------------------------------------------------------------------


def write(form: Form, model: str) -> dict[str, Any]:
    """Give the request's body."""
    body: dict[str, Any] = {"model": model}
    messages: list[dict[str, Any]] = []
    system = "\n\n".join(text for text in form.system if text)
    if system:
        messages.append({"role": "system", "content": system})
    for turn in form.turns:
        messages += _assistant(turn) if turn.role == "assistant" else _user(form, turn)
    body["messages"] = messages
    if form.tools:
        body["tools"] = [_tool(tool) for tool in form.tools]
        choice = write_choice(form.tool_choice)
        if choice:
            body["tool_choice"] = (
                choice if isinstance(choice, str) else {"type": "function", "function": {"name": choice["name"]}}
            )
        if form.parallel is not None:
            body["parallel_tool_calls"] = form.parallel
    _write_settings(form, body, model)
    return body


def _write_settings(form: Form, body: dict[str, Any], model: str) -> None:
    reasons = is_reasoning(model)
    if form.max_tokens is not None:
        body["max_completion_tokens" if reasons or model.startswith("gpt-") else "max_tokens"] = form.max_tokens
    write_sampling(form, body, reasons)
    if form.stop and reasons:
        form.note("stop", "left out, a model that reasons takes none")
    elif form.stop:
        body["stop"] = form.stop[:4]
        if len(form.stop) > 4:
            form.note("stop", "four of the sequences were taken, OpenAI takes no more")
    effort = effort_of(form)
    if effort and reasons:
        body["reasoning_effort"] = effort
    if form.json_schema is not None:
        schema = {"name": form.json_name or "answer", "schema": form.json_schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif form.json_any:
        body["response_format"] = {"type": "json_object"}
    if form.is_streaming:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    if reasons and (form.session or form.user):
        body["prompt_cache_key"] = (form.session or form.user)[-64:]


def is_reasoning(model: str) -> bool:
    """Tell whether a model of OpenAI reasons, and so refuses to be told how to sample."""
    name = model.rpartition("/")[2]
    if name.startswith(("o1", "o3", "o4")):
        return True
    major = name.removeprefix("gpt-")[:1]
    return name.startswith("gpt-") and major.isdigit() and int(major) >= 5 and "chat" not in name


def write_sampling(form: Form, body: dict[str, Any], reasons: bool) -> None:
    """Say how to sample, where the model may be told."""
    for name in ("temperature", "top_p"):
        value = getattr(form, name)
        if value is not None and reasons:
            form.note(name, "left out, a model that reasons takes none")
        elif value is not None:
            body[name] = value


def effort_of(form: Form) -> str:
    """Give the effort that was asked for, in OpenAI's words; empty where none was."""
    if form.thinks is False:
        return "minimal" if not form.effort else form.effort
    if form.effort:
        return form.effort
    if form.budget is None:
        return "medium" if form.thinks else ""
    steps = ((4096, "low"), (16384, "medium"), (40000, "high"))
    return next((effort for limit, effort in steps if form.budget < limit), "xhigh")


def write_choice(choice: str) -> Any:
    """Give a tool choice: a word, or an object with the tool's name; nothing where it was not said."""
    if choice.startswith("="):
        return {"type": "function", "name": tool_name(choice[1:])}
    return {"any": "required"}.get(choice, choice)


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool_name(tool.name)}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = _CUSTOM_SCHEMA if tool.is_custom else tool.schema
    if tool.strict is not None and not tool.is_custom:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _assistant(turn: Turn) -> list[dict[str, Any]]:
    text = "".join(part.text for part in turn.parts if isinstance(part, Text))
    calls = [
        {"id": call_id(part.id), "type": "function",
         "function": {"name": tool_name(part.name), "arguments": arguments_of(part)}}
        for part in turn.parts if isinstance(part, Call)
    ]  # fmt: skip
    message: dict[str, Any] = {"role": "assistant", "content": text or (None if calls else "")}
    if calls:
        message["tool_calls"] = calls
    return [message] if text or calls else []


def arguments_of(call: Call) -> str:
    """Give a call's arguments as JSON."""
    if call.is_custom:
        return encode({"input": call.arguments}).decode()
    return call.arguments or "{}"


def _user(form: Form, turn: Turn) -> list[dict[str, Any]]:
    if turn.role == "system":
        text = "\n\n".join(part.text for part in turn.parts if isinstance(part, Text))
        return [{"role": "system", "content": text}] if text else []
    messages, others = [], []
    for part in turn.parts:
        if isinstance(part, Result):
            text = result_text(part)
            pictures = [p for p in part.parts if isinstance(p, Image | Document)]
            if pictures:
                form.note("messages", "pictures and files of a tool's result follow it in a message of the user")
                text = text or "(the result follows)"
                others += pictures
            messages.append({"role": "tool", "tool_call_id": call_id(part.id), "content": text})
        elif not isinstance(part, Thinking | Call):
            others.append(part)
    if others:
        content = [_content(part) for part in others]
        plain = all(isinstance(part, Text) for part in others)
        text = "\n\n".join(part.text for part in others) if plain else ""
        messages.append({"role": "user", "content": text if plain and len(others) == 1 else content})
    return messages


def _content(part: Any) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if isinstance(part, Image):
        return {
            "type": "image_url",
            "image_url": {"url": part.address(), **({"detail": part.detail} if part.detail else {})},
        }
    if part.text:
        return {"type": "text", "text": f"{part.name}\n\n{part.text}" if part.name else part.text}
    if part.url:
        raise Untranslatable("messages", "a document by its address is not known to Chat Completions")
    file = {"filename": part.name or "document.pdf", "file_data": f"data:{part.media};base64,{part.data}"}
    return {"type": "file", "file": file}
