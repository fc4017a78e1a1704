"""Every key of the configuration with its type, default and check."""

import ipaddress
import socket
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from lunaroute_site.config_budgets import Budget, problem_of
from lunaroute_site.config_routing import Provider, Routing, filled_provider
from lunaroute_site.config_team import Network, Team, Tls
from lunaroute_site.config_types import Count, Section
from pii.patterns import compiled, matches_nothing
from pii.policy import RESERVED, Handling, Mode, Policy
from pii.policy import CustomPattern as PolicyPattern
from routing.provider_validation import Address
from routing.validation import warnings_of

# Below these keys `${…}` is filled in for each request and is no variable of the file.
TEMPLATED = ("request_headers", "request_body", "switch_notification_message")

# Fields of the configuration that are no keys of the file.
INTERNAL = ("home", "file", "names_providers")

# Characters of a token that nobody guesses.
MIN_TOKEN = 16

# Types of values and the keys that switch their detectors.
PII_TYPES = {
    "EMAIL": "detect_email",
    "PHONE": "detect_phone",
    "SSN": "detect_ssn",
    "CREDIT_CARD": "detect_credit_card",
    "IP_ADDRESS": "detect_ip_address",
    "IBAN": "detect_iban",
    "SECRET": "detect_secrets",
}


def _finding_pattern(text: str) -> str:
    if matches_nothing(compiled(text)):
        raise ValueError("expected a pattern that does not match the empty string")
    return text


class HttpServer(Section):
    max_request_body_bytes: Annotated[int, Field(gt=0)] = 104_857_600
    web_processes: Annotated[int, Field(ge=1, le=64)] = 1
    announce_stop_secs: Annotated[float, Field(ge=0, le=300)] = 0
    drain_secs: Annotated[float, Field(ge=0, le=86_400)] = 30
    head_timeout_secs: Annotated[float, Field(ge=0.1, le=3600)] = 30
    body_timeout_secs: Annotated[float, Field(ge=0.1, le=3600)] = 30
    min_body_bytes_per_sec: Annotated[float, Field(ge=0)] = 1024
    idle_timeout_secs: Annotated[float, Field(ge=0.1, le=86_400)] = 300
    max_unfinished_per_client: Annotated[int, Field(ge=1)] = 128
    sse_keepalive_enabled: bool = False
    sse_keepalive_secs: Annotated[float, Field(ge=0.05, le=3600)] = 15


class JsonlWriter(Section):
    enabled: bool = True


class SqliteWriter(Section):
    enabled: bool = True

    @field_validator("enabled")
    @classmethod
    def _is_needed(cls, value: bool) -> bool:
        if not value:
            raise ValueError(
                "expected true: grouping, pages and API read the database (session_recording.enabled: false records nothing)"
            )
        return value


class RecordingWorker(Section):
    batch_size: Annotated[int, Field(gt=0, le=100_000)] = 100
    batch_timeout_ms: Annotated[int, Field(ge=0, le=60_000)] = 100


class CustomPattern(Section):
    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
    pattern: Annotated[str, AfterValidator(_finding_pattern)]
    confidence: Annotated[float, Field(ge=0, le=1)] = 0.9
    redaction_mode: Mode | None = None
    placeholder: Annotated[str, Field(pattern=r"^[^\r\n]*$")] | None = None


class TypeOverride(Section):
    redaction_mode: Mode
    partial_show_chars: Count | None = None


