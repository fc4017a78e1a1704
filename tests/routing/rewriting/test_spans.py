"""Places in JSON's bytes."""

import json
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from routing.rewriting.spans import CannotRewrite, Edit, elements, members, spliced, text_at
from tests.routing.rewriting.documents import objects, texts_of, values


@given(objects())
@example(b'{"a":1,"a":1,"b":1}')
@example(b'{"a":12,"a":1,"b":3}')
@example(b'{"\\ud800":"\\udfff","b":[NaN]}')
@example(b'{"a":' + b"[" * 400 + b"]" * 400 + b"}")
def test_members_stand_where_they_are_said_to(body):
    pairs = json.loads(body, object_pairs_hook=list)
    found = members(body)
    assert [member.name for member in found] == [name for name, _ in pairs]
    for member, (_, value) in zip(found, pairs, strict=True):
        assert repr(json.loads(body[member.start : member.end], object_pairs_hook=list)) == repr(value)
        assert body[member.start : member.end].strip() == body[member.start : member.end]
    assert all(before.end < after.start for before, after in pairwise(found))


@given(st.lists(values, max_size=5).flatmap(texts_of), st.binary(max_size=3))
def test_elements_stand_where_they_are_said_to(raw, around):
    start, body = len(around), around + raw + around
    found = elements(body, start, start + len(raw))
    assert repr([json.loads(body[a:b]) for a, b in found]) == repr(json.loads(raw))


@given(st.binary() | st.text(alphabet='{}[]",:\\ 1a').map(str.encode))
@example(b'{"a":1,}')
@example(b'{,"a":1}')
@example(b'{"\\ud800":1 "b":2}')
@example(b'{"\\ud800":1}x')
@example(b"{" + b'"a":{' * 100_000)
def test_anything_has_members_or_cannot_be_rewritten(body):
    try:
        is_object = isinstance(json.loads(body.decode("latin-1"), strict=False), dict)
    except (ValueError, RecursionError):
        is_object = False
    try:
        members(body)
    except CannotRewrite:
        assert not is_object
    else:
        assert is_object


@given(st.text().flatmap(lambda text: st.sampled_from([json.dumps(text), json.dumps(text, ensure_ascii=False)])))
@example('"\\ud800 half"')
def test_a_text_is_read_with_its_escapes(raw):
    body = raw.encode(errors="surrogatepass")
    assert text_at(b"[" + body + b"]", 1, 1 + len(body)) == json.loads(raw)


def test_edits_at_one_place_stand_in_their_order():
    assert spliced(b"abc", [Edit(3, 3, b"!"), Edit(1, 1, b"x"), Edit(1, 2, b"y")]) == b"axyc!"


@pytest.mark.parametrize("body", [b"", b"[]", b'"a"', b"1", b"\xef\xbb\xbf{}", b"{", b"\x1f\x8b"])
def test_what_is_no_object_is_refused(body):
    with pytest.raises(CannotRewrite):
        members(body)
