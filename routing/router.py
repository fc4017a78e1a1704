"""Who is asked for a request, and in which order."""

from collections.abc import Mapping
from dataclasses import dataclass

from routing.board import Board
from routing.definitions import LIMITS, ROUND_ROBIN, WEIGHTED, Provider, RequestFacts, Rule
from routing.rules import RuleSet, Verdict, conditions_of
from routing.strategies import Rotation

MARKER = "marker"  # the strategy of a decision that a marker made


@dataclass(frozen=True, slots=True)
class Decision:
    """The providers for one request, in the order in which they are asked; those that are out stand where they would.

    ::

        for provider in decision.providers:
            ticket = board.ask(provider.name, backoff_base_secs=decision.backoff_base_secs)
            …
        # none could be asked:
        board.ask(board.soonest([provider.name for provider in decision.providers]), force=True)
    """

    rule: str  # the rule's name; "" where a marker chose
    why: str  # in words
    providers: tuple[Provider, ...]
    strategy: str
    backoff_base_secs: float = 60
    alternatives: frozenset[str] = frozenset()  # names of those that stand in while the rule's own are at their limits


@dataclass(frozen=True, slots=True)
class _Plan:
    """A rule, as far as it can be worked out before a request comes."""

    why: str
    head: tuple[Provider, ...]  # the rule's own; in this order where nothing rotates
    tail: tuple[Provider, ...]
    rotation: Rotation | None
    alternatives: frozenset[str]


class Router:
    """Rules and providers of one moment: a change makes a new router, the board and its rotations stay.

    A rule whose providers and weights are as before goes on with its rotation where it was.
    """

    def __init__(self, rules: RuleSet, providers: Mapping[str, Provider], board: Board) -> None:
        self.rules, self.providers, self.board = rules, providers, board
        self._enabled = {name: provider for name, provider in providers.items() if provider.enabled}
        self._plans = {id(rule): plan for rule in rules.rules if rule.enabled and (plan := self._plan(rule))}

    def decide(self, facts: RequestFacts, marker: str = "", peek: bool = False) -> Decision | None:
        """Give who is asked, or None where no rule takes the request. A decision has at least one provider.

        `marker` names a provider, which alone is asked then, whatever the rules say; where no enabled provider has that
        name, the rules decide. A rule none of whose providers is enabled is passed over. With `peek` no turn of a
        rotation is taken: for a page that shows what would be.
        """
        if marker and (provider := self._enabled.get(marker)):
            return Decision("", f"the marker [LUNAROUTE:{marker}] names it", (provider,), MARKER)
        for rule in self.rules.matching(facts):
            plan = self._plans.get(id(rule))
            if plan is not None:
                return self._decision(rule, plan, peek)
        return None

    def explain(self, facts: RequestFacts) -> tuple[Verdict, ...]:
        """Say of every rule whether it matches and why; the one that `decide` goes by is marked as taken."""
        return self.rules.explain(facts, self._enabled)

    def _decision(self, rule: Rule, plan: _Plan, peek: bool) -> Decision:
        providers = (*plan.head, *plan.tail)
        if plan.rotation is not None:
            enabled = self._enabled
            order = plan.rotation.order(self.board.available, peek)
            providers = (*[enabled[name] for name in order], *plan.tail)
        return Decision(rule.name, plan.why, providers, rule.strategy, rule.backoff_base_secs, plan.alternatives)

    def _plan(self, rule: Rule) -> _Plan | None:
        """Work out a rule; None where none of its providers is enabled."""
        enabled = self._enabled
        head = tuple([enabled[name] for name in rule.providers if name in enabled])
        tail = tuple([enabled[name] for name in (*rule.alternatives, *rule.fallbacks) if name in enabled])
        if not head and not tail:
            return None
        conditions = "; ".join(conditions_of(rule)) or "it takes every request"
        alternatives = frozenset(rule.alternatives) if rule.strategy == LIMITS else frozenset()
        return _Plan(f"rule {rule.name!r}: {conditions}", head, tail, self._rotation(rule), alternatives)

    def _rotation(self, rule: Rule) -> Rotation | None:
        if rule.strategy not in (ROUND_ROBIN, WEIGHTED):
            return None
        given = rule.weights if rule.strategy == WEIGHTED else (1,) * len(rule.providers)
        pairs = [pair for pair in zip(rule.providers, given, strict=True) if pair[0] in self._enabled]
        if len(pairs) < 2:
            return None
        names, weights = zip(*pairs, strict=True)
        return self.board.rotations.setdefault((rule.name, names, weights), Rotation(names, weights))