class Pii(Section):
    enabled: bool = False
    detect_email: bool = True
    detect_phone: bool = True
    detect_ssn: bool = True
    detect_credit_card: bool = True
    detect_ip_address: bool = True
    detect_iban: bool = True
    detect_secrets: bool = True
    min_confidence: Annotated[float, Field(ge=0, le=1)] = 0.7
    redaction_mode: Mode = "mask"
    partial_show_chars: Count = 4
    hmac_secret: SecretStr | None = None
    keep_binary: bool = False
    type_overrides: dict[str, TypeOverride] = {}
    custom_patterns: tuple[CustomPattern, ...] = ()

    @field_validator("custom_patterns")
    @classmethod
    def _have_names_of_their_own(cls, patterns: tuple[CustomPattern, ...]) -> tuple[CustomPattern, ...]:
        taken = set(RESERVED)
        for pattern in patterns:
            if pattern.name.upper() in taken:
                raise ValueError(f"expected another name than {pattern.name!r}, which is in use or LunaRoute's own")
            taken.add(pattern.name.upper())
        return patterns

    @model_validator(mode="after")
    def _types_are_known(self) -> Self:
        known = (*PII_TYPES, *(pattern.name.upper() for pattern in self.custom_patterns))
        for name in self.type_overrides:
            if name.upper() not in known:
                raise ValueError(f"type_overrides: expected one of the types ({', '.join(known)}), got {name!r}")
        return self

    @model_validator(mode="after")
    def _tokens_need_a_secret(self) -> Self:
        modes = {self.redaction_mode, *(p.redaction_mode for p in self.custom_patterns)}
        modes |= {o.redaction_mode for o in self.type_overrides.values()}
        if self.enabled and "tokenize" in modes and not (self.hmac_secret and self.hmac_secret.get_secret_value()):
            raise ValueError('redaction_mode tokenize needs hmac_secret, for instance hmac_secret: "${PII_SECRET}"')
        return self

    def policy(self) -> Policy:
        """What redaction does by this section, whether it is enabled or not."""
        return Policy(
            types=tuple(kind for kind, key in PII_TYPES.items() if getattr(self, key)),
            min_confidence=self.min_confidence,
            mode=self.redaction_mode,
            partial_show_chars=self.partial_show_chars,
            secret=self.hmac_secret.get_secret_value() if self.hmac_secret else "",
            overrides={
                name.upper(): Handling(
                    override.redaction_mode,
                    self.partial_show_chars if override.partial_show_chars is None else override.partial_show_chars,
                )
                for name, override in self.type_overrides.items()
            },
            custom_patterns=tuple(
                PolicyPattern(p.name.upper(), compiled(p.pattern), p.confidence, p.redaction_mode, p.placeholder)
                for p in self.custom_patterns
            ),
            keep_binary=self.keep_binary,
        )

    def notes(self) -> list[str]:
        """What in this section finds nothing."""
        return [
            f"session_recording.pii: the pattern {p.name} finds nothing: its confidence {p.confidence} is below min_confidence."
            for p in self.custom_patterns
            if self.enabled and p.confidence < self.min_confidence
        ]


class Retention(Section):
    max_age_days: Annotated[float, Field(gt=0)] | None = None
    max_total_size_gb: Annotated[float, Field(gt=0)] | None = None
    compress_after_days: Annotated[float, Field(ge=0)] | None = 7
    cleanup_interval_minutes: Annotated[float, Field(gt=0)] = 60


class Cleanup(Section):
    retention: Retention = Retention()


class SessionRecording(Section):
    enabled: bool = True
    counting: bool = True
    sessions_dir: Path
    jsonl: JsonlWriter = JsonlWriter()
    sqlite: SqliteWriter = SqliteWriter()
    worker: RecordingWorker = RecordingWorker()
    capture_user_agent: bool = True
    pii: Pii = Pii()
    cleanup: Cleanup = Cleanup()

    @property
    def is_read(self) -> bool:
        """Whether what passes is read at all: to be recorded, or to be counted and forgotten."""
        return self.enabled or self.counting


class Bypass(Section):
    enabled: bool = True
    provider: str | None = None


class Logging(Section):
    level: Literal["trace", "debug", "info", "warn", "warning", "error"] = "info"
    log_requests: bool = False
    access_log: bool = False
    format: Literal["text", "json"] = "text"

    @property
    def is_detailed(self) -> bool:
        """Whether more is said than is of use to everybody."""
        return self.level in ("trace", "debug")


class Ui(Section):
    enabled: bool = True
    refresh_interval: Annotated[int, Field(gt=0)] = 5
    export_enabled: bool = True
    delete_enabled: bool = False


