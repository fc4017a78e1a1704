"""A body in parts is the same body again, whatever it is."""

import json
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions.split import PARTS, chain, join, split, take_apart

DIALECTS = sorted(PARTS)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=15,
)
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant"])},
        optional={
            "content": st.text()
            | st.lists(
                st.fixed_dictionaries(
                    {"type": st.just("text"), "text": st.text()},
                    optional={
                        "cache_control": st.sampled_from([{"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}])
                    },
                ),
                max_size=3,
            )
        },
    ),
    max_size=6,
)
bodies = st.fixed_dictionaries(
    {"model": st.text(max_size=5)},
    optional={
        "system": values,
        "tools": values,
        "messages": messages | values,
        "input": messages | values,
        "instructions": st.text(),
    },
)
separators = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n ", "\t:\r\n")])


@given(bodies, separators, st.booleans(), st.sampled_from(DIALECTS))
def test_any_body_comes_back_byte_for_byte(body, separators, ascii_only, dialect):
    data = json.dumps(body, separators=separators, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert join(split(data, dialect)) == data


LISTED = {"anthropic": "messages", "openai-chat": "messages", "openai-responses": "input"}


@given(messages, messages, messages, bodies, separators, st.sampled_from(DIALECTS), st.booleans())
def test_the_next_body_of_a_conversation_is_taken_apart_as_if_it_were_the_first(
    common, old, new, body, separators, dialect, is_last
):
    def spelled(some):
        # Where messages come last, the bodies may be alike to their end.
        member = {LISTED[dialect]: some}
        whole = {**body, **member} if is_last else {**member, **{k: v for k, v in body.items() if k not in member}}
        return json.dumps(whole, separators=separators).encode()

    before = take_apart(spelled([*common, *old]), dialect)
    again = take_apart(spelled([*common, *new]), dialect, before)
    fresh = take_apart(spelled([*common, *new]), dialect)
    assert again == fresh
    assert take_apart(spelled(common), dialect, again).parts == split(spelled(common), dialect)


def test_of_the_next_body_only_what_is_new_is_parsed(monkeypatch):
    parsed = []
    monkeypatch.setattr("sessions.split._raw_list", Spy(parsed))
    some = [{"role": "user", "content": f"message {n}"} for n in range(50)]
    bodies = [json.dumps({"messages": some[:size], "model": "m"}).encode() for size in (10, 12, 14, 3, 50)]
    taken = None
    for body in bodies:
        taken = take_apart(body, "anthropic", taken)
        assert join(taken.parts) == body
    assert [len(json.loads(raw)) for raw in parsed] == [10, 2, 2, 1, 47]


class Spy:
    def __init__(self, parsed):
        self._parsed = parsed

    def decode(self, raw):
        self._parsed.append(raw)
        return msgspec.json.decode(raw, type=list[msgspec.Raw])


@given(st.binary(), st.sampled_from([*DIALECTS, ""]))
def test_what_is_no_json_comes_back_too(data, dialect):
    assert join(split(data, dialect)) == data


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages":[1, 2,3]}',
        b'{"messages":[{"a":1e400} ,{"b":1.0}],"messages":[2]}',
        b'{"messages":[{"content":"\\ud800"}]}',
        b'{"system":"You","messages":[{"content":"You"}]}',
        b'{"messages":' + b"[" * 100_000,
        b'{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]}]} trailing',
    ],
)
def test_odd_bodies_come_back(body):
    assert join(split(body, "anthropic")) == body


def conversation(turns: int) -> list[dict]:
    out = []
    for turn in range(turns):
        out.append({"role": "user", "content": f"question {turn}"})
        out.append({"role": "assistant", "content": [{"type": "text", "text": f"answer {turn}"}]})
    return [*out, {"role": "user", "content": "last"}]


def request(messages: list[dict]) -> bytes:
    """As Claude Code sends it: a cache mark on the last message, whose text becomes a block for that."""
    marked = json.loads(json.dumps(messages))
    block = {"type": "text", "text": marked[-1]["content"], "cache_control": {"type": "ephemeral"}}
    marked[-1]["content"] = [block]
    body = {"model": "m", "system": [{"type": "text", "text": "s"}], "messages": marked}
    return json.dumps(body, separators=(",", ":")).encode()


def test_a_message_has_the_same_place_in_each_request_though_cache_marks_wander():
    before = split(request(conversation(3)), "anthropic")
    more = [
        *conversation(3),
        {"role": "assistant", "content": [{"type": "text", "text": "x"}]},
        {"role": "user", "content": "y"},
    ]
    after = split(request(more), "anthropic")
    assert before.is_split
    assert after.is_split
    assert chain(after.messages).nodes[: len(before.messages)] == chain(before.messages).nodes
    assert after.template == before.template


@given(st.lists(st.binary(max_size=3), max_size=6), st.lists(st.binary(max_size=3), max_size=6))
def test_keys_are_the_same_whatever_is_known_of_the_conversation(messages, other):
    assert chain(tuple(messages), chain(tuple(other))) == chain(tuple(messages))


@given(bodies, separators, st.sampled_from(DIALECTS))
def test_the_head_says_what_the_body_says_but_for_its_parts(body, separators, dialect):
    data = json.dumps(body, separators=separators).encode()
    parts = split(data, dialect)
    cut = {name: None for name in PARTS[dialect] if name in body} if parts.is_split else {}
    if parts.is_split and not parts.messages:
        cut.pop(PARTS[dialect][2], None)
    assert json.dumps(json.loads(parts.head)) == json.dumps(body | cut)


def test_what_is_noted_beside_a_body_does_not_grow_with_it():
    def patches(turns: int) -> tuple:
        messages = []
        for turn in range(turns):
            messages.append({"role": "user", "content": f"question {turn}"})
            messages.append({"role": "assistant", "content": [{"type": "text", "text": f"answer {turn}"}]})
        return split(request([*messages, {"role": "user", "content": "last"}]), "anthropic").patches

    assert len(patches(100)) == len(patches(3))


def test_patches_of_the_first_releases_are_read():
    body = b'{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]},{"role":"user","content":"b"}]}'
    parts = split(body, "anthropic")
    assert join(replace(parts, patches=((0, -1, b""),))) == body
