"""Which client sent a request, and which session it belongs to."""

import pytest

from routing.clients import client_of
from routing.session_ids import session_id_of

UUID = "550e8400-e29b-41d4-a716-446655440000"


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ([], b'{"metadata":{"user_id":"user_a_account_b_session_%b"}}' % UUID.encode(), UUID),
        ([], b'{"metadata":{"user_id":"{\\"device_id\\":\\"d\\",\\"session_id\\":\\"s-1\\"}"}}', "s-1"),
        ([], b'{"metadata":{"user_id":{"session_id":"s-2"}}}', "s-2"),
        ([], b'{"metadata":{"user_id":"session_%b"}}' % UUID.encode(), UUID),
        ([], b'{"metadata":{"user_id":"session_nothing"}}', None),
        ([], b'{"metadata":{"user_id":"somebody"}}', None),
        ([("Session_Id", "cx")], b"{}", "cx"),
        ([("x-claude-code-session-id", "cc"), ("session_id", "cx")], b"not json", "cc"),
        ([("x-opencode-session", "ses_1")], b"", "ses_1"),
        ([], b'{"prompt_cache_key":"%b"}' % UUID.encode(), UUID),
        ([], b'{"prompt_cache_key":"my-cache"}', None),
        ([("session_id", "../../etc/passwd")], b"{}", None),
        ([("session_id", "a" * 256)], b"{}", None),
        ([("session_id", "é")], b'{"metadata":5,"prompt_cache_key":[]}', None),
    ],
)
def test_the_session_of_a_request(headers, body, expected):
    assert session_id_of(headers, body) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("User-Agent", "claude-cli/2.1.330 (external, cli)")], "claude-code"),
        ([("user-agent", "codex_cli_rs/0.169.0 (Debian)")], "codex"),
        ([("originator", "codex_exec")], "codex"),
        ([("user-agent", "opencode/1.18.33 ai-sdk/anthropic")], "opencode"),
        ([("user-agent", "curl/8")], "other"),
        ([], "other"),
    ],
)
def test_the_client_of_a_request(headers, expected):
    assert client_of(headers) == expected
