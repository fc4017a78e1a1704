"""What an answer cost, by the price list that the package `genai-prices` brings (no network is asked)."""

from datetime import datetime

from genai_prices import Usage as PricedUsage
from genai_prices import calc_price

from sessions.dialects.facts import Usage


def cost_usd(provider_type: str, model: str, usage: Usage, at: datetime | None = None) -> float | None:
    """Give the cost in USD at the prices of `at`, or None for a model without a known price."""
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
            return float(calc_price(priced, model, provider_id=provider, genai_request_timestamp=at).total_price)
        except (LookupError, ValueError):
            continue
    return None
