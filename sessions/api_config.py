"""The API's providers and rules: those in force, without secrets, and how providers fare."""

from datetime import UTC, datetime, timedelta

from django.http import HttpRequest
from ninja import Router, Schema
from pydantic import Field

from routing import live, overview
from routing.definitions import PRIMARY, Rule
from routing.masking import masked
from sessions import stats
from sessions.api_common import BAD, known_parameters
from sessions.templatetags.routed import moment

router = Router(tags=["configuration"])
RECENT = timedelta(hours=24)


class QuotaOut(Schema):
    """A limit of a provider, as it last told it. Where it tells only a share, `limit` is 1."""

    name: str
    limit: float | None
    remaining: float | None
    reset_at: datetime | None


class ProviderNow(Schema):
    """What the process that answers knows of a provider."""

    out: str = Field(description="why it is not asked now: resting, breaker_open, probing; empty where it is")
    breaker: str = Field(description="closed, open or half_open")
    breaker_until: datetime | None
    health: str = Field(description="healthy, degraded, unhealthy or unknown")
    success_rate: float | None = Field(description="in the window of routing.health")
    rest_until: datetime | None
    rest_why: str
    quotas: list[QuotaOut]
    served: int = Field(description="since the process began, as failed and limited")
    failed: int
    limited: int


class ProviderOut(Schema):
    """A provider. The figures beside `now` are of the last 24 hours; times are milliseconds."""

    name: str
    source: str = Field(description="file or admin")
    provider_type: str
    base_url: str
    enabled: bool
    has_api_key: bool = Field(description="a server-side key is set; without one the client's is passed on")
    model: str | None
    model_map: dict[str, str]
    openai_api: str | None
    requests: int
    errors: int = Field(description="failures of the provider: no answer, 429, 5xx, broken off")
    success_rate: float | None
    latency_ms: stats.Percentiles
    now: ProviderNow


class RuleOut(Schema):
    """A routing rule of the configuration file or the admin."""

    name: str
    source: str = Field(description="file or admin")
    enabled: bool
    priority: int
    model_pattern: str | None
    path_pattern: str | None
    headers: dict[str, str]
    client: str | None
    dialect: str | None
    strategy: str
    primary: str | None = Field(description="the first of the providers, where the strategy is primary")
    providers: list[str]
    weights: dict[str, int]
    alternative_providers: list[str]
    fallbacks: list[str]
    exponential_backoff_base_secs: float
    warning: str = Field(description="why it takes no request; empty where it may")


@router.get("/providers", response={200: list[ProviderOut], **BAD}, summary="Providers")
@known_parameters()
def providers(request: HttpRequest):
    """The providers of file and admin, how they fare now, and how they answered of late."""
    now = datetime.now(UTC)
    health = stats.provider_health(stats.Span(now - RECENT, now))
    return [_provider(view, health.get(view.definition.name)) for view in overview.providers_of(live.shown())]


def _provider(view: overview.ProviderView, health: stats.ProviderHealth | None) -> ProviderOut:
    provider = view.definition
    health = health or stats.ProviderHealth(provider.name, 0, 0, None, stats.Percentiles())
    return ProviderOut(
        name=provider.name,
        source=provider.source,
        provider_type=provider.provider_type,
        base_url=view.base_url,
        enabled=provider.enabled,
        has_api_key=bool(provider.api_key),
        model=provider.model or None,
        model_map=dict(provider.model_map),
        openai_api=provider.openai_api or None,
        requests=health.requests,
        errors=health.errors,
        success_rate=health.success_rate,
        latency_ms=health.latency_ms,
        now=_now(view),
    )


def _now(view: overview.ProviderView) -> ProviderNow:
    status = view.status
    return ProviderNow(
        out=status.out,
        breaker=status.breaker,
        breaker_until=moment(status.breaker_until),
        health=status.health,
        success_rate=status.success_rate,
        rest_until=moment(status.rest_until),
        rest_why=status.rest_why,
        quotas=[
            QuotaOut(name=q.name, limit=q.limit, remaining=q.remaining, reset_at=moment(q.reset_at))
            for q in status.quotas
        ],
        served=status.served,
        failed=status.failed,
        limited=status.limited,
    )


@router.get("/rules", response={200: list[RuleOut], **BAD}, summary="Routing rules")
@known_parameters()
def rules(request: HttpRequest):
    """The rules in the order in which they are asked: by priority, the highest first, then the file's, then as they stand."""
    return [_rule(view.definition, view.warning) for view in overview.rules_of(live.shown())]


def _rule(rule: Rule, warning: str) -> RuleOut:
    return RuleOut(
        name=rule.name,
        source=rule.source,
        enabled=rule.enabled,
        priority=rule.priority,
        model_pattern=rule.model_pattern or None,
        path_pattern=rule.path_pattern or None,
        headers=masked(dict(rule.headers)),
        client=rule.client or None,
        dialect=rule.dialect or None,
        strategy=rule.strategy,
        primary=rule.providers[0] if rule.strategy == PRIMARY else None,
        providers=list(rule.providers),
        weights=dict(zip(rule.providers, rule.weights, strict=False)),
        alternative_providers=list(rule.alternatives),
        fallbacks=list(rule.fallbacks),
        exponential_backoff_base_secs=rule.backoff_base_secs,
        warning=warning,
    )
