"""In which order a rule's providers are asked for one request."""

from collections.abc import Callable

from routing.definitions import LIMITS, PRIMARY, ROUND_ROBIN, WEIGHTED, Rule


class Rotation:
    """Whose turn it is, for rules that spread their requests: smooth weighted round robin.

    Over any run of as many requests as the weights sum up to, each provider gets exactly its weight; nobody gets several in a
    row who need not. Where some are out, that holds among the others, from when they went.
    """

    __slots__ = ("_current", "_members")

    def __init__(self) -> None:
        self._members: tuple[tuple[str, int], ...] = ()
        self._current: dict[str, int] = {}

    def next(self, members: tuple[tuple[str, int], ...]) -> str:
        """Give whose turn it is among `members`: (name, weight above 0)."""
        if members != self._members:
            self._members, self._current = members, {name: 0 for name, _ in members}
        current, total, best = self._current, 0, members[0][0]
        for name, weight in members:
            current[name] += weight
            total += weight
            if current[name] > current[best]:
                best = name
        current[best] -= total
        return best


class Strategies:
    """The order of providers for each rule. Turns belong to a rule's name and outlive a change of other rules."""

    def __init__(self) -> None:
        self._rotations: dict[str, Rotation] = {}

    def order(self, rule: Rule, is_available: Callable[[str], bool]) -> tuple[str, ...]:
        """Give all of the rule's providers in the order in which they are to be asked."""
        if rule.strategy in (PRIMARY, LIMITS):
            return (*rule.providers, *rule.alternatives, *rule.fallbacks)
        weights = rule.weights if rule.strategy == WEIGHTED else (1,) * len(rule.providers)
        members = tuple(zip(rule.providers, weights, strict=True))
        able = tuple(member for member in members if member[1] > 0 and is_available(member[0]))
        if not able:
            return (*rule.providers, *rule.fallbacks)
        rotation = self._rotations.get(rule.name)
        if rotation is None:
            rotation = self._rotations[rule.name] = Rotation()
        turn = rotation.next(able)
        # Who is not on now stands in: by weight, or, in turns, who comes after it.
        at = rule.providers.index(turn)
        others = (*members[at + 1 :], *members[:at])
        if rule.strategy != ROUND_ROBIN:
            others = tuple(sorted(others, key=lambda member: -member[1]))
        return (turn, *(name for name, weight in others if weight > 0), *rule.fallbacks)
