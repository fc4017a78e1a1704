"""Errors of providers in the words of the client's vendor."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.translation.context import CHAT, MESSAGES, RESPONSES
from routing.translation.errors import translate_error
from tests.routing.translation.asking import DIRECTIONS

OPENAIS = {"error": {"message": "too much", "type": "requests", "param": "x", "code": "rate_limit_exceeded"}}
ANTHROPICS = {"type": "error", "error": {"type": "rate_limit_error", "message": "too much"}, "request_id": "req_1"}


def said(client: str, provider: str, status: int, body: object) -> dict:
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return json.loads(translate_error(client, provider, status, body))


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "invalid_request_error"), (401, "authentication_error"), (403, "permission_error"), (404, "not_found_error"),
     (413, "request_too_large"), (418, "invalid_request_error"), (429, "rate_limit_error"), (500, "api_error"),
     (502, "api_error"), (503, "overloaded_error"), (529, "overloaded_error")],
)  # fmt: skip
def test_anthropics_type_fits_the_status(status, kind):
    assert said(MESSAGES, CHAT, status, OPENAIS) == {"type": "error", "error": {"type": kind, "message": "too much"}}


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [(400, "invalid_request_error", None), (401, "invalid_request_error", "invalid_api_key"),
     (429, "rate_limit_error", "rate_limit_exceeded"), (500, "server_error", None),
     (529, "server_error", "server_is_overloaded")],
)  # fmt: skip
def test_openais_type_and_code_fit_the_status(status, kind, code):
    error = said(CHAT, MESSAGES, status, ANTHROPICS)["error"]
    assert error == {"message": "too much", "type": kind, "param": None, "code": code}


@pytest.mark.parametrize(("client", "provider"), [(CHAT, RESPONSES), (RESPONSES, CHAT)])
def test_an_error_of_openais_stays_as_it_is_between_its_two(client, provider):
    assert said(client, provider, 429, OPENAIS) == OPENAIS
    assert said(client, provider, 429, {"error": "busy"})["error"]["message"] == "busy"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": "busy"}, "busy"), ({"message": "busy"}, "busy"), ({"detail": "busy"}, "busy"),
        ({"error": {"error": {"message": "busy"}}}, "busy"), (b"upstream connect error", "upstream connect error"),
        (b"<html><head><style>p{}</style><title>502</title></head><body>Bad&nbsp;Gateway</body></html>", "502 Bad Gateway"),
        (b"", "The provider answered 502 without a word."), (b"<html></html>", "The provider answered 502 without a word."),
        ({"error": " "}, '{"error": " "}'), (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)  # fmt: skip
def test_the_message_is_found_wherever_it_is(body, message):
    assert said(MESSAGES, CHAT, 502, body)["error"]["message"] == message


@pytest.mark.parametrize("broken", [b"<script ", b"<", b"<script>x", b"<STYLE><b>"])
def test_a_page_of_broken_tags_is_read_once(broken):
    # Looking for the end of each of them anew took 8 s.
    error = said(MESSAGES, CHAT, 502, b"Bad gateway " + broken * (65536 // len(broken)))["error"]
    assert error["message"].startswith("Bad gateway")


@pytest.mark.parametrize(
    ("page", "message"),
    [(b"<p>a</p><SCRIPT src=x>if (a < b) c()</SCRIPT><p>d", "a d"), (b"<style>p{}</style>down", "down"),
     (b"wait until 3 < 4", "wait until 3 < 4"), (b"<p>1 &lt; 2</p>", "1 < 2")],
)  # fmt: skip
def test_a_page_says_its_text_and_no_tags(page, message):
    assert said(MESSAGES, CHAT, 502, page)["error"]["message"] == message


def test_a_long_page_is_cut():
    assert len(said(MESSAGES, CHAT, 502, b"<p>" + b"word " * 1_000_000)["error"]["message"]) <= 2000


def test_a_conversation_that_is_too_long_is_said_in_the_words_that_clients_look_for():
    body = {"error": {"message": "This model's maximum context length is 1 token.", "code": "context_length_exceeded"}}
    assert said(MESSAGES, CHAT, 400, body)["error"]["message"].startswith("prompt is too long: ")
    body = {"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 2 > 1"}}
    assert said(RESPONSES, MESSAGES, 400, body)["error"]["code"] == "context_length_exceeded"


@pytest.mark.parametrize(("client", "provider"), DIRECTIONS)
@given(body=st.binary(max_size=60) | st.text(max_size=40).map(str.encode), status=st.integers(300, 599))
def test_anything_gives_an_error_with_a_message(client, provider, body, status):
    error = said(client, provider, status, body)["error"]
    assert isinstance(error["message"], str)
    assert error["message"]


JSON = st.recursive(st.none() | st.text(max_size=5), lambda i: st.dictionaries(
    st.sampled_from(["error", "message", "detail", "type"]), i, max_size=3) | st.lists(i, max_size=2), max_leaves=8)  # fmt: skip


@pytest.mark.parametrize(("client", "provider"), DIRECTIONS)
@given(body=JSON)
def test_any_json_gives_an_error_with_a_message(client, provider, body):
    assert said(client, provider, 500, body)["error"]["message"]
