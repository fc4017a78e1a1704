"""The sections of providers and of routing, and the definitions that they become."""

from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator

from lunaroute_site.config_types import Count, Dialect, Pattern, Seconds, Section, Url
from routing import definitions
from routing.provider_validation import Address, problem_of_key, problems_of_provider
from routing.validation import problems_of

BASE_URLS = {"anthropic": "https://api.anthropic.com", "openai": "https://api.openai.com/v1"}

# Keys of the file for fields of definitions, where they differ.
_RULE_KEYS = {"alternatives": "alternative_providers", "backoff_base_secs": "exponential_backoff_base_secs"}
_PROVIDER_KEYS = {
    "request_headers": "request_headers.headers",
    "body_defaults": "request_body.defaults",
    "body_overrides": "request_body.overrides",
    "prepend_messages": "request_body.prepend_messages",
    "switch_notification": "switch_notification_message",
}


class HttpClient(Section):
    timeout_secs: Seconds = 600
    connect_timeout_secs: Seconds = 10
    pool_max_idle_per_host: Count = 32
    pool_idle_timeout_secs: Seconds = 600
    tcp_keepalive_secs: Annotated[float, Field(ge=0)] = 60
    max_retries: Annotated[int, Field(ge=0, le=20)] = 3


class RequestHeaders(Section):
    headers: dict[str, str] = {}


class PrependedMessage(Section):
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[dict[str, Any]]


class RequestBody(Section):
    defaults: dict[str, Any] = {}
    overrides: dict[str, Any] = {}
    prepend_messages: tuple[PrependedMessage, ...] = ()


class CodexAuth(Section):
    enabled: bool = False
    auth_file: str = "~/.codex/auth.json"
    token_field: str = "tokens.access_token"
    account_id: str | None = None

    def definition(self) -> definitions.CodexAuth | None:
        """Give what the data plane works with; None where this is off."""
        return definitions.CodexAuth(self.auth_file, self.token_field, self.account_id or "") if self.enabled else None


class Provider(Section):
    name: str
    enabled: bool = True
    provider_type: Dialect
    base_url: Url
    api_key: SecretStr | None = None
    model: str | None = None
    model_map: dict[str, str] = {}
    openai_api: Literal["chat", "responses"] | None = None
    http_client: HttpClient = HttpClient()
    request_headers: RequestHeaders = RequestHeaders()
    request_body: RequestBody = RequestBody()
    switch_notification_message: str | None = None
    codex_auth: CodexAuth = CodexAuth()

    @field_validator("api_key", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        if isinstance(value, str) and (problem := problem_of_key(value)):
            raise ValueError(problem)
        return value or None

    def definition(self) -> definitions.Provider:
        """Give what the data plane works with."""
        return definitions.Provider(
            name=self.name,
            provider_type=self.provider_type,
            base_url=self.base_url,
            enabled=self.enabled,
            api_key=self.api_key.get_secret_value() if self.api_key else "",
            model=self.model or "",
            model_map=tuple(self.model_map.items()),
            openai_api=self.openai_api or "",
            http_client=definitions.HttpClient(**self.http_client.model_dump()),
            request_headers=tuple(self.request_headers.headers.items()),
            body_defaults=self.request_body.defaults,
            body_overrides=self.request_body.overrides,
            prepend_messages=tuple(message.model_dump() for message in self.request_body.prepend_messages),
            switch_notification=self.switch_notification_message or "",
            codex_auth=self.codex_auth.definition(),
        )

    def problem(self, own: Address) -> str:
        """Say what is wrong with the provider where LunaRoute listens at `own`, by the keys of the file; or nothing."""
        for problem in problems_of_provider(self.definition(), own):
            field, _, words = problem.partition(": ")
            if field != "name":  # one that no marker can name may still serve
                return f"{_PROVIDER_KEYS.get(field, field)}: {words}"
        return ""


class CircuitBreaker(Section):
    failure_threshold: Annotated[int, Field(gt=0)] = 3
    timeout_secs: Seconds = 30
    success_threshold: Annotated[int, Field(gt=0)] = 2


class Health(Section):
    window_secs: Seconds = 60
    healthy_threshold: Annotated[float, Field(gt=0, le=1)] = 0.95
    unhealthy_threshold: Annotated[float, Field(ge=0, le=1)] = 0.75
    min_requests: Annotated[int, Field(gt=0)] = 10


class Rule(Section):
    name: str
    enabled: bool = True
    priority: int = 0
    model_pattern: Pattern | None = None
    path_pattern: Pattern | None = None
    headers: dict[str, str] = {}
    client: Literal["claude-code", "codex", "opencode", "other"] | None = None
    dialect: Dialect | None = None
    strategy: Literal["primary", "round_robin", "weighted_round_robin", "limits_alternative"] | None = None
    primary: str | None = None
    fallbacks: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    weights: dict[str, Annotated[int, Field(ge=0)]] = {}
    primary_providers: tuple[str, ...] = ()
    alternative_providers: tuple[str, ...] = ()
    exponential_backoff_base_secs: Seconds = 60

    def named_providers(self) -> list[tuple[str, str]]:
        """Give (key, provider name) for each provider that the rule names."""
        named = [("primary", self.primary)] if self.primary else []
        for key in ("fallbacks", "providers", "weights", "primary_providers", "alternative_providers"):
            named += [(key, name) for name in getattr(self, key)]
        return named

    def definition(self) -> definitions.Rule:
        """Give what the data plane works with."""
        weighted = [name for name in self.weights if name not in self.providers]
        first = (self.primary,) if self.primary else ()
        providers = (*first, *self.providers, *weighted, *self.primary_providers)
        return definitions.Rule(
            name=self.name,
            providers=providers,
            strategy=self.strategy or definitions.PRIMARY,
            fallbacks=self.fallbacks,
            weights=tuple(self.weights[name] for name in providers if name in self.weights),
            alternatives=self.alternative_providers,
            backoff_base_secs=self.exponential_backoff_base_secs,
            priority=self.priority,
            enabled=self.enabled,
            model_pattern=self.model_pattern or "",
            path_pattern=self.path_pattern or "",
            headers=tuple(self.headers.items()),
            client=self.client or "",
            dialect=self.dialect or "",
        )

    def problem(self, providers: dict[str, Provider]) -> str:
        """Say what is wrong with the rule where there are these `providers`, by the keys of the file; or nothing."""
        named, known = self.named_providers(), ", ".join(providers)
        if not named:
            return "names no provider; primary or strategy needs some"
        for key, name in named:
            if name not in providers:
                return f"{key}: expected one of the providers ({known}), got {name!r}"
        problem = next(iter(problems_of(self.definition(), providers)), "")
        field, colon, words = problem.partition(": ")
        return f"{_RULE_KEYS.get(field, field)}{colon}{words}"


class Routing(Section):
    rules: tuple[Rule, ...] = ()
    circuit_breaker: CircuitBreaker = CircuitBreaker()
    health: Health = Health()


def filled_provider(name: Any, value: Any) -> Any:
    """Give a provider of the file with what its name and type say; a provider's own checks see to the rest."""
    if value is None:
        value = {}
    if not isinstance(value, dict):
        return value
    kind = value.get("provider_type")
    if kind is None:
        kinds = [k for k in BASE_URLS if k in str(name).lower()]
        if not kinds:
            raise ValueError(f"providers.{name}: provider_type is missing: expected openai or anthropic")
        kind = kinds[0]
    filled = {"base_url": BASE_URLS.get(kind, ""), **{k: v for k, v in value.items() if v is not None}}
    return {**filled, "provider_type": kind, "name": str(name)}
