"""In which order the providers of a rule are asked."""

from collections.abc import Callable, Sequence

# Sets of available providers whose turn is remembered, for each rule: with more, the oldest begins anew.
_MAX_SETS = 64


class Rotation:
    """Whose turn it is among some providers with weights: smooth weighted round robin, as nginx has it.

    Of any requests in a row, as many as the weights' sum, each provider comes first exactly as often as its weight
    says; equal weights make it plain round robin. Providers that are out (resting, breaker open) are left out, and the
    others have their exact share among themselves: each set of available providers has a rotation of its own, which
    goes on where it was when the same set is available again. A weight of 0 is never first while another is available.
    """

    __slots__ = ("_names", "_states", "_weights")

    def __init__(self, names: Sequence[str], weights: Sequence[int]) -> None:
        self._names, self._weights = tuple(names), tuple(weights)
        self._states: dict[tuple[int, ...], list[int]] = {}

    def order(self, is_available: Callable[[str], bool], peek: bool = False) -> tuple[str, ...]:
        """Give all providers in the order in which this request asks them, and take the turn of the first (not
        with `peek`).

        After the first come the other available ones, the heaviest first (equal ones in the cycle's order), then those
        that are out, as listed.
        """
        names, weights = self._names, self._weights
        available = tuple([place for place, name in enumerate(names) if is_available(name)])
        if not available:
            return names
        first = self._take(available, peek)
        count = len(names)
        others = [place for place in available if place != first]
        others.sort(key=lambda place: (-weights[place], (place - first) % count))
        out = [place for place in range(count) if place not in available] if len(available) < count else []
        return tuple([names[place] for place in (first, *others, *out)])

    def _take(self, available: tuple[int, ...], peek: bool) -> int:
        if len(available) == 1:
            return available[0]
        current = self._states.get(available)
        if current is None:
            if len(self._states) >= _MAX_SETS:
                del self._states[next(iter(self._states))]
            current = self._states[available] = [0] * len(available)
        if peek:
            current = current.copy()
        weights = self._weights
        best = total = 0
        for index, place in enumerate(available):
            weight = weights[place]
            total += weight
            current[index] += weight
            if current[index] > current[best]:
                best = index
        current[best] -= total
        return available[best]
