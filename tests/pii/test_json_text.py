"""Redaction of JSON: what changes, and that nothing else does."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pii.detectors import TYPES
from pii.json_text import looks_like_json, project
from pii.policy import Policy
from pii.redactor import Redactor
from tests.pii.test_redactor import EMAIL, MODES, custom, redactor, redactors
from tests.pii.test_redactor import pieces as texts


def redacted(source: str, made: Redactor | None = None) -> str:
    return (made or redactor()).json(source.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{ "a" :"x@y.org" ,"a":1e400}', '{ "a" :"[EMAIL]" ,"a":1e400}'),
        ('{"x@y.org":"\\u0078\\u0040y.org \\/ \\u00e9"}', '{"[EMAIL]":"[EMAIL] \\/ \\u00e9"}'),
        ('["\\ud800 x@y.org \\udc00","é"]', '["\\ud800 [EMAIL] \\udc00","é"]'),
        ('"x@y.org"', '"[EMAIL]"'),
        ('{"a":"say \\"x@y.org\\""}', '{"a":"say \\"[EMAIL]\\""}'),
        (
            '{"arguments":"{\\"to\\":\\"x\\\\u0040y.org\\",\\"n\\":1}"}',
            '{"arguments":"{\\"to\\":\\"[EMAIL]\\",\\"n\\":1}"}',
        ),
        ('[{"a":"x@y.org"}]\n{"b":"123-45-6789"}', '[{"a":"[EMAIL]"}]\n{"b":"[SSN]"}'),
        ('{"a":"x@y.org and it ends', '{"a":"[EMAIL] and it ends'),
        ("no JSON: x@y.org", "no JSON: [EMAIL]"),
        ("{ x@y.org }", "{ [EMAIL] }"),
        ("", ""),
    ],
)
def test_only_values_change(before, after):
    assert redacted(before) == after


def test_a_number_that_is_a_value_becomes_a_string():
    made = redactor(custom_patterns=(custom("CARD", "4111111111111111"),))
    assert redacted('{"card":4111111111111111,"x":-1}', made) == '{"card":"[CARD]","x":-1}'
    inner = json.dumps({"arguments": '{"card":4111111111111111}'})
    assert json.loads(json.loads(redacted(inner, made))["arguments"]) == {"card": "[CARD]"}


def test_a_placeholder_is_escaped_as_deep_as_it_stands():
    made = redactor(custom_patterns=(custom("KEY", "zz9", placeholder='"\\'),))
    source = json.dumps({"a": "zz9", "b": json.dumps({"c": "zz9\n", "d": json.dumps(["zz9\t"])})})
    found = json.loads(redacted(source, made))
    assert found["a"] == '"\\'
    inner = json.loads(found["b"])
    assert (inner["c"], json.loads(inner["d"])) == ('"\\\n', ['"\\\t'])


@pytest.mark.parametrize("mode", ["mask", "remove", "partial"])
def test_keys_of_an_object_stay_different(mode):
    source = '{"a@y.org":1,"b@y.org":2,"a@y.org":3,"o":{"c@y.org":4,"\\u0064@y.org":5}}'
    pairs = json.loads(redacted(source, redactor(mode)), object_pairs_hook=list)
    keys = [key for key, _ in pairs]
    mark = "****.org" if mode == "partial" else "[EMAIL]"
    assert keys == [mark, f"{mark} 2", mark, "o"]
    assert [key for key, _ in pairs[3][1]] == [mark, f"{mark} 2"]


def test_a_name_says_what_its_value_is():
    made = redactor(custom_patterns=(custom("PASSWORD", '"password": *"hunter[0-9]+'),))
    assert "hunter2" not in redacted('{"password": "hunter2"}', made)


def test_bytes_that_are_no_utf_8_stay():
    data = b'{"a":"\xff\xfe x@y.org"}'
    assert redactor().json(data) == b'{"a":"\xff\xfe [EMAIL]"}'


HELLO = "aGVsbG8gd29ybGQ="
NOTE = "[BINARY 11 bytes sha256:b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9]"


@pytest.mark.parametrize(
    "body",
    [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": HELLO}},
        {"source": {"data": HELLO, "media_type": "image/png", "type": "base64"}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{HELLO}"}},
        {"type": "input_audio", "input_audio": {"data": HELLO, "format": "wav"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;charset=x;base64,{HELLO}"}},
        {"type": "image", "mimeType": "image/png", "data": HELLO},
        {"text": f'<img src="data:image/png;base64,{HELLO}">\n'},
        {"output": json.dumps({"source": {"type": "base64", "data": HELLO}})},
    ],
)
def test_binary_is_kept_as_size_and_hash_or_as_it_is(body):
    made = redactor()
    source = json.dumps(body)
    assert redacted(source, made) == source.replace(HELLO, NOTE)
    assert made.counts == {"BINARY": 1}
    assert redacted(redacted(source)) == redacted(source)
    keeping = redactor(keep_binary=True)
    data = source.encode()
    assert keeping.json(data) == data
    assert keeping.json(json.dumps([body, EMAIL]).encode()) == json.dumps([body, "[EMAIL]"]).encode()


def test_slashes_of_binary_may_be_escaped():
    assert redacted('{"source":{"type":"base64","data":"\\/\\/\\/\\/"}}').startswith(
        '{"source":{"type":"base64","data":"[BINARY 3 bytes'
    )


def test_what_providers_seal_is_not_looked_into_and_what_only_looks_like_it_is():
    # A detector that would find something everywhere.
    made = redactor(custom_patterns=(custom("ALL", "QUFB[0-9A-Z]+"),))
    sealed = "QUFB" * 30
    for body in (
        {"type": "thinking", "thinking": "x", "signature": sealed},
        {"type": "reasoning", "encrypted_content": sealed},
        {"type": "redacted_thinking", "data": sealed},
    ):
        data = json.dumps(body).encode()
        assert made.json(data) is data
    for body in ({"signature": sealed[:40]}, {"signature": sealed + " "}, {"data": sealed}):
        assert b"[ALL]" in made.json(json.dumps(body).encode())


trees = st.recursive(
    texts | st.integers() | st.none() | st.booleans() | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(texts, inner, max_size=3)
        | inner.map(lambda value: json.dumps(value))
    ),
    max_leaves=12,
)


def strings(value) -> list[str]:
    """All strings and keys of a tree, but for those that hold JSON all that this holds."""
    if isinstance(value, str):
        if looks_like_json(value):
            try:
                return strings(json.loads(value))
            except ValueError:
                return []
        return [value]
    if isinstance(value, dict):
        value = [*value, *value.values()]
    return [text for item in value for text in strings(item)] if isinstance(value, list) else []


@given(redactors, trees, st.booleans(), st.sampled_from([None, 1]))
def test_json_stays_json_of_the_same_shape_without_values(made, tree, ascii_only, indent):
    source = json.dumps(tree, ensure_ascii=ascii_only, indent=indent)
    data = source.encode("utf-8", "surrogatepass") if ascii_only else source.encode("utf-8", "replace")
    once = made.json(data)
    value = json.loads(once)
    assert shape(value) == shape(json.loads(data))
    # What mode remove would take out of a name is masked there, next to which something else may look like a value.
    if not any(made.policy.handling(kind).mode == "remove" for kind in (*TYPES, "KEY")):
        for text in strings(value):
            assert made.find(text) == [], (text, data)
        assert made.json(once) == once, (data, once, made.json(once))
    if not made.counts:
        assert once is data


def shape(value):
    if isinstance(value, dict):
        return {at: shape(item) for at, item in enumerate(value.values())}
    return [shape(item) for item in value] if isinstance(value, list) else isinstance(value, str)


@given(st.binary(max_size=60) | st.text('{}[]",:\\u0 e@.x-1234567890', max_size=60).map(str.encode))
def test_no_bytes_are_too_strange(data):
    for mode in MODES:
        made = redactor(mode)
        once = made.json(data)
        assert made.json(once) == once


def test_reading_is_linear_in_the_depth_of_strings_in_strings():
    source = json.dumps(f"\n{EMAIL}")
    for _ in range(12):
        source = json.dumps([source])
    assert EMAIL not in redacted(source)
    deep = "[" * 100_000 + f'"{EMAIL}"'
    assert EMAIL not in redacted(deep)
    assert project(deep, True).text == deep


def test_redaction_by_the_defaults():
    assert Redactor(Policy()).json(b'{"a":"x@y.org"}') == b'{"a":"[EMAIL]"}'
