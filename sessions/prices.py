"""What an answer cost, by the price list that the package `genai-prices` brings (no network is asked)."""

from dataclasses import astuple, fields, replace
from datetime import UTC, datetime
from functools import lru_cache

from genai_prices import Usage as PricedUsage
from genai_prices import calc_price
from genai_prices.types import PriceCalculation, TieredPrices

from sessions.dialects.facts import Usage

_CLASSES = [field.name for field in fields(Usage)]


def cost_usd(provider_type: str, model: str, usage: Usage, at: datetime | None = None) -> float | None:
    """Give the cost in USD at the prices of `at`, or None for a model without a known price."""
    # The list's own arithmetic takes longer than all else of an exchange's facts: it is asked once for each class.
    hour = (at or datetime.now(UTC)).replace(minute=0, second=0, microsecond=0)
    steps = _steps(provider_type, model, hour)
    if steps is None:
        return None
    step = max((step for step in steps if step < _prompt(usage)), default=0)
    prices = _prices(provider_type, model, hour, step)
    return sum(price * tokens for price, tokens in zip(prices, astuple(usage), strict=True))


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
