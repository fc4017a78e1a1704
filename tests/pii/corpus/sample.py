"""One text of the corpus."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    text: str
    labels: tuple[tuple[int, int, str], ...] = ()  # start, end, type
    kind: str = ""
