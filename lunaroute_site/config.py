"""The configuration: command line, then environment, then the YAML file, then defaults, as one frozen object.

Whatever is wrong with it ends in a :class:`ConfigError` whose one line names the file (or the variable), the key and
what was expected.
"""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from lunaroute_site.config_schema import INTERNAL, TEMPLATED, Config
from routing.masking import masked
from routing.rewriting.templates import check_template

# Environment variable → key. What stands for a path in the file stands here as the same path.
ENVIRONMENT: dict[str, tuple[str, ...]] = {
    "LUNAROUTE_HOST": ("host",),
    "LUNAROUTE_PORT": ("port",),
    "LUNAROUTE_DIALECT": ("api_dialect",),
    "LUNAROUTE_WEB_PROCESSES": ("http_server", "web_processes"),
    "LUNAROUTE_ENABLE_SESSION_RECORDING": ("session_recording", "enabled"),
    "LUNAROUTE_SESSIONS_DIR": ("session_recording", "sessions_dir"),
    "LUNAROUTE_LOG_LEVEL": ("logging", "level"),
    "LUNAROUTE_LOG_REQUESTS": ("logging", "log_requests"),
    "LUNAROUTE_LOG_FORMAT": ("logging", "format"),
    "LUNAROUTE_UI_ENABLED": ("ui", "enabled"),
    "LUNAROUTE_BYPASS_ENABLED": ("bypass", "enabled"),
    "LUNAROUTE_BYPASS_PROVIDER": ("bypass", "provider"),
    "LUNAROUTE_REDIS_URL": ("redis_url",),
    "LUNAROUTE_SECRETS_DIR": ("secrets_dir",),
    "LUNAROUTE_AUTH_TOKEN": ("auth_token",),
    "LUNAROUTE_ALLOWED_HOSTS": ("allowed_hosts",),
    "LUNAROUTE_TEAM": ("team", "enabled"),
    "LUNAROUTE_TRUSTED_PROXIES": ("trusted_proxies",),
    "DATABASE_URL": ("database_url",),
}
# The same for one provider; they count only where a provider of that name is configured.
PROVIDER_ENVIRONMENT = {
    "LUNAROUTE_{}_BASE_URL": ("base_url",),
    "{}_API_KEY": ("api_key",),
    "LUNAROUTE_{}_TIMEOUT_SECS": ("http_client", "timeout_secs"),
    "LUNAROUTE_{}_CONNECT_TIMEOUT_SECS": ("http_client", "connect_timeout_secs"),
    "LUNAROUTE_{}_POOL_MAX_IDLE": ("http_client", "pool_max_idle_per_host"),
    "LUNAROUTE_{}_POOL_IDLE_TIMEOUT_SECS": ("http_client", "pool_idle_timeout_secs"),
    "LUNAROUTE_{}_TCP_KEEPALIVE_SECS": ("http_client", "tcp_keepalive_secs"),
    "LUNAROUTE_{}_MAX_RETRIES": ("http_client", "max_retries"),
}
# Named apart because they are no keys of the file.
OTHER_VARIABLES = {"LUNAROUTE_HOME", "LUNAROUTE_CONFIG"}


class ConfigError(Exception):
    """What is wrong with the configuration, in one line."""


@cache
def current() -> Config:
    """Give the configuration of this process. Raises ConfigError."""
    return load(os.environ)


def load(environ: Mapping[str, str]) -> Config:
    """Read the configuration that `environ` describes. Raises ConfigError.

    ``LUNAROUTE_CONFIG`` names the YAML file. The command line's options stand in the environment as well, where they
    replaced what was there: they win, and child processes see the same configuration.
    """
    path = Path(environ["LUNAROUTE_CONFIG"]).expanduser() if environ.get("LUNAROUTE_CONFIG") else None
    data = _read(path, environ) if path else {}
    home = Path(environ.get("LUNAROUTE_HOME") or "~/.lunaroute").expanduser().absolute()
    names_providers = bool(data.get("providers"))
    origins = _apply(data, environ)
    try:
        return Config.model_validate({**data, "home": home, "file": path, "names_providers": names_providers})
    except ValidationError as error:
        raise ConfigError(_one_line(error, path, origins)) from None


