"""A provider's settings as they are applied."""

import json

import pytest

from routing.definitions import ANTHROPIC, Provider
from routing.rewriting.rewriter import Rewriter, Variables
from routing.translation.context import MESSAGES

VARIABLES = Variables("anthropic", "claude-x", "s-1", "r-1")


def rewriter(environ: dict[str, str] | None = None, **settings) -> Rewriter:
    return Rewriter(Provider("anthropic", ANTHROPIC, "https://example.com", **settings), environ or {})


def headers(*pairs: tuple[str, str], **environ: str) -> Rewriter:
    return rewriter(environ, request_headers=pairs)


def test_headers_that_need_no_request_are_ready():
    found = headers(("X-Developer-ID", "${env.USER}"), ("X-From", "lunaroute-${provider}"), USER="ada")
    assert found.static_headers == b"X-Developer-ID: ada\r\nX-From: lunaroute-anthropic\r\n"
    assert found.header_lines(VARIABLES) == (found.static_headers, ())
    assert found.replaced == {b"x-developer-id", b"x-from"}
    assert not found.needs_request


def test_headers_that_need_the_request_are_made_for_it():
    found = headers(("X-Session-Context", "claude-code-${session_id}"), ("X-M", "${model}/${request_id}"))
    assert found.static_headers is None
    assert found.needs_request
    assert found.header_lines(VARIABLES) == (b"X-Session-Context: claude-code-s-1\r\nX-M: claude-x/r-1\r\n", ())


def test_the_requests_id_alone_needs_nothing_of_the_request():
    found = headers(("X-R", "${request_id}"))
    assert found.static_headers is None
    assert not found.needs_request


def test_an_empty_header_is_left_out_and_the_clients_stays():
    found = headers(("X-A", "${env.UNSET}"))
    assert (found.static_headers, found.replaced) == (b"", frozenset())


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\0b", "a\x7fb"])
def test_a_value_with_a_control_character_is_left_out_and_noted(value):
    lines, notes = headers(("X-A", "${model}"), ("X-B", "b")).header_lines(Variables("p", value, "", ""))
    assert lines == b"X-B: b\r\n"
    assert "X-A" in notes[0]
    assert headers(("X-A", "${env.A}"), A=value).static_headers == b""


def test_a_value_is_utf_8_without_the_space_around_it():
    assert headers(("X-A", " ${env.A} "), A="caf\u00e9 \udce9").static_headers == "X-A: café ?\r\n".encode()


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\r\nb", "é", "Host", "Content-Length", "transfer-encoding"])
def test_a_name_that_cannot_be_is_left_out_with_a_warning(name):
    found = headers((name, "x"))
    assert (found.static_headers, found.replaced, len(found.warnings)) == (b"", frozenset(), 1)


def test_a_secret_of_the_environment_is_warned_of_once():
    found = headers(("X-A", "${env.AWS_SECRET_KEY}"), ("X-B", "b${env.AWS_SECRET_KEY}"), AWS_SECRET_KEY="hidden")
    assert found.static_headers == b"X-B: b\r\n"
    assert len(found.warnings) == 1
    assert "AWS_SECRET_KEY" in found.warnings[0]


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([("X-Project-ID", "${env.PROJECT_NAME}")], {"project": "myapp"}),
        ([("X-Session-Context", "c-${session_id}"), ("x-project-id", "myapp")], {"project": "myapp"}),
        ([("X-Session-Context", "c-${session_id}")], {"project": "c-s-1"}),
        ([("X-Project-ID", "${env.UNSET}")], {}),
        ([("X-Other", "x")], {}),
    ],
)
def test_the_project_is_what_the_headers_say(pairs, expected):
    assert headers(*pairs, PROJECT_NAME="myapp").metadata(VARIABLES) == expected


def test_a_provider_without_settings_changes_nothing():
    found = rewriter()
    assert (found.static_headers, found.replaced, found.needs_request, found.changes_body) == (
        b"",
        frozenset(),
        False,
        False,
    )
    body = b'{ "model": "m" }'
    assert found.body(body, MESSAGES, VARIABLES).body is body


def test_the_guides_settings_do_what_it_says():
    found = rewriter(
        body_defaults={"temperature": 0.7, "max_tokens": 4096},
        body_overrides={"top_p": 0.9},
        prepend_messages=({"role": "user", "content": "Be concise."},),
    )
    body = json.dumps({"model": "m", "max_tokens": 10, "top_p": 1, "messages": []}).encode()
    assert found.changes_body
    assert json.loads(found.body(body, MESSAGES, VARIABLES, "other").body) == {
        "model": "other", "max_tokens": 10, "top_p": 0.9, "temperature": 0.7,
        "messages": [{"role": "user", "content": "Be concise."}],
    }  # fmt: skip


def test_texts_in_bodies_are_templates_wherever_they_stand():
    found = rewriter(
        {"USER": "ada"},
        body_overrides={"metadata": {"user_id": "${env.USER}_session_${session_id}", "tags": ["${provider}", 1, None]}},
        prepend_messages=({"role": "user", "content": [{"type": "text", "text": '"${model}"'}]},),
    )
    assert found.needs_request
    new = json.loads(found.body(b'{"messages":[]}', MESSAGES, VARIABLES).body)
    assert new["metadata"] == {"user_id": "ada_session_s-1", "tags": ["anthropic", 1, None]}
    assert new["messages"][0]["content"][0]["text"] == '"claude-x"'
