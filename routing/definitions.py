"""Providers and rules as the data plane sees them, whether they come from the configuration file or from the admin.

Both are frozen: a change makes new ones, and a request in flight keeps those that it began with.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ANTHROPIC, OPENAI = "anthropic", "openai"
# How a rule chooses among its providers.
PRIMARY, ROUND_ROBIN, WEIGHTED, LIMITS = "primary", "round_robin", "weighted_round_robin", "limits_alternative"
STRATEGIES = (PRIMARY, ROUND_ROBIN, WEIGHTED, LIMITS)
FROM_FILE, FROM_ADMIN = "file", "admin"


@dataclass(frozen=True, slots=True)
class HttpClient:
    """How a provider is connected to. Times are seconds."""

    timeout_secs: float = 600
    connect_timeout_secs: float = 10
    pool_max_idle_per_host: int = 32
    pool_idle_timeout_secs: float = 600
    tcp_keepalive_secs: float = 60
    max_retries: int = 3


@dataclass(frozen=True, slots=True)
class CodexAuth:
    """The login of Codex CLI, used in place of a key: a JSON file and the dotted place of the token in it."""

    auth_file: str = "~/.codex/auth.json"
    token_field: str = "tokens.access_token"
    account_id: str = ""


@dataclass(frozen=True, slots=True)
class Provider:
    """Who is asked. Templates hold ``${…}`` variables (routing.rewriting)."""

    name: str
    provider_type: str  # ANTHROPIC or OPENAI
    base_url: str
    enabled: bool = True
    api_key: str = field(default="", repr=False)  # "": the client's own
    model: str = ""  # asked in place of the request's; "": no change
    model_map: tuple[tuple[str, str], ...] = ()  # (name with * and ?, name to ask instead); the first that fits
    openai_api: str = ""  # "chat" or "responses": the only one of OpenAI's APIs that it has; "": the client's, or both
    http_client: HttpClient = HttpClient()
    request_headers: tuple[tuple[str, str], ...] = ()  # (name, template)
    body_defaults: Mapping[str, Any] = field(default_factory=dict)
    body_overrides: Mapping[str, Any] = field(default_factory=dict)
    prepend_messages: tuple[Mapping[str, Any], ...] = ()
    switch_notification: str = ""  # template
    codex_auth: CodexAuth | None = None
    source: str = FROM_FILE


@dataclass(frozen=True, slots=True)
class Rule:
    """Which requests it takes, and who serves them. Patterns are RE2; an empty condition takes everything.

    `providers` are asked by the strategy: for ``primary`` in their order; `weights` stand beside them for
    ``weighted_round_robin``; `alternatives` are those of ``limits_alternative``. `fallbacks` come after them.
    """

    name: str
    providers: tuple[str, ...]
    strategy: str = PRIMARY
    fallbacks: tuple[str, ...] = ()
    weights: tuple[int, ...] = ()
    alternatives: tuple[str, ...] = ()
    backoff_base_secs: float = 60
    priority: int = 0
    enabled: bool = True
    model_pattern: str = ""
    path_pattern: str = ""
    headers: tuple[tuple[str, str], ...] = ()  # (name, pattern that its value matches)
    client: str = ""  # claude-code, codex, opencode or other
    dialect: str = ""  # ANTHROPIC or OPENAI: what the client speaks
    source: str = FROM_FILE

    def all_providers(self) -> tuple[str, ...]:
        """Every provider that may serve its requests, in the order in which the rule names them."""
        return (*self.providers, *self.alternatives, *self.fallbacks)


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What a rule may ask of a request. Header names are lower case."""

    model: str
    path: str
    headers: tuple[tuple[str, str], ...]
    client: str
    dialect: str
