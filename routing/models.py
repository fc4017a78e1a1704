"""Providers and rules that are made in the admin, and what is kept of how providers fare."""

from typing import Any

from django.conf import settings
from django.db import models

from routing import definitions, keys, revision
from routing.definitions import ANTHROPIC, FROM_ADMIN, LIMITS, OPENAI, PRIMARY, ROUND_ROBIN, WEIGHTED

DIALECTS = [(ANTHROPIC, "Anthropic"), (OPENAI, "OpenAI")]
STRATEGIES = [
    (PRIMARY, "primary and fallbacks"),
    (ROUND_ROBIN, "round robin"),
    (WEIGHTED, "weighted round robin"),
    (LIMITS, "alternatives while limits last"),
]
CLIENTS = [("claude-code", "Claude Code"), ("codex", "Codex CLI"), ("opencode", "OpenCode"), ("other", "other")]
_HTTP = definitions.HttpClient()
_CODEX = definitions.CodexAuth()


class Watched(models.QuerySet):
    """Rows whose changes every process must hear of. Django sends no signal for these two ways to change them."""

    def update(self, **values: Any) -> int:
        changed = super().update(**values)
        revision.changed(self.db)
        return changed

    def bulk_create(self, *arguments: Any, **options: Any) -> list:
        made = super().bulk_create(*arguments, **options)
        revision.changed(self.db)
        return made


class Provider(models.Model):
    """Who is asked: as `definitions.Provider`, whose comments say what the fields mean."""

    name = models.CharField(max_length=64, unique=True)
    enabled = models.BooleanField(default=True)
    provider_type = models.CharField("type", max_length=16, choices=DIALECTS)
    base_url = models.CharField("base URL", max_length=500)
    encrypted_key = models.TextField(blank=True, editable=False)
    model = models.CharField(max_length=200, blank=True)
    model_map = models.JSONField(default=list, blank=True)  # [[name with * and ?, name to ask instead], …]
    openai_api = models.CharField(
        "OpenAI's API",
        max_length=16,
        blank=True,
        choices=[("chat", "Chat Completions only"), ("responses", "Responses only")],
    )
    request_headers = models.JSONField(default=list, blank=True)  # [[name, template], …]
    body_defaults = models.JSONField(default=dict, blank=True)
    body_overrides = models.JSONField(default=dict, blank=True)
    prepend_messages = models.JSONField(default=list, blank=True)
    switch_notification = models.TextField(blank=True)
    timeout_secs = models.FloatField("timeout", default=_HTTP.timeout_secs)
    connect_timeout_secs = models.FloatField("timeout of connecting", default=_HTTP.connect_timeout_secs)
    pool_max_idle_per_host = models.IntegerField("idle connections", default=_HTTP.pool_max_idle_per_host)
    pool_idle_timeout_secs = models.FloatField("idle for at most", default=_HTTP.pool_idle_timeout_secs)
    tcp_keepalive_secs = models.FloatField("TCP keep-alive", default=_HTTP.tcp_keepalive_secs)
    max_retries = models.IntegerField("further tries to connect", default=_HTTP.max_retries)
    codex_enabled = models.BooleanField("use the login of Codex CLI", default=False)
    codex_auth_file = models.CharField("its file", max_length=500, blank=True, default=_CODEX.auth_file)
    codex_token_field = models.CharField("field of the token", max_length=200, blank=True, default=_CODEX.token_field)
    codex_account_id = models.CharField("account", max_length=200, blank=True)

    objects = Watched.as_manager()

    class Meta:
        db_table = "routing_providers"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def set_key(self, key: str) -> None:
        """Take a key to use in place of the client's; "" is none. Raises keys.KeyProblem."""
        self.encrypted_key = keys.encrypt(settings.LUNAROUTE.secrets, key) if key else ""

    def definition(self) -> definitions.Provider:
        """Give what the data plane works with. Raises keys.KeyProblem, and ValueError or TypeError for odd JSON."""
        return self.without_key(
            keys.decrypt(settings.LUNAROUTE.secrets, self.encrypted_key) if self.encrypted_key else ""
        )

    def without_key(self, key: str = "") -> definitions.Provider:
        """Give `definition` with another key. Raises ValueError or TypeError for odd JSON."""
        http = {field: getattr(self, field) for field in definitions.HttpClient.__dataclass_fields__}
        codex = definitions.CodexAuth(self.codex_auth_file, self.codex_token_field, self.codex_account_id)
        return definitions.Provider(
            name=self.name,
            provider_type=self.provider_type,
            base_url=self.base_url,
            enabled=self.enabled,
            api_key=key,
            model=self.model,
            model_map=_pairs(self.model_map),
            openai_api=self.openai_api,
            http_client=definitions.HttpClient(**http),
            request_headers=_pairs(self.request_headers),
            body_defaults=self.body_defaults,
            body_overrides=self.body_overrides,
            prepend_messages=tuple(_list(self.prepend_messages)),
            switch_notification=self.switch_notification,
            codex_auth=codex if self.codex_enabled else None,
            source=FROM_ADMIN,
        )


