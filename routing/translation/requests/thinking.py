"""Whether and how a model of Anthropic is asked to think. https://platform.claude.com/docs/en/build-with-claude/thinking."""

from typing import Any

from routing.translation.requests.abilities import (
    always_thinks,
    anthropic_efforts,
    nearest,
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
    if form.thinks is False or form.effort == "none":
        _turn_off(form, body, model)
    elif not form.effort and not form.budget and not form.thinks:
        return
    elif form.tools and (form.tool_choice == "any" or form.tool_choice.startswith("=")) and not always_thinks(model):
        form.note("reasoning", "off for this request, whose tool_choice demands a call at once")
        _turn_off(form, body, model)
    elif thinks_adaptively(model):
        _think_adaptively(form, body, model)
    else:
        _think_by_budget(form, body)


def _turn_off(form: Form, body: dict[str, Any], model: str) -> None:
    if always_thinks(model):
        form.note("reasoning", f"{model} thinks always")
    elif thinks_unasked(model):
        body["thinking"] = {"type": "disabled"}


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
    if form.max_tokens is None:
        body["max_tokens"] = max(body["max_tokens"], budget + MIN_BUDGET)
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


def is_thinking(body: dict[str, Any]) -> bool:
    """Tell whether a request asks for thinking."""
    return body.get("thinking", {}).get("type") in ("enabled", "adaptive")
