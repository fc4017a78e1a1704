"""Charts as the paths of an SVG, drawn on the server. Pure functions; units are those of a viewBox."""

from collections.abc import Sequence
from dataclasses import dataclass

# A request whose prompt was cached before counts as broken when it reads less than this share of that from the cache.
BROKEN_BELOW, WORTH_CACHING = 0.5, 2048


@dataclass(frozen=True, slots=True)
class Use:
    """The prompt of one request, in tokens, and which conversation it belongs to."""

    number: int  # of the exchange in its session, from 1
    thread: int
    cache_read: int
    cache_creation: int
    fresh: int  # neither read from nor written to a cache
    output: int

    @property
    def prompt(self) -> int:
        return self.cache_read + self.cache_creation + self.fresh


@dataclass(frozen=True, slots=True)
class Mark:
    """A request that broke the prompt cache: at ``x``, with what was lost."""

    x: float
    number: int
    lost: int  # tokens that had been cached and were paid for again


@dataclass(frozen=True, slots=True)
class ContextChart:
    """Bars of the context's parts over the requests, and the breaks of the cache."""

    width: int
    height: int
    top: int  # tokens at the upper edge
    read: str
    created: str
    fresh: str
    breaks: tuple[Mark, ...]
    first: int
    last: int


def broken_caches(uses: Sequence[Use]) -> dict[int, int]:
    """Give the exchanges that broke the prompt cache: number → tokens paid for again that had been cached."""
    cached: dict[int, int] = {}  # thread → tokens of its last prompt that were in the cache after it
    found = {}
    for use in uses:
        had = cached.get(use.thread, 0)
        if had >= WORTH_CACHING and use.prompt >= had * BROKEN_BELOW and use.cache_read < had * BROKEN_BELOW:
            found[use.number] = had - use.cache_read
        if use.prompt:
            cached[use.thread] = use.cache_read + use.cache_creation
    return found


def context_chart(uses: Sequence[Use], width: int = 1000, height: int = 120) -> ContextChart | None:
    """Draw the context's growth; None where there is nothing to draw."""
    uses = [use for use in uses if use.prompt]
    if len(uses) < 2:
        return None
    top = nice_top(max(use.prompt for use in uses))
    step = width / len(uses)
    bar = max(step * 0.8, 0.5)
    broken = broken_caches(uses)
    paths: dict[str, list[str]] = {"cache_read": [], "cache_creation": [], "fresh": []}
    marks = []
    for at, use in enumerate(uses):
        x, y = at * step + (step - bar) / 2, float(height)
        for name, path in paths.items():
            tall = getattr(use, name) / top * height
            if tall > 0.05:
                path.append(f"M{x:.1f} {y:.1f}v-{tall:.1f}h{bar:.1f}v{tall:.1f}z")
                y -= tall
        if use.number in broken:
            marks.append(Mark(round(x + bar / 2, 1), use.number, broken[use.number]))
    read, created, fresh = ("".join(path) for path in paths.values())
    return ContextChart(width, height, top, read, created, fresh, tuple(marks), uses[0].number, uses[-1].number)


def nice_top(value: float) -> float:
    """The next 1, 2 or 5 times a power of ten: where an axis ends."""
    power = 1.0
    while power * 10 <= value:
        power *= 10
    while power > value > 0:
        power /= 10
    top = next(power * step for step in (1, 2, 5, 10) if power * step >= value) if value > 0 else 1
    return int(top) if top >= 1 else top


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar from the bottom: place and size in the viewBox, with the words that say it."""

    x: float
    y: float
    width: float
    height: float
    title: str


def bars(values: Sequence[tuple[str, float]], width: int = 600, height: int = 120) -> tuple[float, tuple[Bar, ...]]:
    """Draw (title, value) pairs as bars: (value at the upper edge, bars)."""
    top = nice_top(max((value for _, value in values), default=0))
    step = width / max(len(values), 1)
    bar = step * 0.72
    found = []
    for at, (title, value) in enumerate(values):
        tall = max(value / top * height, 1.5 if value else 0)
        found.append(
            Bar(round(at * step + (step - bar) / 2, 2), round(height - tall, 2), round(bar, 2), round(tall, 2), title)
        )
    return top, tuple(found)
