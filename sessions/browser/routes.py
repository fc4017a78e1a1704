"""What routing did to an exchange, in words."""

from dataclasses import dataclass

from proxy.capture import Attempt, Routing
from sessions.models import Exchange
from sessions.rows import routing_of
from sessions.templatetags.record import duration

DIALECTS = {
    "anthropic": "Anthropic Messages",
    "openai-chat": "OpenAI Chat Completions",
    "openai-responses": "OpenAI Responses",
}


@dataclass(frozen=True, slots=True)
class Route:
    """What routing did: a line, and what is told only to who asks."""

    words: str
    attempts: tuple[Attempt, ...]
    notes: tuple[str, ...]


def route_of(row: Exchange) -> Route | None:
    """Tell what routing did to an exchange; None where it did nothing."""
    routing = routing_of(row)
    if routing is None:
        return None
    words = "; ".join(filter(None, (_who(row, routing), _what(routing)))) or "changed on the way"
    return Route(words, tuple(routing.attempts), tuple(routing.notes))


def _who(row: Exchange, routing: Routing) -> str:
    """Who answered, by which rule, and who was asked before."""
    before = "; ".join(_failure(attempt) for attempt in routing.attempts[:-1])
    rule = f"rule {routing.rule}" if routing.rule and routing.rule not in routing.why else ""
    by = ", ".join(filter(None, (rule, routing.why)))
    if not (before or by):
        return ""
    provider = routing.provider or row.provider
    return f"{provider} {_did(row, routing)}" + (f" ({by})" if by else "") + (f" after {before}" if before else "")


def _did(row: Exchange, routing: Routing) -> str:
    status = routing.attempts[-1].status if routing.attempts else row.status if row.success else 0
    if status is None:
        return "gave no answer"
    if not status:  # an answer that failed and that no attempt tells of: perhaps LunaRoute's own
        return "was chosen"
    return "answered" if status < 400 else f"answered {status}"


def _failure(attempt: Attempt) -> str:
    what = " ".join(str(part) for part in (attempt.status, attempt.reason) if part) or "no answer"
    charge = ", may have been charged" if attempt.may_be_charged else ""
    return f"{attempt.provider}: {what} in {duration(attempt.duration_ms)}{charge}"


def _what(routing: Routing) -> str:
    """What was asked in place of the client's words."""
    translated = f"translated to {DIALECTS.get(routing.dialect, routing.dialect)}" if routing.dialect else ""
    return ", ".join(filter(None, (translated, f"asked {routing.model}" if routing.model else "")))
