"""An error that a provider tells in the middle of its stream, in the words of the client's vendor."""

import json

import pytest

from routing.translation.answers import StreamTranslator
from routing.translation.context import CHAT, MESSAGES, RESPONSES, Context

TOO_LONG = "Your input exceeds the context window of this model. Please adjust your input and try again."


def failing(provider: str, error: dict) -> bytes:
    """A stream of `provider` that begins and fails."""
    events = {
        MESSAGES: [{"type": "message_start", "message": {"id": "msg_1"}}, {"type": "error", "error": error}],
        CHAT: [{"id": "c", "choices": [{"index": 0, "delta": {"role": "assistant"}}]}, {"error": error}],
        RESPONSES: [
            {"type": "response.created", "response": {"id": "resp_1"}},
            {"type": "response.failed", "response": {"id": "resp_1", "status": "failed", "error": error}},
        ],
    }[provider]
    return b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events)


def told(client: str, provider: str, error: dict) -> dict:
    """The error that the client is told last."""
    translator = StreamTranslator(Context(client, provider, "m"), 0)
    out = translator.feed(failing(provider, error)) + translator.close(broken=False)
    last = json.loads(out[out.rindex(b"data: ") + 6 :])
    return last["response"]["error"] if client == RESPONSES else last["error"]


@pytest.mark.parametrize("provider", [CHAT, RESPONSES])
def test_anthropics_clients_are_told_in_its_own_words_that_a_prompt_is_too_long(provider):
    error = told(MESSAGES, provider, {"code": "context_length_exceeded", "message": TOO_LONG})
    assert error == {"type": "invalid_request_error", "message": f"prompt is too long: {TOO_LONG}"}


@pytest.mark.parametrize("client", [CHAT, RESPONSES])
def test_openais_clients_are_told_by_its_own_code_that_a_prompt_is_too_long(client):
    anthropics = {"type": "invalid_request_error", "message": "prompt is too long: 200001 tokens > 200000 maximum"}
    assert told(client, MESSAGES, anthropics)["code"] == "context_length_exceeded"


def test_a_code_says_more_than_a_type():
    error = {"type": "invalid_request_error", "code": "invalid_api_key", "message": "no"}
    assert told(MESSAGES, CHAT, error) == {"type": "authentication_error", "message": "no"}


@pytest.mark.parametrize(
    ("error", "kind"),
    [("insufficient_quota", "billing_error"), ("rate_limit_exceeded", "rate_limit_error"), ("slow_down", "overloaded_error"),
     ("invalid_prompt", "invalid_request_error"), ("server_error", "api_error")],
)  # fmt: skip
def test_anthropics_type_fits_the_code(error, kind):
    assert told(MESSAGES, RESPONSES, {"code": error, "message": "no"}) == {"type": kind, "message": "no"}


@pytest.mark.parametrize(
    ("error", "code"),
    [("billing_error", "insufficient_quota"), ("rate_limit_error", "rate_limit_exceeded"),
     ("overloaded_error", "server_is_overloaded"), ("authentication_error", "invalid_api_key"), ("api_error", "server_error")],
)  # fmt: skip
def test_the_code_for_responses_fits_anthropics_type(error, code):
    assert told(RESPONSES, MESSAGES, {"type": error, "message": "no"}) == {"code": code, "message": "no"}


def test_a_client_of_responses_does_not_ask_again_what_cannot_be_answered():
    assert told(RESPONSES, MESSAGES, {"type": "invalid_request_error", "message": "no"})["code"] == "invalid_prompt"
