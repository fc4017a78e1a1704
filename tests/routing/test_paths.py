"""What a path is, however it is written."""

import pytest

from routing.paths import canonical, dialect_of_path, endpoint_of, holds_token, is_billed, is_clear, is_own, is_vendors

ORDINARY = [
    b"/v1/messages",
    b"/v1/messages/count_tokens",
    b"/v1/models/gpt-5:x",
    b"/v1/files/file_1.json",
    b"/",
    b"/responses",
]
# Ways of writing /v1/messages that every server takes for it, or none.
SAME = [
    b"/v1/%6dessages", b"/v1/%6Dessages", b"/%76%31/messages", b"//v1/messages", b"/v1//messages", b"/v1/./messages",
    b"/./v1/messages", b"/v1/x/../messages", b"/v1/messages/../messages", b"/v1/%2e/messages", b"/v1/x/%2E%2e/messages",
    b"/V1/messages", b"/v1/MESSAGES", b"/v1/messages#x", b"/v1/messages#", b"/v1/messages;a", b"/v1/messages;a=b", b"/v1;x/messages",
    b"/v1/messages/", b"/v1/messages//", b"/v1/messages/.", b"/../v1/messages", b"/v1\\messages", b"/v1/messages%20",
]  # fmt: skip
# What one server takes for one thing and another for another.
UNCLEAR = [
    b"/v1%2fmessages", b"/v1/%256dessages", b"/v1/messages%00", b"/v1/messages%3fx", b"/v1/messages%23x", b"/v1/messages%3ba",
    b"/v1\\messages", b"/v1/files#/../messages", b"/v1/messages/..;/x", b"/v1/chat/x//../../completions", b"/v1/%6messages",
    b"/v1/messages%", b"/v1/m\xc3\xa9ssages", b"/v1/files;/../messages", b"/v1/messages\t", b"/v1/x//%2e%2e/messages",
]  # fmt: skip


@pytest.mark.parametrize("path", ORDINARY)
def test_an_ordinary_path_is_its_own_canonical_form(path):
    assert canonical(path) is path
    assert is_clear(path)


@pytest.mark.parametrize("path", SAME)
def test_all_spellings_are_one_path(path):
    assert canonical(path).rstrip(b"/") == b"/v1/messages"
    assert is_billed("POST", path)
    assert endpoint_of("POST", path) == "messages"
    assert dialect_of_path(path, False) == "anthropic"
    assert is_vendors(path)
    assert not is_own(path)


@pytest.mark.parametrize("path", UNCLEAR)
def test_what_servers_read_in_more_than_one_way_is_not_clear(path):
    assert not is_clear(path)


@pytest.mark.parametrize(
    "path", [b"/v1/models/GPT-5", b"/v1/files/file%2DAb", b"/v1/models/ft%3Agpt", b"/v1//messages", b"/v1/messages;a"]
)
def test_what_all_read_alike_is_clear(path):
    assert is_clear(path)


@pytest.mark.parametrize(
    "path", [b"//sessions", b"/%73essions", b"/SESSIONS", b"/x/../sessions", b"/v1/../ui/settings", b"/sessions;x"]
)
def test_no_spelling_of_an_own_address_is_a_providers(path):
    assert is_own(path)


@pytest.mark.parametrize("path", [b"/t/lr_x/v1/messages", b"/%74/lr_x", b"//t/lr_x/", b"/T/lr_x", b"/v1/../t/lr_x"])
def test_what_may_hold_a_token_is_no_providers(path):
    assert holds_token(path)
    assert dialect_of_path(path, True) is None


@pytest.mark.parametrize(
    "path", [b"/dashboard", b"/docs", b"/robots.txt", b"/.env", b"/v", b"/vpn/x", b"/favicon.png", b"/wp-login.php"]
)
def test_no_vendor_has_other_paths(path):
    assert not is_vendors(path)


@pytest.mark.parametrize(
    "path",
    [
        b"/v1/anything/new",
        b"/models",
        b"/responses",
        b"/api/event_logging/batch",
        b"/backend-api/codex/responses",
        b"/v1beta/models/m:generateContent",
        b"/v2/chat",
        b"/chat/completions",
        b"/openai/deployments/d/chat/completions",
    ],
)
def test_what_assistants_ask_of_vendors_is_theirs(path):
    assert is_vendors(path)
    assert not is_own(path)
