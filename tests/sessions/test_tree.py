"""Which exchange continues which, and what is new in each: conversations as clients really have them."""

import gc

import pytest

from sessions import store as stores
from sessions.models import Exchange
from sessions.search import indexing
from tests.support.exchanges import compact, events


def user(text: str) -> dict:
    return {"role": "user", "content": text}


def said(text: str) -> dict:
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


def body(messages: list[dict], **more: object) -> bytes:
    return compact({"model": "m", **more, "messages": messages})


ONE = [user("q1")]
TWO = [*ONE, said("a1"), user("q2")]
THREE = [*TWO, said("a2"), user("q3")]


@pytest.fixture(params=["each alone", "one batch"])
def tree(store, request):
    """Record bodies (or pairs of body and path); gives (index of the parent or None, messages_from) of each."""

    def record(*bodies: bytes | tuple[bytes, str]) -> list[tuple[int | None, int]]:
        pairs = [given if isinstance(given, tuple) else (given, "/v1/messages") for given in bodies]
        given = [events(data, session="s", path=path) for data, path in pairs]
        for batch in given if request.param == "each alone" else [[event for some in given for event in some]]:
            store.apply(batch)
        rows = list(Exchange.objects.order_by("pk"))
        keys = [row.pk for row in rows]
        return [(keys.index(row.parent_id) if row.parent_id else None, row.messages_from) for row in rows]

    return record


def test_each_turn_continues_the_one_before(tree):
    assert tree(body(ONE), body(TWO), body(THREE)) == [(None, 0), (0, 1), (1, 3)]


def test_a_compacted_conversation_begins_anew(tree):
    compacted = [user("summary of all before")]
    assert tree(body(TWO), body(compacted), body([*compacted, said("a"), user("b")])) == [(None, 0), (None, 0), (1, 1)]


def test_an_edited_message_is_a_fork_at_what_was_before_it(tree):
    edited = [*TWO[:2], user("q2, better")]
    assert tree(body(ONE), body(TWO), body(edited), body(THREE)) == [(None, 0), (0, 1), (0, 2), (1, 3)]


def test_a_sub_agent_has_a_conversation_of_its_own(tree):
    agent = [user("search for it")]
    found = tree(body(ONE), body(agent, system="a"), body(TWO), body([*agent, said("x"), user("y")], system="a"))
    assert found == [(None, 0), (None, 0), (0, 1), (1, 1)]


def test_parallel_branches_have_each_its_own_new_messages(tree):
    left, right = [*ONE, said("a1"), user("left")], [*ONE, said("a1"), user("right")]
    found = tree(
        body(ONE), body(left), body(right), body([*left, said("l"), user("on")]), body([*right, said("r"), user("on")])
    )
    assert found == [(None, 0), (0, 1), (0, 2), (1, 3), (2, 3)]


def test_a_request_that_is_sent_again_follows_the_first_and_brings_nothing_new(tree):
    assert tree(body(ONE), body(ONE), body(TWO)) == [(None, 0), (0, 1), (1, 1)]


def test_a_conversation_that_is_resumed_goes_on_where_it_was(tree):
    assert tree(body(ONE), body(TWO), body(TWO), body(THREE)) == [(None, 0), (0, 1), (1, 3), (2, 3)]


def test_counting_tokens_in_between_does_not_break_the_chain(tree):
    counted = (body(TWO), "/v1/messages/count_tokens")
    assert tree(body(ONE), counted, body(TWO), body(THREE)) == [(None, 0), (0, 1), (0, 1), (2, 3)]


def test_a_session_of_many_branches_is_remembered_within_bounds(store, monkeypatch):
    for name in ("MAX_PLACES", "MAX_NAMED", "MAX_ANSWERS"):
        monkeypatch.setattr(stores, name, 20)
    monkeypatch.setattr(indexing, "MAX_TEXTS", 20)
    called = {"content": [{"type": "tool_use", "id": "t{}", "name": "Read", "input": {}}], "id": "m{}", "usage": {}}
    for n in range(100):
        answer = compact(called).replace(b"{}", b"%d" % n, 2)
        store.apply(events(body([user(f"q{n}")], system=f"s{n}"), [answer], session="s"))
    gc.collect()
    assert sum(type(found) is Exchange for found in gc.get_objects()) < 60
    state = store._states["s"]
    kept = {name: len(getattr(state, name)) for name in state.__slots__ if isinstance(getattr(state, name), dict)}
    assert max(kept.values()) <= 20, kept
    assert max(map(len, store._index._known.values())) <= 20 + 3, "and those of one exchange more"
    # What goes on from a branch that is still known is seen to.
    store.apply(events(body([user("q99"), said("a"), user("on")]), session="s"))
    *_, before, last = Exchange.objects.order_by("pk")
    assert (last.parent_id, last.messages_from) == (before.pk, 1)
