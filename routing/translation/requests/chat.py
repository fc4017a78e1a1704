"""OpenAI Chat Completions: requests read and written. https://platform.openai.com/docs/api-reference/chat/create."""

from typing import Any

from routing.translation.context import Untranslatable
from routing.translation.requests.abilities import is_openais, is_reasoning
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
    image_of,
    items,
    mapping,
    number_of,
    result_text,
    role_of,
    text_of,
    texts_of,
    tool_name,
)
from routing.translation.requests.openais import (
    answer_schema,
    arguments_of,
    drop_shared,
    effort_of,
    openai_fields,
    read_choice,
    read_shared,
    with_grammar,
    write_choice,
    write_sampling,
)
from routing.translation.requests.schemas import FREE_TEXT, of_tool

_DROPPED = (
    "frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "top_logprobs", "seed", "prediction", "store",
    "web_search_options",
)  # fmt: skip
_NO_PARTS = "(the result follows)"


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
    form.verbosity = text_of(body.get("verbosity"), "verbosity")
    read_shared(form, body)
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
        form.json_schema = mapping(schema.get("schema") or {}, "response_format.json_schema.schema")
        form.json_name = text_of(schema.get("name"), "response_format.json_schema.name")
        form.json_strict = schema.get("strict") is True


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
    form.turns.append(Turn(role_of(form, role, place + ".role"), parts))


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
            parts.append(document_of(text_of(file["file_data"], at), text_of(file.get("filename"), at)))
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
            form.note("tools", f"{kind} was left out, it is a tool of OpenAI's own")
            continue
        given = mapping(tool.get(kind), f"{place}.{kind}")
        name, described = text_of(given.get("name"), place), text_of(given.get("description"), place)
        if kind == "custom":
            described = with_grammar(described, given.get("format"))
        form.tools.append(Tool(name, described, given.get("parameters"), given.get("strict"), kind == "custom"))
    if body.get("functions"):
        form.parallel = False  # an answer of the form before there were tools has place for one call
    read_choice(form, body.get("tool_choice") or body.get("function_call"))
    if isinstance(body.get("parallel_tool_calls"), bool):
        form.parallel = body["parallel_tool_calls"]


# -- writing ---------------------------------------------------------------------------------------------------


def write(form: Form, model: str) -> dict[str, Any]:
    """Give the request's body."""
    body: dict[str, Any] = {"model": model}
    messages: list[dict[str, Any]] = []
    system = "\n\n".join(text for text in form.system if text)
    if system:
        messages.append({"role": "system", "content": system})
    keeps_thoughts = not is_openais(model)
    for turn in form.turns:
        messages += _assistant(turn, keeps_thoughts) if turn.role == "assistant" else _user(form, turn)
    body["messages"] = messages
    if messages and messages[-1]["role"] == "assistant":
        form.note("messages", "the answer may begin anew instead of going on with the last message")
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
    reasons, is_own = is_reasoning(model), is_openais(model)
    if form.max_tokens is not None:  # other servers know the older name only
        body["max_completion_tokens" if is_own else "max_tokens"] = form.max_tokens
    write_sampling(form, body, reasons)
    if form.stop and reasons:
        form.note("stop", "left out, a model that reasons takes none")
    elif form.stop:
        body["stop"] = form.stop[:4]
        if len(form.stop) > 4:
            form.note("stop", "four of the sequences were taken, OpenAI takes no more")
    effort = effort_of(form, model)
    if effort and (reasons or "gpt-oss" in model):
        body["reasoning_effort"] = effort
    elif effort:
        form.note("reasoning", f"left out, {model} is not known to take it")
    if form.json_schema is not None:
        body["response_format"] = {"type": "json_schema", "json_schema": answer_schema(form)}
    elif form.json_any:
        body["response_format"] = {"type": "json_object"}
    if form.is_streaming:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    if not is_own:
        drop_shared(form)
        return
    body |= openai_fields(form)
    if form.verbosity:
        body["verbosity"] = form.verbosity


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool_name(tool.name)}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = FREE_TEXT if tool.is_custom else of_tool(tool.schema)
    if tool.strict is not None and not tool.is_custom:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _assistant(turn: Turn, keeps_thoughts: bool) -> list[dict[str, Any]]:
    text = "".join([part.text for part in turn.parts if isinstance(part, Text)])
    calls = [
        {"id": call_id(part.id), "type": "function",
         "function": {"name": tool_name(part.name), "arguments": arguments_of(part)}}
        for part in turn.parts if isinstance(part, Call)
    ]  # fmt: skip
    if not text and not calls:
        return []
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    if calls:
        message["tool_calls"] = calls
        # Servers of models that think between calls want it back with them; OpenAI's own API knows no such field.
        thought = (
            "".join([p.text for p in turn.parts if isinstance(p, Thinking) and p.is_bare]) if keeps_thoughts else ""
        )
        if thought:
            message["reasoning_content"] = thought
    return [message]


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
                text = text or _NO_PARTS
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
