"""Which model is asked of a provider, and in which dialect."""

from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from routing.definitions import ANTHROPIC, Provider
from routing.translation.context import CHAT, MESSAGES, RESPONSES

# The vendors' own addresses, where it is known which models there are.
VENDORS = ("api.anthropic.com", "api.openai.com")
# What of the other vendor stands in for a model, by its class, where nothing is configured: (name with *, that of the other).
TO_OPENAI = (
    ("claude-haiku-*", "gpt-5.4-mini"),
    ("claude-*-haiku*", "gpt-5.4-mini"),
    ("claude-opus-*", "gpt-5.5"),
    ("claude-fable-*", "gpt-5.5"),
    ("claude-mythos-*", "gpt-5.5"),
    ("claude-*", "gpt-5.4"),
)
TO_ANTHROPIC = (
    ("*-nano*", "claude-haiku-4-5"),
    ("*-mini*", "claude-haiku-4-5"),
    ("gpt-*-pro*", "claude-opus-4-8"),
    ("gpt-*", "claude-sonnet-4-6"),
    ("o?", "claude-sonnet-4-6"),
    ("o?-*", "claude-sonnet-4-6"),
    ("codex-*", "claude-sonnet-4-6"),
)


def model_for(provider: Provider, client_model: str, translated: bool) -> str:
    """Give the model to ask `provider` for: as it is configured, else one of the same class, else the client's own."""
    mapped = _first(provider.model_map, client_model)
    if mapped:
        return mapped
    if provider.model:
        return provider.model
    if translated and _is_vendors(provider):
        table = TO_ANTHROPIC if provider.provider_type == ANTHROPIC else TO_OPENAI
        return _first(table, client_model) or client_model
    return client_model


def _first(table: tuple[tuple[str, str], ...], model: str) -> str:
    # A bracket is one: names are matched by * and ? alone.
    return next((name for pattern, name in table if fnmatchcase(model, pattern.replace("[", "[[]"))), "")


def api_for(provider: Provider, client_dialect: str) -> str:
    """Give the dialect in which `provider` is asked what a client says in `client_dialect`."""
    if provider.provider_type == ANTHROPIC:
        return MESSAGES
    only = {"chat": CHAT, "responses": RESPONSES}.get(provider.openai_api)
    if only is not None:
        return only
    if client_dialect != MESSAGES:
        return client_dialect
    # OpenAI keeps reasoning over turns in its newer API only; other servers have the older one.
    return RESPONSES if _is_vendors(provider) else CHAT


def _is_vendors(provider: Provider) -> bool:
    return urlsplit(provider.base_url).hostname in VENDORS
