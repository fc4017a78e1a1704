"""Counters and histograms for one thread that counts often: the event loop.

prometheus_client's own take a lock for every number, and a histogram several of them; a request has some twenty. These
are plain numbers, which prometheus_client reads when `/metrics` is asked for. That happens in another thread, and may
find a request half counted; the next time it is whole.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from time import time
from typing import Generic, TypeVar

from prometheus_client import REGISTRY
from prometheus_client.core import Exemplar, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString


class Count:
    """A number that only grows."""

    __slots__ = ("_labels", "_name", "value")

    def __init__(self, name: str, labels: dict[str, str]) -> None:
        self._name, self._labels = f"{name}_total", labels
        self.value = 0.0

    def samples(self) -> list[Sample]:
        """Give what Prometheus gets."""
        return [Sample(self._name, self._labels, self.value)]


class Spread:
    """How often values fell into each class; ``bounds`` are the classes' upper ends, in seconds."""

    __slots__ = ("_bounds", "_counts", "_exemplars", "_labels", "_les", "_name", "_sum")

    def __init__(self, name: str, labels: dict[str, str], bounds: Sequence[float]) -> None:
        self._name, self._labels, self._bounds = name, labels, bounds
        self._counts = [0] * (len(bounds) + 1)
        self._exemplars: list[tuple[str, float, float] | None] = [None] * len(self._counts)
        self._sum = 0.0
        self._les = [{**labels, "le": floatToGoString(bound)} for bound in (*bounds, float("inf"))]

    def add(self, value: float) -> None:
        """Add a value, in seconds."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def add_of(self, request_id: str, value: float) -> None:
        """Add a value of a request, which stands for its class until the next one does."""
        place = bisect_left(self._bounds, value)
        self._counts[place] += 1
        self._sum += value
        self._exemplars[place] = (request_id, value, time())

    def add_many(self, counts: Sequence[int], total: float) -> None:
        """Add values that have been counted by the same classes; `total` is their sum."""
        for place, count in enumerate(counts):
            self._counts[place] += count
        self._sum += total

    def samples(self) -> list[Sample]:
        """Give what Prometheus gets."""
        name, found = f"{self._name}_bucket", list(accumulate(self._counts))
        samples = [
            Sample(name, labels, count, None, Exemplar({"request_id": told[0]}, told[1], told[2]) if told else None)
            for labels, count, told in zip(self._les, found, self._exemplars, strict=True)
        ]
        samples.append(Sample(f"{self._name}_count", self._labels, found[-1]))
        samples.append(Sample(f"{self._name}_sum", self._labels, self._sum))
        return samples


Member = TypeVar("Member", Count, Spread)


class _Family(Collector, Generic[Member]):
    kind = ""

    def __init__(self, name: str, text: str, labels: Sequence[str] = ()) -> None:
        self._name, self._text, self._labels = f"lunaroute_{name}", text, tuple(labels)
        self._members: dict[tuple[str, ...], Member] = {}
        if not labels:
            self.of()  # a rate needs the 0 before the first value
        REGISTRY.register(self)

    def of(self, *values: str) -> Member:
        """Give the member with these values of the family's labels."""
        member = self._members.get(values)
        if member is None:
            labels = dict(zip(self._labels, values, strict=True))
            member = self._members[values] = self._make(labels)
        return member

    def _make(self, labels: dict[str, str]) -> Member:
        raise NotImplementedError

    def describe(self) -> Iterable[Metric]:
        """Give the family without values."""
        return [Metric(self._name, self._text, self.kind)]

    def collect(self) -> Iterable[Metric]:
        """Give the values of this moment."""
        metric = Metric(self._name, self._text, self.kind)
        for member in list(self._members.values()):
            metric.samples += member.samples()
        return [metric]


class Counts(_Family[Count]):
    """A family of counters, at `/metrics` from its making on; ``name`` is without prefix and ``_total``."""

    kind = "counter"

    def _make(self, labels: dict[str, str]) -> Count:
        return Count(self._name, labels)


class Spreads(_Family[Spread]):
    """A family of histograms."""

    kind = "histogram"

    def __init__(self, name: str, text: str, labels: Sequence[str] = (), *, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        super().__init__(name, text, labels)

    def _make(self, labels: dict[str, str]) -> Spread:
        return Spread(self._name, labels, self._bounds)
