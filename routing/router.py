"""Who is asked for a request, in which order, and why."""

from collections.abc import Mapping
from dataclasses import dataclass

from routing.board import Board
from routing.definitions import Provider, RequestFacts, Rule
from routing.rules import RuleSet
from routing.strategies import Strategies


@dataclass(frozen=True, slots=True)
class Decision:
    """The providers that may be asked, in order. Never empty."""

    rule: str  # its name, where a rule chose
    why: str
    providers: tuple[Provider, ...]
    rest_base: float = 60  # seconds


class Router:
    """Decides by `rules` among `providers`. Frozen but for whose turn it is."""

    def __init__(
        self, rules: RuleSet, providers: Mapping[str, Provider], board: Board, strategies: Strategies | None = None
    ) -> None:
        self.rules, self.providers = rules, providers
        self.strategies = strategies or Strategies()
        self._board = board

    def decide(self, facts: RequestFacts, marker: str = "") -> Decision | None:
        """Decide for a request. A `marker` names a provider, and beats every rule.

        None: no rule takes the request, or the marker names nobody who may be asked.
        """
        if marker:
            provider = self.providers.get(marker)
            if provider is None or not provider.enabled:
                return None
            return Decision("", f"the marker [LUNAROUTE:{marker}]", (provider,))
        rule = self.rules.match(facts)
        if rule is None:
            return None
        chain = self.chain(rule)
        return Decision(rule.name, f"the rule {rule.name}", chain, rule.backoff_base_secs) if chain else None

    def chain(self, rule: Rule) -> tuple[Provider, ...]:
        """Give those of a rule's providers that may be asked, in the order for the next request."""
        order = self.strategies.order(rule, lambda name: self._enabled(name) and self._board.is_available(name))
        return tuple(self.providers[name] for name in order if self._enabled(name))

    def _enabled(self, name: str) -> bool:
        provider = self.providers.get(name)
        return provider is not None and provider.enabled