class Config(Section):
    home: Path
    file: Path | None = None
    names_providers: bool = False  # whether the file says which there are
    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8081
    api_dialect: Literal["openai", "anthropic", "both"] = "both"
    http_server: HttpServer = HttpServer()
    providers: dict[str, Provider]
    session_recording: SessionRecording
    session_stats_max_sessions: Count = 100
    bypass: Bypass = Bypass()
    logging: Logging = Logging()
    ui: Ui = Ui()
    routing: Routing = Routing()
    budgets: tuple[Budget, ...] = ()
    allowed_hosts: list[Annotated[str, Field(min_length=1)]] = []
    auth_token: SecretStr | None = None
    team: Team = Team()
    tls: Tls | None = None
    trusted_proxies: list[Network] = []
    allowed_addresses: tuple[Network, ...] = ()
    secrets_dir: Path | None = None
    redis_url: str | None = None
    database_url: SecretStr | None = None

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: dict[str, Any]) -> dict[str, Any]:
        """What a default depends on: a provider's name, the home."""
        data = dict(data)
        providers = data.get("providers")
        if isinstance(providers, dict):
            data["providers"] = {name: filled_provider(name, value) for name, value in providers.items()}
        recording = data.setdefault("session_recording", {})
        if isinstance(recording, dict):
            path = recording.get("sessions_dir") or data["home"] / "sessions"
            if isinstance(path, str | Path):
                path = Path(path).expanduser().absolute()
            data["session_recording"] = {**recording, "sessions_dir": path}
        return data

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        try:
            addresses = {found[4][0] for found in socket.getaddrinfo(self.host or None, 0, flags=socket.AI_PASSIVE)}
            return all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in addresses)
        except (OSError, ValueError):
            return False

    @property
    def secrets(self) -> Path:
        """Where the keys are that sign cookies and encrypt providers' keys: hosts that share a database share them."""
        return self.secrets_dir.expanduser().absolute() if self.secrets_dir else self.home

    @property
    def identity(self) -> str:
        """Names the server's recorder among those that share a database."""
        return f"{socket.gethostname()}:{self.home}"

    def notes(self) -> list[str]:
        """What somebody should know who starts with this configuration, a line each."""
        notes = []
        if not any(provider.api_key for provider in self.providers.values()):
            notes.append(
                "No providers configured with a key of their own: each client's key is passed on (this is normal)."
            )
        notes += self.session_recording.pii.notes()
        providers = {name: provider.definition() for name, provider in self.providers.items()}
        rules = [rule.definition() for rule in self.routing.rules]
        notes += [f"routing.rules: rule {rule.name!r}: {why}" for rule, why in warnings_of(rules, providers)]
        for name in ("log_requests", "access_log"):
            if getattr(self.logging, name) and not self.session_recording.is_read:
                notes.append(f"logging.{name}: no requests are logged, because session_recording.counting is false.")
        if self.budgets and not self.session_recording.is_read:
            notes.append("budgets: nothing is counted, because session_recording.counting is false.")
        return notes

    @field_validator("allowed_hosts", "trusted_proxies", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        """The environment has them in one line."""
        return [host.strip() for host in value.split(",") if host.strip()] if isinstance(value, str) else value

    @field_validator("auth_token")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not (len(value.get_secret_value()) >= MIN_TOKEN and value.get_secret_value().isascii()):
            raise ValueError(
                f"expected {MIN_TOKEN} ASCII characters or more; `openssl rand -hex 32` gives such a token"
            )
        return value

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: SecretStr | None) -> SecretStr | None:
        if value and urlsplit(value.get_secret_value()).scheme not in ("postgres", "postgresql", "sqlite"):
            raise ValueError("expected an address such as postgres://user:password@host/name")
        return value

    @field_validator("redis_url")
    @classmethod
    def _known_broker(cls, value: str | None) -> str | None:
        if value and urlsplit(value).scheme not in ("redis", "rediss", "unix"):
            raise ValueError("expected an address such as redis://host:6379/0")
        return value

    @model_validator(mode="after")
    def _providers_can_be_asked(self) -> Self:
        for name, provider in self.providers.items():
            if problem := provider.problem(Address(self.host, self.port, self.allowed_addresses)):
                raise ValueError(f"providers.{name}.{problem}")
        return self

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        known = ", ".join(self.providers)
        if self.bypass.provider and self.bypass.provider not in self.providers:
            raise ValueError(f"bypass.provider: expected one of the providers ({known}), got {self.bypass.provider!r}")
        names: set[str] = set()
        for rule in self.routing.rules:
            if rule.name in names:
                raise ValueError(f"routing.rules: expected another name than {rule.name!r}, which is in use")
            names.add(rule.name)
            if problem := rule.problem(self.providers):
                raise ValueError(f"routing.rules: rule {rule.name!r}: {problem}")
        return self

    @model_validator(mode="after")
    def _budgets_can_be_kept(self) -> Self:
        if problem := problem_of(self.budgets, self.allowed_addresses):
            raise ValueError(problem)
        return self
