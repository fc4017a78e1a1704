"""Which model is asked for, and in which dialect."""

import pytest
from genai_prices import data

from routing.definitions import ANTHROPIC, OPENAI, Provider
from routing.families import TO_ANTHROPIC, TO_OPENAI, api_for, model_for
from routing.translation.context import CHAT, MESSAGES, RESPONSES

OPENAIS = Provider("o", OPENAI, "https://api.openai.com/v1")
ANTHROPICS = Provider("a", ANTHROPIC, "https://api.anthropic.com")
LOCAL = Provider("l", OPENAI, "http://localhost:11434/v1")


@pytest.mark.parametrize(
    ("model", "expected"),
    [("claude-haiku-4-5", "gpt-5.4-mini"), ("claude-3-5-haiku-latest", "gpt-5.4-mini"), ("claude-opus-4-8", "gpt-5.5"),
     ("claude-fable-5", "gpt-5.5"), ("claude-sonnet-4-5", "gpt-5.4"), ("unheard-of", "unheard-of")],
)  # fmt: skip
def test_openai_is_asked_for_a_model_of_the_same_class(model, expected):
    assert model_for(OPENAIS, model, translated=True) == expected


@pytest.mark.parametrize(
    ("model", "expected"),
    [("gpt-5-nano", "claude-haiku-4-5"), ("gpt-5.4-mini", "claude-haiku-4-5"), ("gpt-5-pro", "claude-opus-4-8"),
     ("gpt-5.5", "claude-sonnet-4-6"), ("o3", "claude-sonnet-4-6"), ("o1-preview", "claude-sonnet-4-6"),
     ("o4-mini", "claude-haiku-4-5"), ("codex-max", "claude-sonnet-4-6"), ("olmo", "olmo")],
)  # fmt: skip
def test_anthropic_is_asked_for_a_model_of_the_same_class(model, expected):
    assert model_for(ANTHROPICS, model, translated=True) == expected


def test_names_stay_where_nothing_is_known_or_nothing_is_translated():
    assert model_for(LOCAL, "claude-sonnet-4-5", translated=True) == "claude-sonnet-4-5"
    assert model_for(OPENAIS, "claude-sonnet-4-5", translated=False) == "claude-sonnet-4-5"


def test_what_is_configured_goes_first():
    provider = Provider(
        "p", OPENAI, OPENAIS.base_url, model="all", model_map=(("claude-opus-*", "big"), ("claude-*", "small"))
    )
    assert model_for(provider, "claude-opus-4-8", translated=True) == "big"
    assert model_for(provider, "claude-haiku-4-5", translated=True) == "small"
    assert model_for(provider, "gpt-5", translated=False) == "all"


def test_names_are_matched_by_case_and_brackets_are_themselves():
    provider = Provider("p", OPENAI, OPENAIS.base_url, model_map=(("Claude-*", "x"), ("claude[1m]", "y")))
    assert model_for(provider, "claude-x", translated=False) == "claude-x"
    assert model_for(provider, "claude[1m]", translated=False) == "y"
    assert model_for(provider, "claude1", translated=False) == "claude1"


@pytest.mark.parametrize(("table", "vendor"), [(TO_OPENAI, "openai"), (TO_ANTHROPIC, "anthropic")])
def test_the_models_of_the_tables_exist(table, vendor):
    known = {model.id for one in data.providers if one.id == vendor for model in one.models}
    assert {name for _, name in table} <= known


@pytest.mark.parametrize(
    ("provider", "client", "expected"),
    [
        (ANTHROPICS, MESSAGES, MESSAGES), (ANTHROPICS, CHAT, MESSAGES), (ANTHROPICS, RESPONSES, MESSAGES),
        (OPENAIS, CHAT, CHAT), (OPENAIS, RESPONSES, RESPONSES), (OPENAIS, MESSAGES, RESPONSES),
        (LOCAL, CHAT, CHAT), (LOCAL, RESPONSES, RESPONSES), (LOCAL, MESSAGES, CHAT),
    ],
)  # fmt: skip
def test_the_dialect_is_the_clients_own_where_the_provider_has_it(provider, client, expected):
    assert api_for(provider, client) == expected


@pytest.mark.parametrize("client", [MESSAGES, CHAT, RESPONSES])
def test_a_provider_with_one_api_is_asked_in_that(client):
    only = {"name": "p", "provider_type": OPENAI, "base_url": OPENAIS.base_url}
    assert api_for(Provider(**only, openai_api="chat"), client) == CHAT
    assert api_for(Provider(**only, openai_api="responses"), client) == RESPONSES
