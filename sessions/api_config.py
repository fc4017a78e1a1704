"""The API's providers and rules: the configuration in force, without secrets, and how providers fare."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings
from django.http import HttpRequest
from ninja import Router, Schema
from pydantic import Field

from sessions import stats
from sessions.api_common import BAD, known_parameters

router = Router(tags=["configuration"])
RECENT = timedelta(hours=24)


class ProviderOut(Schema):
    """A provider of the configuration. The figures are of the last 24 hours; times are milliseconds."""

    name: str
    provider_type: str
    base_url: str
    enabled: bool
    has_api_key: bool = Field(description="a server-side key is set; without one the client's is passed on")
    model: str | None
    requests: int
    errors: int = Field(description="failures of the provider: no answer, 429, 5xx, broken off")
    success_rate: float | None
    latency_ms: stats.Percentiles


class RuleOut(Schema):
    """A routing rule of the configuration file."""

    name: str
    priority: int
    model_pattern: str | None
    path_pattern: str | None
    headers: dict[str, str]
    client: str | None
    strategy: str | None
    primary: str | None
    fallbacks: list[str]
    providers: list[str]
    weights: dict[str, int]
    primary_providers: list[str]
    alternative_providers: list[str]
    exponential_backoff_base_secs: float


@router.get("/providers", response={200: list[ProviderOut], **BAD}, summary="Providers")
@known_parameters()
def providers(request: HttpRequest):
    """The providers of the configuration, and how they answered of late."""
    now = datetime.now(UTC)
    health = stats.provider_health(stats.Span(now - RECENT, now))
    return [_provider(provider, health.get(name)) for name, provider in settings.LUNAROUTE.providers.items()]


def _provider(provider: Any, health: stats.ProviderHealth | None) -> ProviderOut:
    health = health or stats.ProviderHealth(provider.name, 0, 0, None, stats.Percentiles())
    return ProviderOut(
        name=provider.name,
        provider_type=provider.provider_type,
        base_url=_without_password(provider.base_url),
        enabled=provider.enabled,
        has_api_key=provider.api_key is not None,
        model=provider.model,
        requests=health.requests,
        errors=health.errors,
        success_rate=health.success_rate,
        latency_ms=health.latency_ms,
    )


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


@router.get("/rules", response={200: list[RuleOut], **BAD}, summary="Routing rules")
@known_parameters()
def rules(request: HttpRequest):
    """The rules in the order in which they are asked: by priority, the highest first, then as they stand in the file."""
    ordered = sorted(settings.LUNAROUTE.routing.rules, key=lambda rule: -rule.priority)
    return [RuleOut(**rule.model_dump()) for rule in ordered]
