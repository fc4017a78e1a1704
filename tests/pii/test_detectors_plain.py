"""The plain form of a text, and the way back to the text's own characters."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pii.detectors import find
from pii.detectors.plain import forms


def found(text: str) -> list[str]:
    return sorted({text[finding.start : finding.end] for finding in find(text)})


def test_ascii_without_escapes_is_its_own_plain_form():
    assert [form.data for form in forms("plain: a@b.co\n")] == [b"plain: a@b.co\n"]


@pytest.mark.parametrize(
    "written",
    [
        "john@example.com", "ｊｏｈｎ＠ｅｘａｍｐｌｅ．ｃｏｍ", "john%40example.com", "john\\u0040example.com", "john\\\\u0040example.com", "john\\x40example.com", "john&#64;example.com",
        "john&#x40;example.com", "john&commat;example.com", "jo\u200bhn@exam\u00adple.com", "john\ufeff@example.com", "j&shy;ohn@example.com", "joh\\u200bn@example.com", "jôhn@éxample.com",
        "%6Aohn%40example%2Ecom", "4111\u00a01111\u00a01111\u00a01111", "4111\u20111111\u20111111\u20111111", "４１１１１１１１１１１１１１１１", "٤١١١ ١١١١ ١١١١ ١١١١", "4111&nbsp;1111&nbsp;1111&nbsp;1111",
        "4111\u200b1111\u200b1111\u200b1111", "123\u201145\u20116789", "123\\u002d45\\u002d6789", "123\u201345\u20136789", "𝟏𝟐𝟑-𝟒𝟓-𝟔𝟕𝟖𝟗", "１９２.１６８.1.1", "+1\u202f212\u202f555\u202f0123",
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["{}", "« {} »", "电话：{}。", "a\\n{}\\nb", "é %41 {} %41 é", "\u200b {} \u200b", "x\u200by {} x\u200by", "⚠️ {} ⚠️"])  # fmt: skip
def test_disguised_values_are_covered_from_end_to_end(written, place):
    values = found(place.format(written))
    assert written in values
    assert all(value in written for value in values)  # an invisible character is taken for a gap, too


def test_an_escaped_line_end_belongs_to_no_value():
    assert found("to:\\njohn@example.com\\r\\njane@example.com\\t") == ["jane@example.com", "john@example.com"]


def test_invisible_characters_beside_others_cost_no_second_form():
    assert len(forms("fine ⚠️ and 👩\u200d💻 fine")) == 1
    assert len(forms("fi\u200bne")) == 2


@given(st.text(alphabet="a1@.é١\u200b\u00ad漢😀\\u0040%4&#64;n \n\x7f\ud800", max_size=60))
def test_every_plain_byte_has_its_place_in_the_text(text):
    for form in forms(text):
        ends = [form.origin(at, at + 1) for at in range(len(form.data))]
        assert all(0 <= start < end <= len(text) for start, end in ends)
        assert all(before[0] <= after[0] and before[1] <= after[1] for before, after in pairwise(ends))
        assert len(form.data) <= len(text)


@given(st.text(max_size=200))
def test_any_text_can_be_looked_through(text):
    assert all(0 <= finding.start < finding.end <= len(text) for finding in find(text))
