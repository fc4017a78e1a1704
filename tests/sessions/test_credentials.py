"""Credentials stay nowhere, redaction or not: no header, address or id of a session brings one into the record."""

from random import Random

import pytest

from routing.credentials import names_a_credential
from sessions.headers import kept_headers, masked, masked_path, masked_query
from tests.pii.corpus.vendors import made
from tests.support.databases import sqlite_only
from tests.support.raw import RawClient
from tests.support.server import eventually

# As providers, gateways and clouds call them.
CREDENTIALS = """authorization proxy-authorization x-api-key api-key apikey x-apikey openai-api-key anthropic-api-key x-goog-api-key x-api-token
x-auth-token x-auth-key x-access-token x-session-token x-csrf-token x-xsrf-token x-amz-security-token x-amz-access-token cf-access-client-secret
cf-access-token cf-access-jwt-assertion cf-authorization x-goog-iap-jwt-assertion private-token job-token x-gitlab-token x-vault-token x-consul-token
x-figma-token circle-token x-github-token x-shopify-access-token x-rapidapi-key x-mashape-key x-functions-key ocp-apim-subscription-key dd-api-key
dd-application-key x-algolia-api-key x-honeycomb-team x-insert-key x-license-key x-parse-rest-api-key x-hub-signature-256 x-twilio-signature
x-secret x-client-secret client_secret x_api_key x-password x-user-jwt x-forwarded-access-token x-ms-token-aad-id-token x-lunaroute-token x-azure-key2
cookie set-cookie x-openai-session-token portkey-api-key helicone-auth x-portkey-virtual-key litellm-api-key""".split()
HARMLESS = """accept accept-encoding content-type content-length user-agent anthropic-version anthropic-beta x-claude-code-session-id session_id
openai-organization openai-project chatgpt-account-id originator idempotency-key sec-websocket-key sec-websocket-accept sec-websocket-protocol
x-stainless-lang x-stainless-retry-count anthropic-ratelimit-tokens-limit anthropic-ratelimit-input-tokens-remaining x-ratelimit-limit-tokens
x-ratelimit-remaining-tokens x-ratelimit-reset-tokens x-request-id request-id cf-ray www-authenticate access-control-allow-credentials x-monkey
x-keyboard x-author keep-alive cache-control x-cache-key openai-processing-ms traceparent x-tokenizer""".split()


def test_headers_whose_names_say_credential_are_not_kept():
    assert [name for name in CREDENTIALS if not names_a_credential(name.title())] == []


def test_headers_that_the_record_needs_are_kept():
    assert [name for name in HARMLESS if names_a_credential(name.title())] == []


SECRET = made(Random(5), "gh" + "p_{A36}")


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (
            f"realtime, openai-insecure-api-key.{SECRET}, openai-beta.realtime-v1",
            "realtime, openai-insecure-api-key.***, openai-beta.realtime-v1",
        ),
        ("realtime, openai-insecure-api-key.some-gateways-own", "realtime, openai-insecure-api-key.***"),
        (f"x{SECRET}", "x***"),
        ("Bearer some-gateways-own", "***"),
        ("https://me:hunter2@x.example/p?a=1&api_key=abc", "https://***@x.example/p?a=1&api_key=***"),
        ("claude-cli/2.0 (external, cli)", "claude-cli/2.0 (external, cli)"),
        ("token-efficient-tools-2025-02-19,oauth-2025-04-20", "token-efficient-tools-2025-02-19,oauth-2025-04-20"),
        ("req_011CSHoEeqs5C35K2UUqR7Fy", "req_011CSHoEeqs5C35K2UUqR7Fy"),
    ],
)
def test_a_credential_in_the_value_of_any_header_is_masked(value, kept):
    assert masked(value) == kept
    assert kept_headers([("x-any", value)]) == [("x-any", kept)]


def test_a_token_in_an_address_is_masked_however_it_is_written():
    encoded = "".join(f"%{ord(char):02x}" for char in SECRET)
    assert masked_path(f"/v1/{SECRET}/x") == masked_path(f"/v1/{encoded}/x") == "/v1/***/x"
    assert masked_path("/v1/mess%61ges") == "/v1/mess%61ges"
    assert masked_query(f"a={SECRET}&b={encoded}&{SECRET}&beta=true") == "a=***&***&***&beta=true"
    names = (
        "api_key key sig token access_token apiKey clientSecret X-Amz-Signature X-Amz-Credential code password".split()
    )
    assert masked_query("&".join(f"{name}=1" for name in names)) == "&".join(f"{name}=***" for name in names)
    assert masked_query("limit=1&max_tokens=2&keyword=3&order=asc") == "limit=1&max_tokens=2&keyword=3&order=asc"


def kept_of(server, *parts: str) -> str:
    """All that the API and the files under the server's home show of its exchanges."""
    files = [path.read_bytes() for path in server.home.rglob("*") if path.is_file()]
    shown = [str(server.json(f"/sessions/{session['session_id']}/exchanges")) for session in server.json("/sessions")]
    return "".join([*shown, *(data.decode("latin-1") for data in files), *map(str, server.home.rglob("*"))])


@sqlite_only
def test_without_redaction_no_credential_stays_in_the_record(start):
    server = start()
    secrets = {name: made(Random(name), "{A32}") for name in CREDENTIALS}
    tokens = [made(Random(number), "sk" + "-ant-api03-{W93}AA") for number in range(5)]
    lines = [f"{name}: {secret}\r\n" for name, secret in secrets.items() if name != "x-lunaroute-token"]
    lines += [f"x-note: {tokens[0]}\r\n", f"session_id: {tokens[1]}\r\n", f"x-project-id: {tokens[2]}\r\n"]
    with RawClient(server.port) as raw:
        raw.request(target=f"/v1/messages?key=in-a-query-1&x={tokens[3]}".encode(), headers="".join(lines).encode())
        raw.request(target=f"/v1/{tokens[4]}".encode())
    eventually(lambda: len(server.rows("select 1 from exchanges where success is not null")) == 2, "the record")
    kept = kept_of(server)
    assert "x-note" in kept
    planted = {
        **secrets,
        **dict(zip("header id project query".split(), tokens, strict=False)),
        "named": "in-a-query-1",
    }
    assert [place for place, secret in planted.items() if secret in kept] == []
    # The provider's answer says the path again, and bodies are kept as they are.
    assert tokens[4] not in str(server.rows("select path, error from exchanges"))


@sqlite_only
def test_a_sessions_id_that_is_a_card_or_a_key_is_stood_for_by_the_same_other_id(start, tmp_path):
    (tmp_path / "redacting.yaml").write_text("session_recording: {pii: {enabled: true}}")
    server = start("--config", str(tmp_path / "redacting.yaml"))
    card, key = "4111111111111111", SECRET
    for value in (card, card, key):
        with RawClient(server.port) as raw:
            raw.request(headers=f"session_id: {value}\r\nx-claude-code-session-id: {value}\r\n".encode())
    eventually(lambda: len(server.rows("select 1 from exchanges where success is not null")) == 3, "the record")
    sessions = server.json("/sessions")
    assert sorted(
        session["total_requests"] if "total_requests" in session else session["requests"] for session in sessions
    ) == [1, 2]
    kept = kept_of(server)
    assert card not in kept
    assert key not in kept
