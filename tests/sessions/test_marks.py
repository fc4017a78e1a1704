"""What redaction left is marked wherever recorded text is shown; all else in brackets stays text."""

import re
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pii.patterns import compiled
from pii.policy import CustomPattern, Policy
from sessions.browser.diffs import diff
from sessions.browser.marks import Marks, cut
from sessions.browser.rendering import code, markdown, numbered
from sessions.templatetags.record import by_type, changed, snippet
from sessions.timeline import Text

TAGS = re.compile(r"<[^>]*>")
BINARY = f"[BINARY 12 bytes sha256:{'0a' * 32}]"
TOKEN = '<a class="pii" href="/ui/sessions?text_search=EMAIL%3Aa3f8e9d2" title="EMAIL, redacted; token a3f8e9d2">[EMAIL:a3f8e9d2]</a>'
EMAIL = '<span class="pii" title="EMAIL, redacted">[EMAIL]</span>'
BUILT_IN = Marks(Policy())
OWN = Marks(
    Policy(
        custom_patterns=(
            CustomPattern("TICKET", compiled("T-[0-9]+"), placeholder='[<"ticket">]'),
            CustomPattern("BADGE", compiled("B-[0-9]+")),
        )
    )
)


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("[EMAIL] and [EMAIL:a3f8e9d2]", ["EMAIL", "EMAIL"]),
        (f"[REDACTION FAILED] {BINARY}", ["FAILED", "BINARY"]),
        ("[CREDIT_CARD:00000000][IP_ADDRESS]", ["CREDIT_CARD", "IP_ADDRESS"]),
        ("[NOTE] [EMAIL:A3F8E9D2] [EMAIL:a3f8e9d] [email] [EMAIL", []),
        ("[BINARY 12 bytes] [FAILED] [BINARY] [TICKET] [BADGE:a3f8e9d2]", []),
        ("[[EMAIL]] [EMAIL:a3f8e9d2f] [x](EMAIL)", ["EMAIL"]),
    ],
)
def test_only_marks_are_marked(text, kinds):
    assert [mark.kind for mark in BUILT_IN.find(text)] == kinds


def test_the_marks_of_custom_patterns_are_those_of_the_policy():
    found = OWN.find('[<"ticket">] [BADGE:a3f8e9d2] [TICKET]')
    assert [(mark.kind, mark.token) for mark in found] == [("TICKET", ""), ("BADGE", "a3f8e9d2"), ("TICKET", "")]
    html = OWN.html('<i>[<"ticket">]</i>')
    assert html == '&lt;i&gt;<span class="pii" title="TICKET, redacted">[&lt;&quot;ticket&quot;&gt;]</span>&lt;/i&gt;'


def test_a_token_leads_to_its_search_and_nothing_else_leads_anywhere():
    assert BUILT_IN.html("<b>[EMAIL:a3f8e9d2]") == f"&lt;b&gt;{TOKEN}"
    assert BUILT_IN.html("[EMAIL]") == EMAIL
    assert "<a" not in BUILT_IN.html("[EMAIL:a3f8e9d2]", links=False)
    assert 'title="binary data: only size and hash were kept"' in BUILT_IN.html(BINARY)
    assert 'title="withheld' in BUILT_IN.html("[REDACTION FAILED]")


PIECES = st.lists(
    st.one_of(st.sampled_from(["[EMAIL]", "[EMAIL:a3f8e9d2]", "[EM", "AIL]", "[", "<b>", "&amp;", '"']), st.text()),
    max_size=12,
)


@given(PIECES)
def test_a_marked_text_is_the_text(pieces):
    text = "".join(pieces)
    assert unescape(TAGS.sub("", BUILT_IN.html(text))) == text


@given(PIECES, st.lists(st.integers(0, 60), max_size=6).map(sorted))
def test_a_text_is_cut_at_the_edges_and_nothing_is_lost(pieces, edges):
    text = "".join(pieces)
    edges = [edge for edge in edges if text and edge <= len(text)]
    stretches = cut([(number, piece) for number, piece in enumerate(pieces)], edges)
    whole = ["".join(piece for _, piece in stretch) for stretch in stretches]
    assert whole == [text[a:b] for a, b in zip([0, *edges], [*edges, len(text)], strict=True)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("write to **[EMAIL:a3f8e9d2]**", f"<strong>{TOKEN}</strong>"),
        ("`[EMAIL]` and", f"<code>{EMAIL}</code>"),
        ("# [EMAIL]", f"<h1>{EMAIL}</h1>"),
        ("    [EMAIL]", f"<pre><code>{EMAIL}"),
        ("```python\nmail('[EMAIL:a3f8e9d2]')\n```", TOKEN),
        ("| a |\n|---|\n| [EMAIL] |", f"<td>{EMAIL}</td>"),
        ("![[EMAIL]](http://x.y/z.png)", f"[image: {EMAIL}]"),
        ("[[EMAIL:a3f8e9d2]](http://x.y)", 'token a3f8e9d2">[EMAIL:a3f8e9d2]</span></a>'),
        ("[NOTE] stays", "<p>[NOTE] stays</p>"),
        (BINARY, f">{BINARY}</span>"),
    ],
)
def test_markdown_marks_what_it_shows(source, expected):
    assert expected in markdown(source)


def test_code_marks_across_its_tokens():
    assert TOKEN in code("# [EMAIL:a3f8e9d2]\nx = ['[EMAIL:a3f8e9d2]']", "python")
    assert code('{"[EMAIL]": 1}', "json").count(EMAIL) == 1
    assert TOKEN in code("[EMAIL:a3f8e9d2]", "python")  # no string: a list, a name, a slice to Python
    assert TOKEN in code("x\n" * 20_000 + "[EMAIL:a3f8e9d2]", "python")
    assert TOKEN in numbered("1→a = 1\n2→b = '[EMAIL:a3f8e9d2]'\n<[EMAIL:a3f8e9d2]>", "x.py")


def test_an_exported_text_has_no_link():
    for text in (Text("[EMAIL:a3f8e9d2] <b>"), Text.markdown("a\n\n```\n[EMAIL:a3f8e9d2]\n```\n[EMAIL:a3f8e9d2]")):
        assert '<span class="pii"' in text.exported
        assert "<a" not in text.exported
        assert "<b>" not in text.exported


def test_a_snippet_keeps_its_match_within_a_mark():
    shown = snippet([("to [EMAIL:", False), ("a3f8e9d2", True), ("] & ", False), ("<b>", True)])
    assert shown == (
        'to <span class="pii" title="EMAIL, redacted; token a3f8e9d2">[EMAIL:<mark>a3f8e9d2</mark>]</span>'
        " &amp; <mark>&lt;b&gt;</mark>"
    )


def test_a_diff_keeps_what_changed_within_a_mark():
    (removed, added) = diff("to [EMAIL:a3f8e9d2] <b>", "to [EMAIL:b3f8e9d2] <b>")
    assert (removed.changed, added.changed) == ("a", "b")
    assert ">[EMAIL:<b>b</b>3f8e9d2]</a> &lt;b&gt;" in changed(added)


def test_counts_are_told_the_most_first():
    assert by_type({"SSN": 1, "PHONE": 2, "EMAIL": 2}) == "2 EMAIL, 2 PHONE, 1 SSN"