def _read(path: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(
            f"{path}{where}: is not valid YAML: {getattr(error, 'problem', None) or 'malformed'}"
        ) from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected keys with values at the top, got {_kind(data)}")
    for key in INTERNAL:
        if key in data:
            raise ConfigError(f"{path}: {key}: unknown key")
    # An empty section (`providers:` with all below it commented out) means its defaults.
    return {key: _expand(value, (key,), path, environ) for key, value in data.items() if value is not None}


def _expand(value: Any, key: tuple, path: Path, environ: Mapping[str, str]) -> Any:
    """Replace ``${NAME}`` by the environment's value; templates of requests are only checked."""
    if isinstance(value, dict):
        return {k: _expand(v, (*key, k), path, environ) for k, v in value.items()}
    if isinstance(value, list):
        return [_expand(v, (*key, i), path, environ) for i, v in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value
    if any(part in TEMPLATED for part in key):
        problem = check_template(value, notification="switch_notification_message" in key)
        if problem:
            raise ConfigError(f"{path}: {_dotted(key)}: {problem}")
        return value
    out, rest = [], value
    while True:
        before, found, rest = rest.partition("${")
        out.append(before)
        if not found:
            return "".join(out)
        name, closed, rest = rest.partition("}")
        if not closed:
            raise ConfigError(f"{path}: {_dotted(key)}: expected ${{NAME}}, the closing brace is missing")
        if name not in environ and key[-1] == "api_key":
            return None  # the client's own key is used
        if name not in environ:
            raise ConfigError(
                f"{path}: {_dotted(key)}: the environment has no variable {name}, which ${{{name}}} names"
            )
        out.append(environ[name])


def _apply(data: dict[str, Any], environ: Mapping[str, str]) -> dict[tuple, str]:
    """Lay the environment over `data`. Gives the variable behind each key that came from there."""
    providers = data.get("providers") or {"anthropic": {}, "openai": {}}
    data["providers"] = providers
    known = dict(ENVIRONMENT)
    for name in ("anthropic", "openai"):
        for pattern, key in PROVIDER_ENVIRONMENT.items():
            known[pattern.format(name.upper())] = ("providers", name, *key)
    origins = {}
    for variable, key in known.items():
        value = environ.get(variable)
        if not value or (key[0] == "providers" and (not isinstance(providers, dict) or key[1] not in providers)):
            continue
        section = data
        for part in key[:-1]:
            if section.get(part) is None:
                section[part] = {}
            section = section[part]
            if not isinstance(section, dict):
                break  # the file has something else there: validation says so
        else:
            section[key[-1]] = value
            origins[key] = variable
    for variable in environ:
        if variable.startswith("LUNAROUTE_") and variable not in known and variable not in OTHER_VARIABLES:
            raise ConfigError(f"environment: {variable}: unknown variable; docs/configuration.md lists them")
    return origins


def _last_name(key: tuple) -> str:
    """Give the name that a value stands under: those above it, such as session_recording, say nothing of it."""
    return next((part for part in reversed(key) if isinstance(part, str)), "")


def _one_line(error: ValidationError, path: Path | None, origins: dict[tuple, str]) -> str:
    problem = error.errors(include_url=False)[0]
    # A union's branch is part of pydantic's location, but no key.
    key = tuple(part for part in problem["loc"] if not (isinstance(part, str) and part[:1].isupper()))
    message = problem["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    if problem["type"] == "extra_forbidden":
        message = "unknown key"
        known = _known_keys(key[:-1])
        if known:
            message += f"; known here: {', '.join(known)}"
    elif problem["type"] == "missing":
        message = "is missing"
    elif problem["type"] in ("model_type", "dict_type", "model_attributes_type"):
        message = f"expected keys with values, got {_kind(problem['input'])}"
    elif message.startswith("expected") and isinstance(problem["input"], str | int | float | bool):
        if not any(word in str(key[-1:]) for word in ("key", "secret", "token")):
            message += f", got {masked(problem['input'], _last_name(key))!r}"
    variable = origins.get(key)
    places = [f"environment: {variable}" if variable else str(path or ""), "" if variable else _dotted(key), message]
    return " ".join(": ".join(filter(None, places)).split())


def _known_keys(location: tuple) -> list[str]:
    """Names that a section accepts, or nothing where any name will do."""
    model: Any = Config
    for part in location:
        field = getattr(model, "model_fields", {}).get(part)
        model = field.annotation if field else _inner(model)
        if model is None:
            return []
    return sorted(set(getattr(_inner(model) or model, "model_fields", {})) - set(INTERNAL))


def _inner(annotation: Any) -> Any:
    """The model inside of dict[str, Model], tuple[Model, ...] or Model | None."""
    for argument in getattr(annotation, "__args__", ()):
        if hasattr(argument, "model_fields"):
            return argument
    return None


def _dotted(key: tuple) -> str:
    return ".".join(str(part) for part in key)


def _kind(value: Any) -> str:
    kinds = {list: "a list", str: "text", type(None): "nothing", int: "a number", float: "a number"}
    return kinds.get(type(value), type(value).__name__)
