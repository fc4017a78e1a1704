"""What an answer cost: by one's own prices (:class:`sessions.models.ModelPrice`), else by the price list that the
package `genai-prices` brings (no network is asked)."""

import logging
import time
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any

from django.db import DatabaseError
from genai_prices import Usage as PricedUsage
from genai_prices import calc_price
from genai_prices.types import PriceCalculation, TieredPrices

from pii.patterns import compiled
from sessions.dialects.facts import Usage
from sessions.models import ModelPrice

logger = logging.getLogger("lunaroute.prices")

# Seconds after which one's own prices are read again.
FRESH = 3.0
MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class OwnPrice:
    """A price of one's own, ready to be used: USD per million tokens."""

    pattern: Any
    provider_type: str
    input: float
    output: float
    cache_read: float
    cache_write_5m: float
    cache_write_1h: float

    @classmethod
    def of(cls, row: ModelPrice) -> "OwnPrice":
        """Read a row. Raises ValueError for a pattern that is none."""
        write = row.input if row.cache_write_5m is None else row.cache_write_5m
        prices = (
            row.input, row.output, row.input if row.cache_read is None else row.cache_read, write,
            write if row.cache_write_1h is None else row.cache_write_1h,
        )  # fmt: skip
        return cls(compiled(row.pattern), row.provider_type, *(float(price) for price in prices))

    def fits(self, provider_type: str, model: str) -> bool:
        """Tell whether the price is one of `model`."""
        return self.provider_type in ("", provider_type) and self.pattern.fullmatch(model) is not None

    def cost_usd(self, usage: Usage) -> float:
        """What `usage` costs."""
        return (
            (usage.input + usage.audio_input) * self.input
            + (usage.output + usage.thinking + usage.audio_output) * self.output
            + usage.cache_read * self.cache_read
            + usage.cache_creation_5m * self.cache_write_5m
            + usage.cache_creation_1h * self.cache_write_1h
        ) / MILLION


_own: tuple[OwnPrice, ...] = ()
_read_at = float("-inf")
_database = "default"


def read_from(database: str) -> None:
    """Read own prices from the database of that name."""
    global _database
    _database = database


def refresh(at_once: bool = False) -> None:
    """Read one's own prices, at most every FRESH seconds. Where the database cannot be asked, those at hand stay."""
    global _own, _read_at
    now = time.monotonic()
    if not at_once and now - _read_at < FRESH:
        return
    _read_at = now
    try:
        rows = list(ModelPrice.objects.using(_database))
    except DatabaseError as error:
        logger.warning("own prices cannot be read: %s", " ".join(str(error).split()))
        return
    rows.sort(key=lambda row: (not row.provider_type, -len(row.pattern), row.pk))
    found = []
    for row in rows:
        try:
            found.append(OwnPrice.of(row))
        except ValueError:
            logger.warning("the price of %s is left out: its pattern is no regular expression", row)
    _own = tuple(found)


_CLASSES = [field.name for field in fields(Usage)]
_tokens = attrgetter(*_CLASSES)  # dataclasses.astuple would copy each value


def cost_usd(provider_type: str, model: str, usage: Usage, at: datetime | None = None) -> float | None:
    """Give the cost in USD, or None for a model without a known price: one's own price, else the list's of `at`.

    Own prices are those that `refresh` has read.
    """
    for own in _own:
        if own.fits(provider_type, model):
            return own.cost_usd(usage)
    # The list's own arithmetic takes longer than all else of an exchange's facts: it is asked once for each class.
    prices = _list_prices(provider_type, model, _prompt(usage), at)
    if prices is None:
        return None
    return sum(price * tokens for price, tokens in zip(prices, _tokens(usage), strict=True))


def cache_saving_usd(provider_type: str, model: str, usage: Usage, prompt: int) -> float | None:
    """Give what the cached tokens of `usage` would have cost as plain input less what they cost, in USD, at today's prices.

    Below 0 where writing to the cache cost more than reading from it saved. Each prompt had `prompt` tokens, which
    decides a price that depends on that. None for a model without a known price.
    """
    cached = replace(usage, input=0, output=0, thinking=0, audio_input=0, audio_output=0)
    plain = Usage(input=cached.cache_read + cached.cache_creation)
    for own in _own:
        if own.fits(provider_type, model):
            return own.cost_usd(plain) - own.cost_usd(cached)
    prices = _list_prices(provider_type, model, prompt, None)
    if prices is None:
        return None
    return sum(
        price * (before - paid) for price, before, paid in zip(prices, _tokens(plain), _tokens(cached), strict=True)
    )


def _list_prices(provider_type: str, model: str, prompt: int, at: datetime | None) -> tuple[float, ...] | None:
    """Give the list's USD a token, by class of `Usage`, for a prompt of `prompt` tokens; None for an unknown model."""
    hour = (at or datetime.now(UTC)).replace(minute=0, second=0, microsecond=0)
    steps = _steps(provider_type, model, hour)
    if steps is None:
        return None
    return _prices(provider_type, model, hour, max((step for step in steps if step < prompt), default=0))


def _prompt(usage: Usage) -> int:
    return usage.input + usage.cache_read + usage.cache_creation + usage.audio_input


@lru_cache(256)
def _steps(provider_type: str, model: str, at: datetime) -> tuple[int, ...] | None:
    """Give the sizes of a prompt, in tokens, beyond which a model's prices change, or None for one without a price."""
    calculated = _calculate(provider_type, model, Usage(), at)
    if calculated is None:
        return None
    tiered = [price for price in vars(calculated.model_price).values() if isinstance(price, TieredPrices)]
    return tuple(sorted({tier.start for price in tiered for tier in price.tiers}))


@lru_cache(256)
def _prices(provider_type: str, model: str, at: datetime, step: int) -> tuple[float, ...]:
    """Give USD a token, by class of `Usage`, for a prompt of more than `step` tokens."""
    least = Usage(input=step and step + 1)
    base = _calculate(provider_type, model, least, at).total_price
    more = [replace(least, **{name: getattr(least, name) + 1}) for name in _CLASSES]
    return tuple(float(_calculate(provider_type, model, usage, at).total_price - base) for usage in more)


def _calculate(provider_type: str, model: str, usage: Usage, at: datetime) -> PriceCalculation | None:
    # The list counts as the vendors do: the prompt with its caches, the answer with its reasoning.
    priced = PricedUsage(
        input_tokens=usage.input + usage.cache_read + usage.cache_creation + usage.audio_input,
        output_tokens=usage.output + usage.thinking + usage.audio_output,
        cache_read_tokens=usage.cache_read or None,
        cache_write_tokens=usage.cache_creation or None,
        cache_write_1h_tokens=usage.cache_creation_1h or None,
        input_audio_tokens=usage.audio_input or None,
        output_audio_tokens=usage.audio_output or None,
    )
    for provider in (provider_type, None):  # an OpenAI-compatible provider may serve anybody's model
        try:
            return calc_price(priced, model, provider_id=provider, genai_request_timestamp=at)
        except (LookupError, ValueError):
            continue
    return None
