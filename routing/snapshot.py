"""Where a request goes: providers as an immutable snapshot in memory, so that no request asks the database."""

from dataclasses import dataclass
from typing import Any

from routing.paths import dialect_of_path, is_shared


@dataclass(frozen=True, slots=True)
class Route:
    """The provider chosen for a request, and the dialect that the client speaks."""

    listener: str  # "anthropic" or "openai"
    provider: Any  # a provider of the configuration: .name, .provider_type, .base_url, .api_key, .http_client


@dataclass(frozen=True, slots=True)
class Refusal:
    """No provider for this request: `status` and `message` for the client, in the shape of `listener`."""

    listener: str
    status: int
    message: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The enabled providers by dialect, and what to do with the rest."""

    api_dialect: str
    by_type: dict[str, Any]
    bypass_enabled: bool
    bypass_provider: Any | None

    def choose(self, path: bytes, has_anthropic_version: bool) -> Route | Refusal:
        """Choose the provider for a raw `path` (without its query)."""
        dialect = dialect_of_path(path, has_anthropic_version)
        wanted = self.api_dialect
        if dialect is None:
            return self._bypass(path)
        if wanted != "both" and dialect != wanted:
            if not is_shared(path):
                message = f"LunaRoute accepts the {wanted} dialect only (api_dialect); {_text(path)} is {dialect}'s."
                return Refusal(dialect, 404, message)
            dialect = wanted
        provider = self.by_type.get(dialect)
        if provider is None:
            message = f"LunaRoute has no enabled provider of type {dialect} for {_text(path)}; add one under providers."
            return Refusal(dialect, 404, message)
        return Route(dialect, provider)

    def _bypass(self, path: bytes) -> Route | Refusal:
        listener = self.api_dialect if self.api_dialect != "both" else "anthropic"
        if not self.bypass_enabled:
            return Refusal(listener, 404, f"LunaRoute does not know {_text(path)}, and bypass is off (bypass.enabled).")
        provider = self.bypass_provider or self.by_type.get(listener) or next(iter(self.by_type.values()), None)
        if provider is None:
            return Refusal(listener, 404, f"LunaRoute has no enabled provider for {_text(path)}.")
        return Route(provider.provider_type, provider)


def snapshot_of(config: Any) -> Snapshot:
    """Make the snapshot of a configuration. The first enabled provider of a type serves its dialect."""
    by_type: dict[str, Any] = {}
    for provider in config.providers.values():
        if provider.enabled:
            by_type.setdefault(provider.provider_type, provider)
    named = config.providers.get(config.bypass.provider) if config.bypass.provider else None
    return Snapshot(config.api_dialect, by_type, config.bypass.enabled, named)


def _text(path: bytes) -> str:
    return path.decode("latin-1")
