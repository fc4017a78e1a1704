"""What holds of every stream, whatever a provider sends."""

import itertools
import json
from contextlib import suppress

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from routing.translation.answers import StreamTranslator, WrongDialect, translate_answer
from routing.translation.context import CHAT, MESSAGES, RESPONSES
from tests.routing.translation.answers import (
    CREATED,
    DIRECTIONS,
    Answer,
    Call,
    context,
    is_complete,
    is_failed,
    json_of,
    read_json,
    read_stream,
    stream_of,
    streamed,
)

text = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
word = st.text("abcdefgh_", min_size=1, max_size=6)
arguments = st.dictionaries(
    text, st.one_of(text, st.integers(-9, 9), st.none(), st.lists(text, max_size=2)), max_size=3
)
calls = st.lists(st.tuples(word, arguments), max_size=3).map(
    lambda given: [
        Call(f"call_{n}", name, json.dumps(value, ensure_ascii=False, separators=(",", ":")))
        for n, (name, value) in enumerate(given)
    ]
)
tokens = st.tuples(st.integers(10, 99), st.integers(0, 10), st.integers(0, 99))
answers = st.builds(Answer, text, text, st.just(""), calls, st.sampled_from(["stop", "length", "refused"]), tokens).map(
    lambda a: Answer(a.text, a.thinking, "own" if a.thinking else "", a.calls, "tools" if a.calls else a.stop, a.tokens)
)
directions = st.sampled_from(DIRECTIONS)
few = settings(max_examples=100)
with_sdk = settings(max_examples=40, phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink])


@with_sdk
@given(directions, answers, st.integers(1, 5))
def test_a_stream_ends_in_the_same_message_as_json(direction, answer, size):
    client, provider = direction
    whole = translate_answer(context(client, provider), json.dumps(json_of(provider, answer)).encode(), CREATED)
    stream = streamed(client, provider, stream_of(provider, answer, size))
    assert read_stream(client, stream) == read_json(client, whole)


@with_sdk
@given(directions, answers)
def test_json_that_came_for_a_stream_gives_the_same_message(direction, answer):
    client, provider = direction
    body = json.dumps(json_of(provider, answer)).encode()
    stream = StreamTranslator(context(client, provider), CREATED).whole(body)
    assert read_stream(client, stream) == read_json(client, translate_answer(context(client, provider), body, CREATED))


@few
@given(directions, answers)
def test_a_stream_that_came_for_json_gives_the_same_message(direction, answer):
    client, provider = direction
    body = json.dumps(json_of(provider, answer)).encode()
    stream = b"".join(stream_of(provider, answer))
    expected = translate_answer(context(client, provider), body, CREATED)
    assert json.loads(translate_answer(context(client, provider), stream, CREATED)) == json.loads(expected)


@few
@given(directions, answers, st.lists(st.integers(0, 5000), max_size=30), st.booleans())
def test_any_chunking_gives_the_same_bytes(direction, answer, cuts, broken):
    client, provider = direction
    data = b"".join(stream_of(provider, answer)).replace(b"\n", b"\r\n" if len(cuts) % 2 else b"\n")
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(edges)]
    assert streamed(client, provider, pieces, broken) == streamed(client, provider, [data], broken)


@few
@given(directions, answers, st.floats(0, 1), st.booleans())
def test_a_stream_that_is_cut_never_looks_complete(direction, answer, where, broken):
    client, provider = direction
    data = b"".join(stream_of(provider, answer))
    # Where the end is said, though the line is not over, an orderly close completes it; so does Chat's finish_reason.
    last = len(data) - 1 if broken else data.index(b'"finish_reason": "') if provider == CHAT else len(data) - 3
    found = streamed(client, provider, [data[: int(last * where)]], broken)
    assert not is_complete(client, found)
    assert is_failed(client, found)


@pytest.mark.parametrize(("client", "provider"), DIRECTIONS)
def test_no_cut_of_a_call_looks_complete(client, provider):
    answer = Answer("so", "why", "own", [Call("c1", "f", '{"a": [1, "}"]}'), Call("c2", "g", "{}")], "tools")
    events = stream_of(provider, answer)
    last = (
        next(n for n, event in enumerate(events) if b'"finish_reason": "' in event)
        if provider == CHAT
        else len(events) - 1
    )
    for n in range(last + 1):
        for broken in (True, False):
            found = streamed(client, provider, events[:n], broken)
            assert is_failed(client, found)
            assert not is_complete(client, found)


