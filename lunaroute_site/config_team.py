"""The configuration's sections about who may do what: teams, single sign-on, certificates."""

import ipaddress
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from lunaroute_site.config_types import Section, Url


class Oidc(Section):
    """An OpenID provider (https://openid.net/specs/openid-connect-discovery-1_0.html)."""

    discovery_url: Url
    client_id: Annotated[str, Field(min_length=1)]
    client_secret: SecretStr
    label: Annotated[str, Field(min_length=1, max_length=60)] = "single sign-on"
    username_claim: Annotated[str, Field(min_length=1)] = "preferred_username"
    allowed_domains: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    admin_group: str | None = None


class Team(Section):
    enabled: bool = False
    readers: tuple[str, ...] = ()
    audit_days: Annotated[float, Field(gt=0)] = 365
    oidc: Oidc | None = None

    @model_validator(mode="after")
    def _oidc_is_for_teams(self) -> Self:
        if self.oidc is not None and not self.enabled:
            raise ValueError("oidc: expected enabled: true beside it")
        return self


class Tls(Section):
    certificate: Path
    key: Path

    @field_validator("certificate", "key")
    @classmethod
    def _is_a_file(cls, value: Path) -> Path:
        value = value.expanduser().absolute()
        if not value.is_file():
            raise ValueError(f"expected a file in PEM format, and there is none at {value}")
        return value


Network = ipaddress.IPv4Network | ipaddress.IPv6Network
