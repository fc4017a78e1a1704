"""Lists of models, and single ones, in the shape of the client's vendor."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.translation.models import translate_models

ANTHROPICS = {
    "data": [{"type": "model", "id": "claude-x", "display_name": "X", "created_at": "2025-02-19T00:00:00Z"}],
    "has_more": False, "first_id": "claude-x", "last_id": "claude-x",
}  # fmt: skip
OPENAIS = {"object": "list", "data": [{"id": "gpt-x", "object": "model", "created": 1739923200, "owned_by": "openai"}]}


def told(vendor: str, body: object) -> dict:
    return json.loads(translate_models(vendor, json.dumps(body).encode()))


def test_a_list_of_openais_for_a_client_of_anthropics():
    assert told("anthropic", OPENAIS) == {
        "data": [{"type": "model", "id": "gpt-x", "display_name": "gpt-x", "created_at": "2025-02-19T00:00:00Z"}],
        "has_more": False, "first_id": "gpt-x", "last_id": "gpt-x",
    }  # fmt: skip


def test_a_list_of_anthropics_for_a_client_of_openais():
    model = {"id": "claude-x", "object": "model", "created": 1739923200, "owned_by": "anthropic"}
    assert told("openai", ANTHROPICS) == {"object": "list", "data": [model]}


def test_one_model():
    assert told("openai", ANTHROPICS["data"][0])["object"] == "model"
    assert told("anthropic", OPENAIS["data"][0])["type"] == "model"


@pytest.mark.parametrize(("vendor", "body"), [("anthropic", ANTHROPICS), ("openai", OPENAIS)])
def test_a_list_in_the_clients_own_shape_stays(vendor, body):
    assert told(vendor, body) == body


def test_an_empty_list():
    assert told("anthropic", {"object": "list", "data": []}) == {
        "data": [], "has_more": False, "first_id": None, "last_id": None,
    }  # fmt: skip


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"a": 1}'])
def test_what_is_no_list_stays_as_it_is(body):
    assert translate_models("anthropic", body) == body


MODELS = st.dictionaries(
    st.sampled_from(["id", "type", "object", "created", "created_at"]),
    st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(["model", "x", "0001-01-01T00:00:00", "9999-12-31"]),
)  # fmt: skip


@pytest.mark.parametrize("vendor", ["anthropic", "openai"])
@given(body=st.fixed_dictionaries({"data": st.lists(MODELS | st.none(), max_size=3)}) | MODELS)
def test_odd_lists_raise_nothing(vendor, body):
    assert isinstance(told(vendor, body), dict)
