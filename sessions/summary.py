"""A session's statistics as a table for the terminal."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.db.models import F, Sum
from django.db.models.functions import Coalesce

from sessions import queries
from sessions.boxes import harmless, usage_text
from sessions.dialects.facts import Usage
from sessions.models import Exchange, Session

TITLE = "📊 Session Statistics Summary\n" + "═" * 63


@dataclass(frozen=True, slots=True)
class ToolUse:
    """Calls of a tool; `avg_ms` is None where no result came, `timed` is its weight in a total."""

    name: str
    calls: int
    avg_ms: float | None
    timed: int = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """What the table shows. Times are sums in milliseconds; the cost is in USD, None where no price is known."""

    requests: int = 0
    input: int = 0
    output: int = 0
    thinking: int = 0
    cache_read: int = 0
    cache_creation: int = 0
    audio: int = 0
    total: int = 0
    tools: tuple[ToolUse, ...] = ()
    duration_ms: float = 0.0
    provider_time_ms: float = 0.0
    proxy_overhead_ms: float = 0.0
    cost_usd: float | None = None


def figures_of(sessions: Sequence[Session]) -> list[Figures]:
    """Read the figures of sessions, in three queries per five hundred of them."""
    found = []
    for start in range(0, len(sessions), 500):
        found += _figures_of(sessions[start : start + 500])
    return found


def _figures_of(sessions: Sequence[Session]) -> list[Figures]:
    tools = queries.tools_of(sessions)
    overhead = Coalesce(F("overhead_before_ms"), 0.0) + Coalesce(F("overhead_after_ms"), 0.0)
    times = {
        key: values
        for key, *values in Exchange.objects.filter(session__in=[s.pk for s in sessions], kind="model")
        .values_list("session_id")
        .annotate(Sum("duration_ms"), Sum("provider_latency_ms"), overhead=Sum(overhead))
    }
    found = []
    for session in sessions:
        duration, provider, proxy = (value or 0.0 for value in times.get(session.pk, (0.0, 0.0, 0.0)))
        found.append(
            Figures(
                session.requests, session.input_tokens, session.output_tokens, session.thinking_tokens,
                session.cache_read_tokens, session.cache_creation_tokens,
                session.audio_input_tokens + session.audio_output_tokens, session.total_tokens,
                tuple(_tool(tool) for tool in tools.get(session.pk, [])),
                duration, provider, proxy, session.cost_usd,
            )
        )  # fmt: skip
    return found


def _tool(tool: dict) -> ToolUse:
    return ToolUse(
        harmless(tool["name"]), tool["calls"], tool["avg_ms"], 0 if tool["avg_ms"] is None else tool["calls"]
    )


def total(figures: Iterable[Figures]) -> Figures:
    """Add figures up."""
    result, tools = Figures(), {}
    for one in figures:
        names = set(Figures.__dataclass_fields__) - {"tools", "cost_usd"}
        cost = result.cost_usd if one.cost_usd is None else (result.cost_usd or 0.0) + one.cost_usd
        sums = {name: getattr(result, name) + getattr(one, name) for name in names}
        result = replace(result, cost_usd=cost, **sums)
        for tool in one.tools:
            tools[tool.name] = _plus(tools.get(tool.name), tool)
    return replace(result, tools=tuple(sorted(tools.values(), key=lambda t: (-t.calls, t.name))))


def _plus(one: ToolUse | None, other: ToolUse) -> ToolUse:
    if one is None:
        return other
    if one.avg_ms is None or other.avg_ms is None:
        average = other.avg_ms if one.avg_ms is None else one.avg_ms
    else:
        average = (one.avg_ms * one.timed + other.avg_ms * other.timed) / (one.timed + other.timed)
    return ToolUse(one.name, one.calls + other.calls, average, one.timed + other.timed)


def turns_of(session: Session) -> list[str]:
    """Give a line for each request of a session that asked a model: its tokens and its model."""
    names = list(Usage.__dataclass_fields__)
    found = Exchange.objects.filter(session=session, kind="model").order_by("started_at", "pk")
    columns = found.values_list("model_used", "model_requested", *(f"{name}_tokens" for name in names))
    return [
        f"    {number}: {usage_text(Usage(*tokens))} ({harmless(used or requested)})"
        for number, (used, requested, *tokens) in enumerate(columns.iterator(), 1)
    ]


def table(head: str, figures: Figures, turns: Sequence[str] = ()) -> str:
    """Give the block of a session (or of several): `head`, tokens, of each turn too, tools, performance, cost."""
    rows = [("Requests", figures.requests), ("Input tokens", figures.input), ("Output tokens", figures.output)]
    rows.append(("Thinking tokens", figures.thinking))
    more = (
        ("Cache read", figures.cache_read),
        ("Cache write", figures.cache_creation),
        ("Audio tokens", figures.audio),
    )
    rows += [(name, value) for name, value in more if value]
    rows.append(("Total tokens", figures.total))
    out = [head, *(f"  {name + ':':<16} {value:,}" for name, value in rows), ""]
    if turns:
        out += ["  Turns:", *turns, ""]
    if figures.tools:
        width = max(len(tool.name) for tool in figures.tools) + 1
        out += ["  Tool usage:", *(f"    {tool.name + ':':<{width}} {_calls(tool)}" for tool in figures.tools), ""]
    out += _performance(figures)
    out += ["", f"💰 Estimated cost: {_cost(figures.cost_usd)}"]
    return "\n".join(out) + "\n"


def _calls(tool: ToolUse) -> str:
    average = "" if tool.avg_ms is None else f" (avg {tool.avg_ms:.0f}ms)"
    return f"{tool.calls:,} call{'' if tool.calls == 1 else 's'}{average}"


def _performance(figures: Figures) -> list[str]:
    """Mean time of an answer; overhead of all; mean provider latency; both as shares of their sum."""
    count = figures.requests or 1
    measured = figures.proxy_overhead_ms + figures.provider_time_ms
    share = figures.proxy_overhead_ms / measured * 100 if measured else 0.0
    overhead = f"{figures.proxy_overhead_ms:,.{0 if figures.proxy_overhead_ms >= 10 else 1}f}ms total ({share:.1f}%)"
    provider = f"{_duration(figures.provider_time_ms / count, 3)} ({100 - share if measured else 0:.1f}%)"
    return [
        "  Performance:",
        f"    Avg response time: {_duration(figures.duration_ms / count, 1)}",
        f"    Proxy overhead:    {overhead}",
        f"    Provider latency:  {provider}",
    ]


def _duration(milliseconds: float, digits: int) -> str:
    return f"{milliseconds / 1000:,.{digits}f}s" if milliseconds >= 1000 else f"{milliseconds:.0f}ms"


def _cost(usd: float | None) -> str:
    if usd is None:
        return "unknown (no known price)"
    # Less than a cent, but not nothing.
    return f"${usd:,.4f} USD" if 0 < usd < 0.01 else f"${usd:,.2f} USD"


def summary(sessions: Sequence[Session], has_turns: bool = False) -> Iterator[str]:
    """Give the whole table: its title, each session's block (with its turns), and for more than one their total."""
    yield f"{TITLE}\n\n"
    figures = figures_of(sessions)
    for session, own in zip(sessions, figures, strict=True):
        yield table(f"Session: {harmless(session.session_id)}", own, turns_of(session) if has_turns else ()) + "\n"
    if len(sessions) > 1:
        yield table(f"Total of {len(sessions):,} sessions", total(figures)) + "\n"


def last_sessions(count: int) -> list[Session]:
    """The `count` sessions that began last and asked a model, the latest at the end."""
    return list(Session.objects.filter(requests__gt=0).order_by("-started_at", "-pk")[:count])[::-1]


def sessions_since(since: datetime, recorder: str, count: int) -> list[Session]:
    """The `count` latest sessions in which a model was asked `since` then, as far as `recorder` recorded it."""
    asked = Exchange.objects.filter(started_at__gte=since, kind="model", recorder=recorder)
    found = Session.objects.filter(pk__in=asked.values("session"))
    return list(found.order_by("-started_at", "-pk")[:count])[::-1]