class Rule(models.Model):
    """Which requests it takes and who serves them. Providers are named, for some are the configuration file's."""

    name = models.CharField(max_length=100, unique=True)
    enabled = models.BooleanField(default=True)
    priority = models.IntegerField(default=0, help_text="The highest is asked first.")
    model_pattern = models.CharField(max_length=1000, blank=True)
    path_pattern = models.CharField(max_length=1000, blank=True)
    headers = models.JSONField(default=list, blank=True)  # [[name, pattern], …]
    client = models.CharField(max_length=16, blank=True, choices=CLIENTS)
    dialect = models.CharField(max_length=16, blank=True, choices=DIALECTS)
    strategy = models.CharField(max_length=32, choices=STRATEGIES, default=PRIMARY)
    providers = models.JSONField(default=list)  # names, as in the next two
    weights = models.JSONField(default=list, blank=True)
    alternatives = models.JSONField(default=list, blank=True)
    fallbacks = models.JSONField(default=list, blank=True)
    backoff_base_secs = models.FloatField("first rest after a limit", default=60)

    objects = Watched.as_manager()

    class Meta:
        db_table = "routing_rules"
        ordering = ["-priority", "pk"]

    def __str__(self) -> str:
        return self.name

    def definition(self) -> definitions.Rule:
        """Give what the data plane works with. Raises ValueError or TypeError for odd JSON."""
        return definitions.Rule(
            name=self.name,
            providers=_texts(self.providers),
            strategy=self.strategy,
            fallbacks=_texts(self.fallbacks),
            weights=tuple([_whole(weight) for weight in _list(self.weights)]),
            alternatives=_texts(self.alternatives),
            backoff_base_secs=self.backoff_base_secs,
            priority=self.priority,
            enabled=self.enabled,
            model_pattern=self.model_pattern,
            path_pattern=self.path_pattern,
            headers=_pairs(self.headers),
            client=self.client,
            dialect=self.dialect,
            source=FROM_ADMIN,
        )


class Rest(models.Model):
    """A provider that has met a limit is left alone; it is written down so that a restart does not end that."""

    provider = models.CharField(max_length=255, primary_key=True)
    until = models.FloatField()  # seconds since the epoch
    why = models.TextField()
    limits = models.IntegerField()  # met in a row

    class Meta:
        db_table = "routing_rests"


class Trip(models.Model):
    """An open circuit breaker: other processes leave the provider alone as long."""

    provider = models.CharField(max_length=255, primary_key=True)
    until = models.FloatField()  # seconds since the epoch

    class Meta:
        db_table = "routing_trips"


class Reset(models.Model):
    """How often somebody has closed a provider's breaker and ended its rest: processes do so when it has grown."""

    provider = models.CharField(max_length=255, primary_key=True)
    number = models.BigIntegerField(default=0)

    objects = Watched.as_manager()

    class Meta:
        db_table = "routing_resets"


class Revision(models.Model):
    """One row, whose number grows with every change: hosts that share a database learn by it that there was one."""

    number = models.BigIntegerField(default=0)

    class Meta:
        db_table = "routing_revision"


def _list(value: Any) -> list:
    if not isinstance(value, list):
        raise TypeError(f"expected a list, got {type(value).__name__}")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not all(isinstance(item, str) for item in _list(value)):
        raise TypeError("expected a list of texts")
    return tuple(value)


def _pairs(value: Any) -> tuple[tuple[str, str], ...]:
    pairs = [_texts(item) for item in _list(value)]
    return tuple([(name, text) for name, text in pairs])


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("expected a list of whole numbers")
    return value
