"""Whether and how a model of Anthropic is asked to think. https://platform.claude.com/docs/en/build-with-claude/thinking."""

from typing import Any

from routing.translation.requests.abilities import (
    always_thinks,
    anthropic_efforts,
    nearest,
    thinking_off,
    thinks_adaptively,
    thinks_unasked,
)
from routing.translation.requests.form import Form

MIN_BUDGET = 1024
# Effort → tokens to think with.
_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 32768, "max": 65536}


def write_thinking(form: Form, body: dict[str, Any], model: str) -> None:
    """Ask for thinking as the request did, as far as `model` and the rest of the request allow it.

    `body` has its `max_tokens` and `messages`.
    """
    is_asked = bool(form.effort or form.budget or form.thinks)
    if form.thinks is False or form.effort == "none":
        _turn_off(form, body, model)
    elif not is_asked and not thinks_unasked(model):
        return
    elif form.tools and (form.tool_choice == "any" or form.tool_choice.startswith("=")) and not always_thinks(model):
        form.note("reasoning", "off for this request, whose tool_choice demands a call at once")
        _turn_off(form, body, model)
    elif not is_asked:
        return
    elif thinks_adaptively(model):
        _think_adaptively(form, body, model)
    else:
        _think_by_budget(form, body)


def _turn_off(form: Form, body: dict[str, Any], model: str) -> None:
    if always_thinks(model):
        form.note("reasoning", f"{model} thinks always, it is asked for the least")
        body.setdefault("output_config", {})["effort"] = "low"
    elif thinks_unasked(model):
        body["thinking"] = {"type": thinking_off(model)}


def _think_adaptively(form: Form, body: dict[str, Any], model: str) -> None:
    # By default these models tell nothing of what they think.
    body["thinking"] = {"type": "adaptive", "display": "summarized"}
    effort = nearest(form.effort, anthropic_efforts(model))
    if effort:
        body.setdefault("output_config", {})["effort"] = effort
    if form.effort and effort != form.effort:
        taken = f"{effort} instead of {form.effort[:20]}" if effort else f"left out, {form.effort[:20]} is not known"
        form.note("effort", taken)


def _think_by_budget(form: Form, body: dict[str, Any]) -> None:
    if _lacks_thinking(body["messages"]):
        form.note("reasoning", "off for this request: the turn with the last tool call came without its thinking")
        return
    budget = form.budget or _BUDGETS.get(form.effort, _BUDGETS["medium"])
    # Where the request does not limit the answer, it is as long as the model gives, and a quarter is not for thinking.
    most = body["max_tokens"] * 3 // 4 if form.max_tokens is None else body["max_tokens"] - MIN_BUDGET // 2
    budget = min(budget, most)
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


def is_thinking(body: dict[str, Any]) -> bool:
    """Tell whether a request asks for thinking."""
    return body.get("thinking", {}).get("type") in ("enabled", "adaptive")
