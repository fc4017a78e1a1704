"""The login of Codex CLI."""

import json
import os
import traceback

import pytest

from routing.codex_auth import CodexLogin, LoginError
from routing.definitions import CodexAuth

TOKENS = {"OPENAI_API_KEY": None, "tokens": {"access_token": "secret-token-1", "account_id": "acc-1"}}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "auth.json"
    path.write_text(json.dumps(TOKENS))
    return path


def login(path, **settings) -> CodexLogin:
    return CodexLogin(CodexAuth(str(path), **settings))


def test_token_and_account_become_headers(file):
    assert login(file).headers(0) == ((b"authorization", b"Bearer secret-token-1"), (b"chatgpt-account-id", b"acc-1"))


def test_the_configured_account_wins_over_the_files(file):
    assert login(file, account_id="other").headers(0)[1] == (b"chatgpt-account-id", b"other")


def test_a_token_stands_where_it_is_said_to(file):
    file.write_text('{"a":{"b":"t"}}')
    assert login(file, token_field="a.b").headers(0) == ((b"authorization", b"Bearer t"),)


def test_the_tilde_is_the_home(file, monkeypatch):
    monkeypatch.setenv("HOME", str(file.parent))
    assert login("~/auth.json").headers(0)


def test_a_new_token_is_read_a_second_later(file):
    found = login(file)
    found.headers(10)
    fresh = file.with_name("new")
    fresh.write_text(json.dumps(TOKENS).replace("token-1", "token-2"))
    os.replace(fresh, file)
    assert found.headers(10.9)[0][1].endswith(b"token-1")
    assert found.headers(11)[0][1].endswith(b"token-2")


def test_a_file_that_did_not_change_is_not_read_again(file):
    found = login(file)
    assert found.headers(0) is found.headers(5)


def test_a_login_that_comes_later_is_found(tmp_path, file):
    found = login(tmp_path / "later.json")
    with pytest.raises(LoginError, match=r"later\.json does not exist; log in with `codex login`"):
        found.headers(0)
    file.rename(tmp_path / "later.json")
    assert found.headers(1)


def test_a_login_that_is_gone_is_no_login_until_it_is_back(file):
    found = login(file)
    found.headers(0)
    elsewhere = file.rename(file.with_name("elsewhere"))
    with pytest.raises(LoginError):
        found.headers(1)
    elsewhere.rename(file)
    assert found.headers(2)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not JSON"),
        (b'{"tokens":{"access_token":"secret-token-1"', "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "has no token at tokens.access_token"),
        (b'{"tokens":null}', "has no token at tokens.access_token"),
        (b'{"tokens":{"access_token":""}}', "has no token"),
        (b'{"tokens":{"access_token":"secret-token-1\\r\\nX: y"}}', "has no token"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_without_its_content(file, content, words):
    file.write_bytes(content)
    with pytest.raises(LoginError, match=words) as caught:
        login(file).headers(0)
    assert "secret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("path", [".", "a\0b"])
def test_what_is_no_file_cannot_be_read(path):
    with pytest.raises(LoginError, match="cannot be read"):
        login(path).headers(0)


def test_the_token_is_in_no_representation(file):
    found = login(file)
    found.headers(0)
    assert "secret" not in repr(found)
