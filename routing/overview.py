"""What there is and how it fares, and what would become of a request: for the page and the API."""

from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from routing.board import Board, ProviderStatus
from routing.definitions import WEIGHTED, Provider, RequestFacts, Rule
from routing.live import Live
from routing.masking import masked_url
from routing.router import Decision
from routing.rules import Verdict, conditions_of
from routing.snapshot import Refusal, Snapshot

OUT = {"resting": "rests", "breaker_open": "its breaker is open", "probing": "its breaker tries one request"}


@dataclass(frozen=True, slots=True)
class ProviderView:
    """A provider with what is known of it."""

    definition: Provider
    status: ProviderStatus
    base_url: str  # without a password
    key: str  # whose is sent, in words


@dataclass(frozen=True, slots=True)
class RuleView:
    """A rule, in words."""

    definition: Rule
    conditions: str
    chain: str
    warning: str  # why it takes no request, or nothing


@dataclass(frozen=True, slots=True)
class Candidate:
    """A provider of a preview, in the order in which they would be asked."""

    name: str
    out: str  # why it would be passed over at the moment, or nothing
    until: float | None  # seconds since the epoch


@dataclass(frozen=True, slots=True)
class Preview:
    """What would become of a request."""

    verdicts: tuple[Verdict, ...]  # every rule, in the order in which they are asked
    decision: Decision | None
    why: str
    candidates: tuple[Candidate, ...]
    asked: str  # who would be asked first at the moment; "" where nobody


def providers_of(live: Live) -> tuple[ProviderView, ...]:
    """Give all providers, the file's first."""
    return tuple(
        [
            ProviderView(provider, live.board.state(name), shown_url(provider.base_url), key_of(provider))
            for name, provider in live.definitions.providers.items()
        ]
    )


def rules_of(live: Live) -> tuple[RuleView, ...]:
    """Give all rules in the order in which they are asked."""
    warnings = live.definitions.rule_warnings
    return tuple(
        [
            RuleView(rule, requests_of(rule), chain_of(rule), warnings.get(rule.name, ""))
            for rule in live.router.rules.rules
        ]
    )


def preview(live: Live, snapshot: Snapshot, facts: RequestFacts, marker: str = "") -> Preview:
    """Say what would become of a request, and take no turn for that. `snapshot` decides where no rule does."""
    verdicts = live.router.explain(facts)
    decision = live.router.decide(facts, marker, peek=True)
    if decision is not None:
        names = [provider.name for provider in decision.providers]
        candidates = tuple([_candidate(live.board, name) for name in names])
        asked = next((c.name for c in candidates if not c.out), "") or live.board.soonest(names)
        return Preview(verdicts, decision, decision.why, candidates, asked)
    route = snapshot.choose("POST", facts.path.encode(errors="replace"), _has_version(facts))
    if isinstance(route, Refusal):
        return Preview(verdicts, None, route.message, (), "")
    why = "No rule takes it: it goes by its path to the first enabled provider, whatever that one's breaker and rest."
    return Preview(verdicts, None, why, (Candidate(route.provider.name, "", None),), route.provider.name)


def shown_url(url: str) -> str:
    """Give an address without a user and password in it."""
    try:
        parts = urlsplit(url)
        return masked_url(urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])))
    except ValueError:
        return "(no address)"


def key_of(provider: Provider) -> str:
    """Say whose key is sent to a provider."""
    if provider.codex_auth is not None:
        return "Codex CLI's login"
    return "its own" if provider.api_key else "the client's"


def chain_of(rule: Rule) -> str:
    """Give a rule's providers in words, in the order in which they are asked."""
    names = list(rule.providers)
    if rule.strategy == WEIGHTED and len(rule.weights) == len(names):
        names = [f"{name} ({weight})" for name, weight in zip(names, rule.weights, strict=True)]
    said = ", ".join(names)
    if rule.alternatives:
        said += f"; at their limits {', '.join(rule.alternatives)}"
    return f"{said}; then {', '.join(rule.fallbacks)}" if rule.fallbacks else said


def requests_of(rule: Rule) -> str:
    """Say which requests a rule takes."""
    return "; ".join(conditions_of(rule)) or "every request"


def _candidate(board: Board, name: str) -> Candidate:
    status = board.state(name)
    until = status.rest_until if status.out == "resting" else status.breaker_until
    return Candidate(name, OUT.get(status.out, ""), until if status.out else None)


def _has_version(facts: RequestFacts) -> bool:
    return any(name == "anthropic-version" for name, _ in facts.headers)
