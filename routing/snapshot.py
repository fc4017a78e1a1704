"""Where a request goes by its path alone: providers as an immutable snapshot in memory, so that no request asks the database."""

from collections.abc import Mapping
from dataclasses import dataclass

from routing.definitions import Provider
from routing.paths import dialect_of_path, endpoint_of, holds_token, is_shared, is_vendors

# What somebody is told whose path is nobody's.
NOWHERE = (
    "No provider has this address, so LunaRoute passes it to none. LunaRoute is a proxy between coding assistants and their "
    "providers: its own pages are at /ui/, and an assistant takes this server's address as ANTHROPIC_BASE_URL, or with /v1 at "
    "its end as OPENAI_BASE_URL. bypass.provider names a provider for all other addresses."
)


@dataclass(frozen=True, slots=True)
class Route:
    """The provider chosen for a request, and the dialect that the client speaks."""

    listener: str  # "anthropic" or "openai"
    provider: Provider


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
    by_type: Mapping[str, Provider]
    bypass_enabled: bool
    bypass_provider: Provider | None

    def choose(self, method: str, path: bytes, has_anthropic_version: bool) -> Route | Refusal:
        """Choose the provider for a raw `path` (without its query).

        Where no provider speaks the client's dialect, one of the other serves what can be translated.
        """
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
        if provider is None and self.by_type and endpoint_of(method, path):
            provider = next(iter(self.by_type.values()))
        if provider is None:
            message = f"LunaRoute has no enabled provider of type {dialect} for {_text(path)}; add one under providers."
            return Refusal(dialect, 404, message)
        return Route(dialect, provider)

    def _bypass(self, path: bytes) -> Route | Refusal:
        listener = self.api_dialect if self.api_dialect != "both" else "anthropic"
        if not self.bypass_enabled and not holds_token(path):
            return Refusal(listener, 404, f"LunaRoute does not know {_text(path)}, and bypass is off (bypass.enabled).")
        # Only who names a provider for them wants paths passed on that no vendor is known to have.
        if holds_token(path) or (self.bypass_provider is None and not is_vendors(path)):
            return Refusal(listener, 404, NOWHERE)
        provider = self.bypass_provider or self.by_type.get(listener) or next(iter(self.by_type.values()), None)
        if provider is None:
            return Refusal(listener, 404, f"LunaRoute has no enabled provider for {_text(path)}.")
        return Route(provider.provider_type, provider)


def snapshot_of(
    providers: Mapping[str, Provider], api_dialect: str, bypass_enabled: bool, bypass_provider: str | None
) -> Snapshot:
    """Make the snapshot of `providers`. The first enabled provider of a type serves its dialect."""
    by_type: dict[str, Provider] = {}
    for provider in providers.values():
        if provider.enabled:
            by_type.setdefault(provider.provider_type, provider)
    named = providers.get(bypass_provider) if bypass_provider else None
    return Snapshot(api_dialect, by_type, bypass_enabled, named)


def _text(path: bytes) -> str:
    return path.decode("latin-1")
