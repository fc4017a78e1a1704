"""What a detector reports."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A value in a text: half-open character offsets, its type, how sure the detector is (0 to 1), and which it was."""

    start: int
    end: int
    type: str
    confidence: float
    detector: str