kinds = st.sampled_from(
    "message_start message_delta message_stop content_block_start content_block_delta content_block_stop error ping "
    "text tool_use thinking redacted_thinking server_tool_use text_delta thinking_delta input_json_delta signature_delta "
    "response.created response.completed response.incomplete response.failed response.output_item.added "
    "response.output_item.done response.content_part.done response.output_text.delta response.refusal.delta "
    "response.function_call_arguments.delta response.reasoning_summary_text.delta response.custom_tool_call_input.delta "
    "function_call custom_tool_call reasoning message output_text refusal summary_text "
    "stop tool_calls length content_filter end_turn max_tokens".split()
)
names = st.sampled_from(
    "type index message delta content_block usage stop_reason stop_sequence id model content text thinking signature data "
    "input partial_json name error code object choices finish_reason tool_calls function function_call custom arguments "
    "reasoning_content refusal prompt_tokens prompt_tokens_details cached_tokens output_index content_index summary_index "
    "item part response output summary encrypted_content call_id status incomplete_details reason".split()
)
scalars = st.one_of(
    kinds,
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(0, 2),
    st.floats(allow_nan=False, allow_infinity=False),
    text,
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=6), max_leaves=25
)
events = st.tuples(kinds, st.dictionaries(names, values, max_size=8)).map(lambda given: {"type": given[0], **given[1]})


def _mutated(data: st.DataObject, value):
    """An event with something else at one place."""
    path, at = [], value
    while isinstance(at, dict | list) and at and (not path or data.draw(st.booleans())):
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        path.append(key)
        at = at[key]
    target = value
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = data.draw(values)
    return value


@settings(max_examples=150)
@given(directions, st.lists(events, max_size=8))
def test_no_events_raise(direction, sent):
    client, provider = direction
    streamed(client, provider, [b"data: %b\n\n" % json.dumps(event).encode() for event in sent])


@settings(max_examples=150)
@given(directions, answers, st.data())
def test_no_event_that_is_wrong_in_one_place_raises(direction, answer, data):
    client, provider = direction
    sent = [
        json.loads(event[event.index(b"data: ") + 6 :])
        for event in stream_of(provider, answer)
        if b"[DONE]" not in event
    ]
    at = data.draw(st.integers(0, len(sent) - 1))
    sent[at] = _mutated(data, sent[at])
    streamed(client, provider, [b"data: %b\n\n" % json.dumps(event).encode() for event in sent])


@settings(max_examples=150)
@given(directions, answers, st.data())
def test_json_that_is_wrong_in_one_place_raises_wrong_dialect_only(direction, answer, data):
    client, provider = direction
    body = json.dumps(_mutated(data, json_of(provider, answer))).encode()
    with suppress(WrongDialect):
        json.loads(translate_answer(context(client, provider), body))


@settings(max_examples=150)
@given(directions, st.one_of(st.binary(max_size=60), values.map(lambda value: json.dumps(value).encode())))
def test_no_bytes_raise_anything_but_wrong_dialect(direction, body):
    client, provider = direction
    streamed(client, provider, [body, b"\n\n", b"data: ", body, b"\n\n"])
    for given_to in (
        StreamTranslator(context(client, provider), 0).whole,
        lambda b: translate_answer(context(client, provider), b),
    ):
        with suppress(WrongDialect):
            given_to(body)


@pytest.mark.parametrize(("client", "provider"), DIRECTIONS)
def test_deep_json_does_not_raise(client, provider):
    for depth in (200, 900, 990, 2000, 100_000):
        deep = b'{"a":' * depth + b"1" + b"}" * depth
        for event in (
            b'{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"i","name":"n","input":%b}}',
            b'{"choices":[{"delta":{"tool_calls":[{"id":"i","function":{"name":"n","arguments":%b}}]}}]}',
            b'{"type":"response.completed","response":%b}',
        ):
            streamed(client, provider, [b"data: ", event % deep, b"\n\n"])


@pytest.mark.parametrize(("client", "provider"), DIRECTIONS)
def test_the_sdk_of_the_client_sees_that_a_stream_failed(client, provider):
    import anthropic
    import openai

    found = streamed(client, provider, stream_of(provider, Answer("some text"))[:3], broken=True)
    if client == RESPONSES:
        assert read_stream(client, found)["status"] == "failed"
        return
    with pytest.raises(anthropic.APIError if client == MESSAGES else openai.APIError, match="broke off"):
        read_stream(client, found)
