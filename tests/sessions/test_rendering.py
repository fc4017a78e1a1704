"""Recorded text as HTML: nothing in it runs, loads or leads astray."""

import re
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions.browser.rendering import code, cut_markdown, markdown, numbered, pretty_json

HOSTILE = st.sampled_from(
    ["<script>", "<img src=x onerror=a()>", "](javascript:a())", "[a](data:text/html,x)", "![i](http://x/y.png)", "```html\n",
     "<style>", "`", "**", "| a |\n|:-:|\n", "\n\n", "&lt;", '" onclick="', "[x]: javascript:a()\n", "<a href=//x>", "text ",
     "[EMAIL:a3f8e9d2]", "[SSN]", "[EMAIL:a3f8e9d2](http://x)", "[x [SSN:a3f8e9d2]](http://x)", "    [IBAN]\n", "[EMAIL:a3f8e9d2]: http://x\n"]
)  # fmt: skip
TAGS = re.compile(r"<[^>]*>")
ALLOWED = re.compile(
    r"</?(p|h[1-6]|ul|ol|li|pre|code|em|strong|s|blockquote|table|thead|tbody|tr|th|td|hr|br|a|span)"
    r'( (class="[a-z0-9 -]*"|href="(https?:|mailto:|/ui/sessions\?text_search=[A-Z_]+%3A[0-9a-f]{8}(?="))[^"]*"|rel="noopener noreferrer"|target="_blank"|tabindex="0"|start="\d+"|title="[^"]*"))*( /)?>'
)


@given(st.lists(st.one_of(HOSTILE, st.text(max_size=20)), max_size=12))
def test_markdown_gives_only_harmless_tags(pieces):
    for tag in TAGS.findall(markdown("".join(pieces))):
        assert ALLOWED.fullmatch(tag), tag


@given(st.lists(st.one_of(HOSTILE, st.text(max_size=20)), max_size=12))
def test_no_link_stands_in_another(pieces):
    depth = 0
    for tag in TAGS.findall(markdown("".join(pieces))):
        depth += tag.startswith("<a ") - tag.startswith("</a")
        assert depth in (0, 1)


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "JaVaScRiPt:a", "data:text/html,x", "file:///etc/passwd", "//x.y", "/admin/"]
)
def test_a_link_leads_to_the_web_or_nowhere(link):
    assert "<a" not in markdown(f"[x]({link})")


def test_an_image_is_named_and_not_loaded():
    assert "<img" not in markdown("![a cat](https://x.y/cat.png)")
    assert "[image: a cat]" in markdown("![a cat](https://x.y/cat.png)")


def test_a_table_has_no_inline_style():
    html = markdown("|a|b|\n|:-|-:|\n|1|2|")
    assert "style" not in html
    assert 'class="right"' in html


@given(
    st.lists(st.one_of(HOSTILE, st.text(max_size=20)), max_size=12).map("".join),
    st.sampled_from(["", "python", "json", "nosuch", "html"]),
)
def test_code_keeps_its_text_and_gives_only_spans_and_marks(text, language):
    html = code(text, language)
    for tag in TAGS.findall(html):
        assert re.fullmatch(r'</span>|</a>|<span class="hl-[a-z0-9-]+">', tag) or ALLOWED.fullmatch(tag), tag
    if "\r" not in text and not text.startswith("\ufeff"):
        assert unescape(TAGS.sub("", html)) == text


def test_code_is_coloured_by_the_name_of_its_file():
    assert '<span class="hl-k">def</span>' in code("def f(): pass", path="/a/b.py")
    assert code("def", path="/a/b") == "def"


def test_a_read_file_has_its_line_numbers_in_the_margin():
    html = numbered("     1→def f():\n     2→    return 1\n", "x.py")
    assert '<span class="ln">    1</span> ' in html
    assert '<span class="hl-k">def</span>' in html
    assert numbered("no numbers\nhere", "x.py") is None
    html = numbered("1\tdef f():\n2\t    return 1\n\n<system-reminder>\nbe brief\n", "x.py")
    assert '<span class="hl-k">def</span>' in html
    assert "&lt;system-reminder&gt;\nbe brief" in html


def test_a_long_text_is_cut_between_paragraphs_and_outside_of_code():
    text = "para\n\n" * 100 + "```\ncode\n\ncode\n```\n\n" + "end\n\n" * 100
    for limit in range(100, 900, 50):
        head, rest = cut_markdown(text, limit)
        assert head + rest == text
        assert head.count("```") % 2 == 0


def test_json_is_indented_without_a_change_of_its_values():
    assert pretty_json(b'{"b":1.0,"a":1e400,"b":[]}') == '{\n  "b": 1.0,\n  "a": 1e400,\n  "b": []\n}'
    assert pretty_json(b"{broken") is None
