"""Models, members and messages that settings put into bodies."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from routing.rewriting.bodies import Settings, peek_model, rewrite
from routing.rewriting.conversations import COUNT_TOKENS
from routing.rewriting.spans import CannotRewrite, members
from routing.translation.context import CHAT, MESSAGES, RESPONSES
from tests.routing.rewriting.documents import objects

BODY = b'{ "model" : "claude-x", "messages":[ {"role":"user","content":"caf\\u00e9"} ] , "top_p":1e0 }'


def changed(body: bytes, dialect: str, **settings) -> bytes:
    return rewrite(body, dialect, Settings(**settings)).body


def prepended(body: object, dialect: str, *messages: dict) -> dict:
    return json.loads(changed(json.dumps(body).encode(), dialect, prepend=messages))


def test_a_model_is_replaced_and_nothing_else():
    found = rewrite(BODY, MESSAGES, Settings(model="claude-y"))
    assert found.body == BODY.replace(b"claude-x", b"claude-y")
    assert found.changes == ("model replaced",)


def test_a_model_is_added_where_a_model_answers():
    assert changed(b'{"messages":[]}', CHAT, model="m") == b'{"messages":[],"model":"m"}'
    assert changed(b'{"input":""}', "", model="m") == b'{"input":""}'
    assert changed(b'{"model":"x"}', "", model="m") == b'{"model":"m"}'


def test_a_name_that_comes_twice_is_replaced_each_time():
    assert changed(b'{"model":"a","x":1,"model":"b"}', CHAT, model="m") == b'{"model":"m","x":1,"model":"m"}'


def test_defaults_are_only_for_what_is_absent():
    found = rewrite(BODY, MESSAGES, Settings(defaults={"temperature": b"0.7", "top_p": b"0.5"}))
    assert found.body == BODY[:-2] + b',"temperature":0.7 }'
    assert found.changes == ("temperature set to its default",)


def test_null_is_not_absent():
    assert changed(b'{"a":null}', CHAT, defaults={"a": b"1"}) == b'{"a":null}'


def test_overrides_replace_whole_members_and_win_over_defaults_and_model():
    body = changed(b'{"a":{"b":1,"c":2}}', CHAT, model="m", defaults={"a": b"0", "d": b"1"},
                   overrides={"a": b'{"b":3}', "d": b"2", "model": b'"o"'})  # fmt: skip
    assert json.loads(body) == {"a": {"b": 3}, "d": 2, "model": "o"}


def test_what_is_so_already_is_no_change():
    assert rewrite(BODY, MESSAGES, Settings(model="claude-x", overrides={"top_p": b"1e0"})).changes == ()


def test_an_empty_object_gets_members():
    assert changed(b"{ }", CHAT, defaults={"a": b"1"}) == b'{"a":1 }'


def test_other_requests_get_no_members_and_no_messages():
    settings = {"defaults": {"a": b"1"}, "overrides": {"b": b"1"}, "prepend": [{"role": "user", "content": "x"}]}
    assert changed(BODY, "", **settings) == BODY


def test_a_count_of_tokens_gets_only_what_it_knows():
    body = changed(b'{"messages":[]}', COUNT_TOKENS, defaults={"max_tokens": b"1", "thinking": b"{}"},
                   overrides={"temperature": b"1", "tools": b"[]"}, prepend=[{"role": "user", "content": "x"}])  # fmt: skip
    assert json.loads(body) == {"messages": [{"role": "user", "content": "x"}], "thinking": {}, "tools": []}


@pytest.mark.parametrize("dialect", [MESSAGES, COUNT_TOKENS, CHAT])
def test_messages_come_in_front_of_the_conversation(dialect):
    new = rewrite(BODY, dialect, Settings(prepend=[{"role": "user", "content": "first"}]))
    assert new.body == BODY.replace(b'[ {"role"', b'[{"role":"user","content":"first"}, {"role"')
    assert new.changes == ("a message prepended",)


def test_chat_takes_system_messages_as_they_are():
    system = {"role": "system", "content": "s"}
    assert prepended({"messages": []}, CHAT, system)["messages"] == [system]


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        ({}, []),
        ({"system": None}, []),
        ({"system": ""}, []),
        ({"system": "caf\u00e9"}, [{"type": "text", "text": "caf\u00e9"}]),
        ({"system": []}, []),
        ({"system": [{"type": "text", "text": "a"}]}, [{"type": "text", "text": "a"}]),
    ],
)
def test_anthropics_system_messages_come_at_the_end_of_its_system_prompt(system, expected):
    body = prepended({"messages": [1], **system}, MESSAGES,
                     {"role": "system", "content": "s"}, {"role": "user", "content": "u"},
                     {"role": "developer", "content": [{"type": "text", "text": "d"}]})  # fmt: skip
    assert body["system"] == [*expected, {"type": "text", "text": "s"}, {"type": "text", "text": "d"}]
    assert body["messages"] == [{"role": "user", "content": "u"}, 1]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, []),
        ({"input": [{"role": "user", "content": "x"}]}, [{"role": "user", "content": "x"}]),
        ({"input": "caf\u00e9"}, [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "caf\u00e9"}]}]),
    ],
)  # fmt: skip
def test_responses_input_becomes_a_list_of_items(given, expected):
    body = prepended(
        given,
        RESPONSES,
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": [{"type": "text", "text": "a"}]},
    )
    assert body["input"] == [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "u"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
        *expected,
    ]


@pytest.mark.parametrize("name", ["previous_response_id", "conversation"])
def test_a_response_that_continues_another_has_the_messages_already(name):
    body = {name: "resp_1", "input": "x"}
    assert prepended(body, RESPONSES, {"role": "user", "content": "u"}) == body


@pytest.mark.parametrize("body", [{}, {"messages": None}, {"messages": "text"}])
def test_a_body_without_a_conversation_gets_no_messages(body):
    assert prepended(body, CHAT, {"role": "user", "content": "u"}) == body


@pytest.mark.parametrize("body", [b"", b"[1]", b"nonsense", b"\x1f\x8b\x08"])
def test_what_is_no_object_cannot_be_rewritten(body):
    with pytest.raises(CannotRewrite):
        rewrite(body, CHAT, Settings(model="m"))


@given(objects(), st.sampled_from([MESSAGES, CHAT, RESPONSES, COUNT_TOKENS, ""]))
def test_all_that_is_not_set_keeps_its_bytes_and_its_place(body, dialect):
    settings = Settings("m", {"temperature": b"1", "z": b"{}"}, {"a": b"[1]"}, [{"role": "user", "content": "u"}])
    new = rewrite(body, dialect, settings).body
    json.loads(new)
    touched = ("model", "temperature", "z", "a", "messages", "input")
    before = [(m.name, body[m.start : m.end]) for m in members(body) if m.name not in touched]
    assert [(m.name, new[m.start : m.end]) for m in members(new) if m.name not in touched] == before


@given(st.binary() | st.text(alphabet='{}[]",:\\ 1amodel').map(str.encode))
def test_any_bytes_are_rewritten_or_refused(body):
    try:
        rewrite(body, MESSAGES, Settings("m", {}, {"a": b"1"}, [{"role": "user", "content": "u"}]))
    except CannotRewrite:
        pass


@given(objects(unique=True))
@example(b'{"model":"a\\"b","x":1}')
@example(b'{"model":"caf\xc3\xa9"}')
@example(b'{"x":"\\ud800","model":"m"}')
@example(b'{"x":{"model":"no"},"model":"' + b"m" * 300 + b'"}')
def test_the_model_is_what_json_says(body):
    model = json.loads(body).get("model")
    expected = model if isinstance(model, str) and not any("\ud800" <= c <= "\udfff" for c in model) else ""
    assert peek_model(body) == expected


@given(st.binary() | st.binary().map(lambda raw: b'{"model":"' + raw))
def test_any_bytes_have_a_model_or_none(body):
    assert isinstance(peek_model(body), str)
