"""The whole way: what was sent comes back from the database and from the JSONL lines alone, byte for byte."""

import json
import shutil
from collections.abc import Sequence
from hashlib import sha256
from itertools import count
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.capture import Routing
from sessions import reading, rows
from sessions.models import Exchange
from sessions.rebuild import bodies
from tests.support.exchanges import compact, events, text_stream
from tests.support.routed import routings

_sessions = count()
AS_LONG_AS_IT_TAKES = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
marks = st.sampled_from(
    [{}, {"cache_control": {"type": "ephemeral"}}, {"cache_control": None}, {"cache_control": {"a": {"b": 1}}}]
)
texts = st.text(max_size=12) | st.sampled_from(
    ['","cache_control":{"type":"x"}', '"content":"', "\ud800", "\u2028", "é"]
)
blocks = st.builds(lambda mark, text: {"type": "text", "text": text, **mark}, marks, texts)
messages = st.builds(
    lambda role, content, mark: {"role": role, "content": content, **mark},
    st.sampled_from(["user", "assistant", "system"]), texts | st.lists(blocks, max_size=3), marks,
)  # fmt: skip
numbers = st.sampled_from([1.0, 10**40, -0.0, 1e300])
lists = st.lists(messages, max_size=5) | st.none() | texts | st.just([[]]) | numbers
objects = st.fixed_dictionaries(
    {},
    optional={
        "model": texts, "messages": lists, "input": lists, "system": texts | st.lists(blocks, max_size=2), "instructions": texts,
        "tools": st.lists(marks, max_size=2), "hashes": marks, "said": lists, "stream": st.booleans(), "n": numbers,
    },
)  # fmt: skip


def spelled(value: dict, spaced: int, ascii_only: bool) -> bytes:
    how = [{"separators": (",", ":")}, {}, {"indent": 1}, {"separators": (" ,\r\n", ":\t")}][spaced]
    return json.dumps(value, ensure_ascii=ascii_only, **how).encode("utf-8", "surrogatepass")


odd = st.sampled_from([
    b'{"model":"\\ud800"}', b"", b"null", b"[]", b"{}", b"1e400", b'{"messages":[1e400,{"n":1E+2}]}', b'\xef\xbb\xbf{"messages":[]}', b'{"messages":',
    b'{"messages":[{"role":"user","content":"a"}],"messages":[{"role":"user","content":"b"}]}', b'{"a":NaN}',
    b'{"messages":[{"role":"user","content":"a"} , {"role":"user","content":"b"},{"role":"user","content":"c"}]}',
    b'{"messages":[{"role":"user","content":"\\ud800\\u0061\\/"}],"x":123456789012345678901234567890}',
    b'{"messages":[{"role":"user","content":"\xff"}]}', b'{"messages":[],"tools":[],"system":[]}',
])  # fmt: skip
sent = st.builds(spelled, objects, st.integers(0, 3), st.booleans()) | st.binary(max_size=30) | odd
paths = st.sampled_from(["/v1/messages", "/v1/chat/completions", "/v1/responses", "/v1/unheard/of"])


