"""The configuration: where it comes from, and what is said when it is wrong."""

from pathlib import Path

import pytest
import yaml

from lunaroute_site.config import ENVIRONMENT, PROVIDER_ENVIRONMENT, ConfigError, load
from routing.definitions import LIMITS, WEIGHTED, CodexAuth, HttpClient, Provider, Rule

ROOT = Path(__file__).resolve().parents[2]


def config(tmp_path: Path, text: str = "", **environ: str):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    return load({"LUNAROUTE_CONFIG": str(path), "HOME": str(tmp_path), **environ})


def test_defaults():
    found = load({})
    assert (found.host, found.port, found.api_dialect) == ("127.0.0.1", 8081, "both")
    assert found.providers["openai"].base_url == "https://api.openai.com/v1"
    assert found.providers["anthropic"].http_client.timeout_secs == 600
    assert found.session_recording.sessions_dir == Path("~/.lunaroute/sessions").expanduser()
    assert found.session_recording.cleanup.retention.compress_after_days == 7


def test_the_example_file_holds_every_key_with_its_default(tmp_path):
    text = (ROOT / "config.example.yaml").read_text()
    example = config(tmp_path, text)
    internal = {"name", "home", "file", "names_providers"}
    assert example.model_dump(exclude=internal) == load({}).model_dump(exclude=internal)
    assert set(keys_of(type(example))) <= {line.strip(" #").split(":")[0] for line in text.splitlines()} | internal


def keys_of(model) -> list[str]:
    """Every key of a section and of those below it, but for what stands in lists and free maps."""
    found = []
    for name, field in model.model_fields.items():
        found.append(name)
        if hasattr(field.annotation, "model_fields"):
            found += keys_of(field.annotation)
    return found


def test_the_environment_wins_over_the_file(tmp_path):
    found = config(tmp_path, "port: 9000\nhost: 127.0.0.2\n", LUNAROUTE_PORT="9001")
    assert (found.port, found.host) == (9001, "127.0.0.2")


def test_every_variable_of_the_environment_reaches_its_key(tmp_path):
    values = {
        "host": "127.0.0.9", "port": "9", "api_dialect": "openai", "enabled": "false", "sessions_dir": "/x", "level": "debug",
        "log_requests": "true", "format": "json", "provider": "openai", "redis_url": "redis://h", "database_url": "postgres://u@h/d",
        "base_url": "http://h/v1", "api_key": "k", "timeout_secs": "1", "connect_timeout_secs": "2", "pool_max_idle_per_host": "3",
        "pool_idle_timeout_secs": "4", "tcp_keepalive_secs": "5", "max_retries": "6", "auth_token": "a-token-of-length",
        "allowed_hosts": "['h']", "web_processes": "3", "secrets_dir": "/y", "trusted_proxies": "['10.0.0.0/8']",
    }  # fmt: skip
    known = dict(ENVIRONMENT)
    for name in ("anthropic", "openai"):
        known |= {p.format(name.upper()): ("providers", name, *key) for p, key in PROVIDER_ENVIRONMENT.items()}
    for variable, key in known.items():
        found = load({variable: values[key[-1]].strip("[']")})
        for part in key:
            found = found[part] if isinstance(found, dict) else getattr(found, part)
        found = found.get_secret_value() if hasattr(found, "get_secret_value") else found
        found = [str(item) for item in found] if isinstance(found, list) else found
        assert str(found).lower() in (values[key[-1]], f"{values[key[-1]]}.0"), variable


def test_variables_in_the_file_are_the_environments(tmp_path):
    found = config(
        tmp_path,
        "host: ${ADDRESS}\nproviders: {openai: {api_key: '${NO_KEY}', base_url: 'http://${ADDRESS}:1/v1'}}",
        ADDRESS="127.0.0.3",
    )
    assert (found.host, found.providers["openai"].base_url, found.providers["openai"].api_key) == (
        "127.0.0.3",
        "http://127.0.0.3:1/v1",
        None,
    )


def test_templates_of_requests_are_left_alone(tmp_path):
    text = "providers: {openai: {request_headers: {headers: {X-A: '${session_id}/${env.USER}'}}}}"
    assert config(tmp_path, text).providers["openai"].request_headers.headers == {"X-A": "${session_id}/${env.USER}"}


def test_providers_of_the_file_replace_the_defaults(tmp_path):
    assert list(config(tmp_path, "providers: {my_openai: {}}").providers) == ["my_openai"]


