"""Values of the configuration are shown without credentials."""

import pytest

from lunaroute_site import config_types  # noqa: F401 (brings the detectors of secrets)
from routing.masking import HIDDEN, masked, masked_text, masked_url, masked_webhook, restored


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Authorization", "Bearer abc"), ("X-Api-Key", "abc"), ("api-key", "1"), ("Cookie", "a=b"), ("X-Anything", "Basic dXNlcjpwdw=="),
        ("X-Anything", "bearer abc"), ("proxy-authorization", "x"), ("X-Goog-Api-Key", "x"), ("client_secret", "x"),
        ("password", "hunter2"), ("passphrase", "x"), ("access_token", "x"), ("X-Sig", "x"), ("X-Auth", "pre ${env.A}"),
        ("x", "ghp_" + "a1B2c3D4e5" * 4), ("x", "AKIAIOSFODNN7EXAMPLF"), ("x", "9f86d081884c7d659a2feaa0c55ad015"),
        ("value", "sk-ant-api03-" + "aB3dE6gH9j" * 9),
    ],
)  # fmt: skip
def test_a_credential_is_hidden(name, value):
    assert masked_text(value, name) == HIDDEN


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Project-ID", "moon"), ("model", "claude-sonnet-4-5-20250929"), ("Authorization", "Bearer ${env.X}"), ("X-Api-Key", "${env.X}"),
        ("max_tokens", "x"), ("anthropic-version", "2023-06-01"), ("User-Agent", "curl/8.1"), ("content", "Be concise, please."),
        ("reasoning", "high"), ("token_field", "tokens.access_token"), ("host", "127.0.0.1"),
    ],
)  # fmt: skip
def test_what_is_none_is_shown(name, value):
    assert masked_text(value, name) == value


def test_numbers_and_structures_keep_their_form():
    value = {"max_tokens": 5, "metadata": {"user_id": "u"}, "auth": {"kind": "x", "list": ["y"]}, "n": None, "ok": True}
    assert masked(value) == {**value, "auth": {"kind": HIDDEN, "list": [HIDDEN]}}
    assert masked([["Authorization", "Bearer x"], ["X-A", "b"]]) == [["Authorization", HIDDEN], ["X-A", "b"]]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://api.example.com/v1", "https://api.example.com/v1"),
        ("redis://:pw@host:6379/0", f"redis://{HIDDEN}@host:6379/0"),
        ("rediss://user:pw@host/0?password=x&db=1", f"rediss://{HIDDEN}@host/0?password={HIDDEN}&db=1"),
        ("postgres://a:b@h/d?sslmode=require", f"postgres://{HIDDEN}@h/d?sslmode=require"),
        ("https://h/v1?%61pi_key=x", f"https://h/v1?%61pi_key={HIDDEN}"),
        ("https://h/9f86d081884c7d659a2feaa0c55ad015/v1", f"https://h/{HIDDEN}/v1"),
        ("https://h/v1#secret", f"https://h/v1#{HIDDEN}"),
    ],
)
def test_of_an_address_who_and_where_is_shown(url, shown):
    assert masked_url(url) == shown
    assert masked_text(url, "base_url") == shown


def test_of_a_webhook_the_host_alone_is_shown():
    assert (
        masked_webhook("https://u:p@hooks.example.com:8443/services/T0/B0?x=y")
        == f"https://hooks.example.com:8443/{HIDDEN}"
    )


def test_what_comes_back_as_it_was_shown_is_what_it_was():
    kept = {"auth": {"a": "secret", "b": ["c"]}, "x": "y", "list": [{"api_key": "k"}, {"n": 1}]}
    assert restored(masked(kept), kept) == kept
    headers = [["Authorization", "Bearer x"], ["X-A", "b"]]
    assert restored([["X-New", "1"], ["authorization", HIDDEN]], headers) == [["X-New", "1"], ["authorization", HIDDEN]]
    assert restored([["X-New", "1"], ["Authorization", HIDDEN]], headers) == [
        ["X-New", "1"],
        ["Authorization", "Bearer x"],
    ]