def check(store, root, name: str, expected: list[bytes], routed: Sequence[Routing | None] = ()) -> None:
    found = list(Exchange.objects.filter(session__session_id=name).order_by("pk"))
    assert [reading.request_body(row) for row in found] == expected
    assert [bytes(row.body_sha256) for row in found] == [sha256(body).digest() for body in expected]
    (path,) = root.glob(f"*/session_{name}.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    assert all(line.endswith(b"\n") for line in lines)
    ends = [line for line in map(json.loads, lines) if line["type"] == "completed"]
    assert [line.get("routing", {}) for line in ends] == [row.routing for row in found]
    assert [rows.routing_of(row) for row in found] == list(routed or [None] * len(found))
    rebuilt = list(bodies(lines))
    assert [body.data for body in rebuilt] == expected
    assert all(body.is_exact for body in rebuilt)


@AS_LONG_AS_IT_TAKES
@given(st.lists(st.tuples(sent, paths, st.none() | routings), min_size=1, max_size=4))
def test_any_bodies_come_back(store, tmp_path, requests):
    name = f"any-{next(_sessions)}"
    for body, path, routing in requests:
        store.apply(events(body, path=path, session=name, routing=routing))
    check(store, tmp_path, name, [body for body, *_ in requests], [routing for *_, routing in requests])


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses", "/v1/unheard/of"])
def test_blanks_around_a_body_come_back(store, tmp_path, path):
    name = f"blanks-{next(_sessions)}"
    values = (b"0", b"[]", b"null", b'{"a":1}', b'{"messages":[{"role":"user","content":"hi"}]}')
    around = [(b"\t", b""), (b"", b" "), (b" \r\n", b"\n"), (b" " * 4, b"\t ")]
    sent = [before + value + after for value in values for before, after in around]
    for body in sent:
        store.apply(events(body, path=path, session=name))
    check(store, tmp_path, name, sent)


@AS_LONG_AS_IT_TAKES
@given(
    st.lists(st.tuples(st.integers(0, 3), st.booleans(), texts), min_size=2, max_size=6),
    st.integers(0, 3),
    st.sampled_from([1000, 2, 0]),
)
def test_conversations_with_marks_answers_and_branches_come_back(store, tmp_path, turns, spaced, most):
    """Each turn goes on from some earlier one, with what the provider said, or something else, as the assistant's.

    `most` of what a session has had is remembered."""
    with mock.patch.multiple("sessions.store", MAX_PLACES=most, MAX_NAMED=most):
        _talk(store, tmp_path, turns, spaced)


def _talk(store, tmp_path, turns, spaced):
    name, expected = f"talk-{next(_sessions)}", []
    histories: list[list[dict]] = [[]]
    for number, (back, marked, text) in enumerate(turns):
        history = [*histories[-1 - back % len(histories)], {"role": "user", "content": text}]
        last = {"role": "user", "content": [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]}
        body = spelled({"model": "m", "messages": [*history[:-1], last] if marked else history}, spaced, marked)
        said = text + " answered"
        store.apply(
            events(
                body,
                list(text_stream(said, number)),
                session=name,
                answer_headers=[("content-type", "text/event-stream")],
            )
        )
        expected.append(body)
        histories.append([*history, {"role": "assistant", "content": [{"type": "text", "text": said[: 100 - back]}]}])
    check(store, tmp_path, name, expected)


def test_an_answer_to_a_body_that_stayed_whole_is_named_as_well(store, tmp_path):
    said, sse = "A long answer. " * 40, [("content-type", "text/event-stream")]
    first = b'{"model":"m","messages":[{"role":"user","content":"q"}],"model":"n"}'  # a member twice
    second = compact({"model": "m", "messages": [
        {"role": "user", "content": "q"}, {"role": "assistant", "content": [{"type": "text", "text": said}]},
        {"role": "user", "content": "r"},
    ]})  # fmt: skip
    for body in (first, second):
        store.apply(events(body, list(text_stream(said)), session="whole", answer_headers=sse))
    check(store, tmp_path, "whole", [first, second])


def test_an_answer_that_is_sent_back_is_named(store, tmp_path):
    said = "A long answer. " * 40
    first = [{"role": "user", "content": "q"}]
    second = [
        *first,
        {"role": "assistant", "content": [{"type": "text", "text": said}]},
        {"role": "user", "content": "r"},
    ]
    given = [compact({"model": "m", "messages": some}) for some in (first, second)]
    for body in given:
        store.apply(
            events(
                body, list(text_stream(said)), session="named", answer_headers=[("content-type", "text/event-stream")]
            )
        )
    check(store, tmp_path, "named", given)
    (path,) = tmp_path.glob("*/session_named.jsonl")
    requests = [line for line in map(json.loads, path.read_text().splitlines()) if line["type"] == "request_recorded"]
    assert said not in json.dumps(requests)


def test_lines_that_name_what_is_not_there_are_an_error(store, tmp_path):
    for place in range(1, 4, 2):
        body = compact({"model": "m", "messages": [{"role": "user", "content": str(n)} for n in range(place)]})
        store.apply(events(body, session="torn"))
    (path,) = tmp_path.glob("*/session_torn.jsonl")
    lines = [line for line in path.read_bytes().splitlines() if b'"request_recorded"' in line]
    with pytest.raises(ValueError, match="cannot be put together"):
        list(bodies(lines[1:]))
    with pytest.raises(ValueError, match="no line of a session"):
        list(bodies([b'{"type":1}']))


def test_a_recorder_that_starts_again_goes_on_with_the_session(store, tmp_path):
    from sessions.store import Store

    history, expected = [], []
    for place in range(4):
        history.append({"role": "user", "content": f"question {place}"})
        expected.append(compact({"model": "m", "system": "s", "messages": history}))
        Store("test", tmp_path, True, True).apply(events(expected[-1], session="again"))
        history.append({"role": "assistant", "content": "ok"})
    check(store, tmp_path, "again", expected)
    shutil.rmtree(tmp_path)