def test_an_empty_section_means_its_defaults(tmp_path):
    assert config(tmp_path, "providers:\nlogging:\n").port == 8081


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prot: 1", ["prot", "unknown key", "port"]),
        ("http_server: {max_size: 1}", ["http_server.max_size", "unknown key", "max_request_body_bytes"]),
        ("providers: {openai: {key: x}}", ["providers.openai.key", "unknown key", "api_key"]),
        ("providers: {openai: {http_client: {timeout: 1}}}", ["providers.openai.http_client.timeout", "timeout_secs"]),
        ("port: many", ["port", "expected a valid integer", "'many'"]),
        ("port: 70000", ["port", "65535", "70000"]),
        ("api_dialect: latin", ["api_dialect", "'openai', 'anthropic' or 'both'", "'latin'"]),
        ("logging: loud", ["logging", "expected keys with values, got text"]),
        ("- 1", ["expected keys with values at the top, got a list"]),
        ("port: [", ["line 1", "not valid YAML"]),
        ("host: ${NOPE}", ["host", "NOPE"]),
        ("host: ${NOPE", ["host", "closing brace"]),
        ("providers: {mine: {}}", ["providers.mine", "provider_type is missing"]),
        ("providers: {openai: {base_url: ftp://x}}", ["providers.openai.base_url", "https://api.example.com/v1"]),
        (
            "providers: {openai: {request_headers: {headers: {A: '${user}'}}}}",
            ["providers.openai.request_headers.headers.A", "${env.NAME}"],
        ),
        (
            "routing: {rules: [{name: r, model_pattern: '(', primary: openai}]}",
            ["routing.rules.0.model_pattern", "regular expression"],
        ),
        ("routing: {rules: [{name: r, primary: nobody}]}", ["'r'", "primary", "anthropic, openai", "'nobody'"]),
        ("routing: {rules: [{name: r}]}", ["'r'", "names no provider"]),
        (
            "routing: {rules: [{name: r, primary: openai, headers: {X-A: '('}}]}",
            ["'r'", "headers: X-A", "regular expression"],
        ),
        ("routing: {rules: [{name: r, primary: openai, fallbacks: [openai]}]}", ["'r'", "fallbacks", "named twice"]),
        (
            "routing: {rules: [{name: r, strategy: weighted_round_robin, weights: {openai: 0}}]}",
            ["'r'", "weights", "above 0"],
        ),
        (
            "routing: {rules: [{name: r, strategy: weighted_round_robin, providers: [openai, anthropic], weights: {openai: 1}}]}",
            ["'r'", "weights", "one for each provider (2), got 1"],
        ),
        (
            "routing: {rules: [{name: r, primary: openai, alternative_providers: [anthropic]}]}",
            ["'r'", "alternative_providers", "limits_alternative"],
        ),
        ("routing: {rules: [{name: r, primary: openai, dialect: latin}]}", ["routing.rules.0.dialect", "'latin'"]),
        (
            "routing: {rules: [{name: r, primary: openai}, {name: r, primary: anthropic}]}",
            ["routing.rules", "another name than 'r'"],
        ),
        ("providers: {openai: {openai_api: both}}", ["providers.openai.openai_api", "'chat' or 'responses'"]),
        ("providers: {anthropic: {openai_api: chat}}", ["providers.anthropic.openai_api", "type openai"]),
        ("providers: {openai: {model_map: {'a*': ''}}}", ["providers.openai.model_map", "'a*'"]),
        (
            'providers: {openai: {request_headers: {headers: {X-A: "a\\r\\nb"}}}}',
            ["providers.openai.request_headers.headers", "X-A", "line breaks"],
        ),
        ("providers: {openai: {base_url: 'http://localhost:8081/v1'}}", ["providers.openai.base_url", "own address"]),
        ("port: 9000\nproviders: {openai: {base_url: 'http://[::1]:9000'}}", ["base_url", "own address"]),
        ("bypass: {provider: nobody}", ["bypass.provider", "'nobody'"]),
        (
            "session_recording: {pii: {enabled: true, redaction_mode: tokenize}}",
            ["session_recording.pii", "hmac_secret"],
        ),
        (
            "session_recording: {pii: {custom_patterns: [{name: a, pattern: '[', confidence: 1}]}}",
            ["custom_patterns.0.pattern"],
        ),
        (
            "session_recording: {pii: {custom_patterns: [{name: a, pattern: 'x*'}]}}",
            ["custom_patterns.0.pattern", "the empty string"],
        ),
        (
            "session_recording: {pii: {custom_patterns: [{name: a, pattern: '\\bx?'}]}}",
            ["custom_patterns.0.pattern", "the empty string"],
        ),
        (
            "session_recording: {pii: {custom_patterns: [{name: secret, pattern: x}]}}",
            ["session_recording.pii.custom_patterns", "another name than 'secret'"],
        ),
        (
            "session_recording: {pii: {custom_patterns: [{name: a, pattern: x}, {name: A, pattern: y}]}}",
            ["custom_patterns", "'A'"],
        ),
        (
            "session_recording: {pii: {redaction_mode: hide}}",
            ["session_recording.pii.redaction_mode", "'mask', 'remove', 'tokenize' or 'partial'", "'hide'"],
        ),
        (
            "session_recording: {pii: {type_overrides: {emails: {redaction_mode: mask}}}}",
            ["session_recording.pii", "type_overrides", "EMAIL, PHONE", "'emails'"],
        ),
        (
            "session_recording: {pii: {type_overrides: {email: {redaction_mode: blot}}}}",
            ["session_recording.pii.type_overrides.email.redaction_mode", "'blot'"],
        ),
        (
            "session_recording: {pii: {enabled: true, type_overrides: {email: {redaction_mode: tokenize}}}}",
            ["session_recording.pii", "hmac_secret"],
        ),
        ("session_recording: {pii: {min_confidence: 2}}", ["session_recording.pii.min_confidence", "2"]),
        ("session_recording: {sqlite: {enabled: false}}", ["session_recording.sqlite.enabled", "expected true"]),
        ("session_recording: {cleanup: {retention: {max_age_days: -1}}}", ["max_age_days", "-1"]),
        ("database_url: mysql://x", ["database_url", "postgres://"]),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_file_and_key(tmp_path, text, words):
    with pytest.raises(ConfigError) as error:
        config(tmp_path, text)
    message = str(error.value)
    assert message.startswith(str(tmp_path / "c.yaml"))
    assert "\n" not in message
    for word in words:
        assert word in message, message


