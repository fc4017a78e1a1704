"""What OpenAI's two APIs share: settings, tool choice, efforts. https://platform.openai.com/docs/api-reference."""

from collections.abc import Mapping
from typing import Any

from routing.translation.context import Untranslatable
from routing.translation.requests.abilities import is_reasoning, nearest, openai_efforts
from routing.translation.requests.form import (
    Call,
    Form,
    encode,
    items,
    mapping,
    text_of,
    tool_name,
)  # fmt: skip
from routing.translation.requests.schemas import is_strict

# What both of OpenAI's APIs have, and only they.
_SHARED = ("service_tier", "metadata", "safety_identifier", "user", "prompt_cache_key", "prompt_cache_retention",
           "prompt_cache_options", "moderation")  # fmt: skip


def read_shared(form: Form, body: Mapping[str, Any]) -> None:
    """Read the fields that mean the same in both of OpenAI's APIs."""
    form.shared = {name: body[name] for name in _SHARED if body.get(name) not in (None, {}, "")}
    form.user = text_of(body.get("safety_identifier") or body.get("user"), "user")
    form.session = text_of(body.get("prompt_cache_key"), "prompt_cache_key")


def drop_shared(form: Form) -> None:
    """Note what of these fields a provider does not get that is none of OpenAI's. Hints for its cache need no note."""
    for name in ("metadata", "moderation"):
        if name in form.shared:
            form.note(name, "left out, it has no counterpart")
    if form.shared.get("service_tier") not in (None, "auto", "default"):
        form.note("service_tier", "left out, it has no counterpart")
    if form.verbosity:
        form.note("verbosity", "left out, it has no counterpart")


def openai_fields(form: Form) -> dict[str, Any]:
    """Give the fields that tell OpenAI whose request it is and what to cache with it."""
    if form.shared:
        return form.shared
    session = form.session or form.user
    return {"prompt_cache_key": session[-64:]} if session else {}


def with_grammar(description: str, kind: Any) -> str:
    """Give the description of a tool that takes free text, with the grammar that the text has to follow."""
    grammar = kind.get("grammar", kind) if isinstance(kind, dict) else None
    definition = grammar.get("definition") if isinstance(grammar, dict) else None
    if not isinstance(definition, str):
        return description
    return f"{description}\n\nThe input has to follow this grammar ({grammar.get('syntax')}):\n{definition}".strip()


def read_choice(form: Form, choice: Any) -> None:
    """Read a tool choice of either of OpenAI's APIs; tools that it does not allow are left out."""
    if choice is None or isinstance(choice, str):
        form.tool_choice = {"required": "any"}.get(choice or "", choice or "")
        if form.tool_choice not in ("", "auto", "any", "none"):
            raise Untranslatable("tool_choice", f"{choice[:40]} is not known")
        return
    choice = mapping(choice, "tool_choice")
    kind = choice.get("type")
    if kind == "allowed_tools":
        allowed = mapping(choice.get("allowed_tools") or choice, "tool_choice.allowed_tools")
        form.tool_choice = "any" if allowed.get("mode") == "required" else "auto"
        names = {
            _chosen(mapping(tool, "tool_choice.tools")) for tool in items(allowed.get("tools"), "tool_choice.tools")
        }
        form.tools = [tool for tool in form.tools if tool.name in names]
        return
    name = _chosen(choice)
    if not name:
        form.note("tool_choice", f"it is auto: {kind} is a tool of OpenAI's own")
    form.tool_choice = f"={name}" if name else "auto"


def _chosen(choice: dict[str, Any]) -> str:
    kind = choice.get("type")
    named = choice.get(kind) if isinstance(kind, str) else choice.get("function")
    name = named.get("name") if isinstance(named, dict) else choice.get("name")
    return text_of(name, "tool_choice.name")


def write_choice(choice: str) -> Any:
    """Give a tool choice: a word, or an object with the tool's name; nothing where it was not said."""
    if choice.startswith("="):
        return {"type": "function", "name": tool_name(choice[1:])}
    return {"any": "required"}.get(choice, choice)


def write_sampling(form: Form, body: dict[str, Any], reasons: bool) -> None:
    """Say how to sample, where the model may be told."""
    for name in ("temperature", "top_p"):
        value = getattr(form, name)
        if value is not None and reasons:
            form.note(name, "left out, a model that reasons takes none")
        elif value is not None:
            body[name] = value


def effort_of(form: Form, model: str) -> str:
    """Give the effort that was asked for, as `model` takes it; empty where none was."""
    if form.thinks is False:
        return nearest("none", openai_efforts(model)) if is_reasoning(model) else ""
    asked = form.effort or _of_budget(form)
    if not asked:
        return ""
    given = nearest(asked, openai_efforts(model))
    if not given:
        form.note("effort", f"left out, {asked[:20]} is not known")
    elif form.effort and given != asked:
        form.note("effort", f"{given} instead of {asked}, which {model} does not take")
    return given


def _of_budget(form: Form) -> str:
    if form.budget is None:
        return "medium" if form.thinks else ""
    steps = ((4096, "low"), (16384, "medium"))
    return next((effort for limit, effort in steps if form.budget < limit), "high")


def answer_schema(form: Form) -> dict[str, Any]:
    """Give the structured output that was asked for: name, schema, and whether OpenAI shall hold to it strictly."""
    strict = is_strict(form.json_schema) if form.json_strict is None else form.json_strict
    return {"name": form.json_name or "answer", "schema": form.json_schema, "strict": strict}


def arguments_of(call: Call) -> str:
    """Give a call's arguments as JSON."""
    if call.is_custom:
        return encode({"input": call.arguments}).decode()
    return call.arguments or "{}"