@pytest.mark.parametrize(
    ("variable", "value", "word"),
    [
        ("LUNAROUTE_PORT", "x", "expected a valid integer"),
        ("LUNAROUTE_ENABLE_SESSION_RECORDING", "perhaps", "expected a valid boolean"),
        ("LUNAROUTE_OPENAI_MAX_RETRIES", "-1", "expected"),
        ("LUNAROUTE_LOGLEVEL", "info", "unknown variable"),
        ("LUNAROUTE_CONFIG", "/nowhere.yaml", "cannot be read"),
    ],
)
def test_what_is_wrong_in_the_environment_names_the_variable(variable, value, word):
    with pytest.raises(ConfigError, match=word) as error:
        load({variable: value})
    assert variable in str(error.value) or value in str(error.value)


def test_a_key_is_never_shown(tmp_path):
    with pytest.raises(ConfigError) as error:
        config(tmp_path, "providers: {openai: {api_key: 'sk-secret with a space'}}")
    assert "sk-secret" not in str(error.value)
    assert "sk-secret" not in repr(config(tmp_path, "providers: {openai: {api_key: 'sk-secret'}}"))


def test_providers_and_rules_become_what_the_data_plane_works_with(tmp_path):
    found = config(
        tmp_path,
        """
        providers:
          openai: {api_key: sk-secret, model_map: {"b*": x, "a*": y}, openai_api: chat, model: m,
            request_headers: {headers: {X-A: "${model}"}}, request_body: {prepend_messages: [{role: user, content: c}]},
            codex_auth: {enabled: true, account_id: a}, http_client: {timeout_secs: 5}}
          anthropic: {enabled: false}
        routing:
          rules:
            - {name: w, strategy: weighted_round_robin, weights: {openai: 4, anthropic: 1}, dialect: openai, headers: {X: y}}
            - {name: l, strategy: limits_alternative, primary_providers: [openai], alternative_providers: [anthropic],
               enabled: false, priority: 5, exponential_backoff_base_secs: 7, client: codex}
            - {name: p, primary: openai, fallbacks: [anthropic], model_pattern: "^gpt-", path_pattern: "^/v1"}
        """,
    )
    assert found.providers["openai"].definition() == Provider(
        "openai", "openai", "https://api.openai.com/v1", True, "sk-secret", "m", (("b*", "x"), ("a*", "y")), "chat",
        HttpClient(timeout_secs=5), (("X-A", "${model}"),), {}, {}, ({"role": "user", "content": "c"},), "",
        CodexAuth(account_id="a"),
    )  # fmt: skip
    assert found.providers["anthropic"].definition() == Provider(
        "anthropic", "anthropic", "https://api.anthropic.com", False
    )
    assert [rule.definition() for rule in found.routing.rules] == [
        Rule("w", ("openai", "anthropic"), WEIGHTED, weights=(4, 1), dialect="openai", headers=(("X", "y"),)),
        Rule(
            "l",
            ("openai",),
            LIMITS,
            alternatives=("anthropic",),
            enabled=False,
            priority=5,
            backoff_base_secs=7,
            client="codex",
        ),
        Rule("p", ("openai",), fallbacks=("anthropic",), model_pattern="^gpt-", path_pattern="^/v1"),
    ]
    assert "sk-secret" not in repr(found.providers["openai"].definition())


def test_rules_that_take_no_request_are_noted(tmp_path):
    text = "routing: {rules: [{name: a, primary: openai}, {name: b, primary: anthropic, model_pattern: x}]}"
    assert (
        "routing.rules: rule 'b': It takes no request: 'a' comes before it and takes all of them."
        in config(tmp_path, text).notes()
    )
    assert not any("not in use" in note for note in config(tmp_path, text).notes())


def test_files_that_are_no_text(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="UTF-8"):
        load({"LUNAROUTE_CONFIG": str(path)})


def test_the_example_setups_are_yaml_without_surprises():
    for path in (ROOT / "examples" / "configs").glob("*.yaml"):
        assert isinstance(yaml.safe_load(path.read_text()), dict)
