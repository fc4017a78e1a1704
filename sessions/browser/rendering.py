"""Recorded text as HTML that is safe to show: a session is untrusted input.

Markdown by markdown-it-py with raw HTML switched off, code by Pygments. Nothing that comes out loads anything or links
to anything but http(s) and mail addresses.
"""

import re
from functools import lru_cache
from html import escape

import msgspec
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from pygments import highlight as pygments_highlight
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name, get_lexer_for_filename
from pygments.util import ClassNotFound

# Characters beyond which code is shown without colours: a lexer takes some 3 ms for 10,000 characters.
MAX_COLOURED = 20_000
_formatter = HtmlFormatter(nowrap=True, classprefix="hl-")


@lru_cache(64)
def _lexer(language: str) -> Lexer | None:
    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None


@lru_cache(64)
def _lexer_of_suffix(suffix: str) -> Lexer | None:
    try:
        return get_lexer_for_filename("file" + suffix, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None


def _coloured(code: str, lexer: Lexer | None) -> str:
    if lexer is None or len(code) > MAX_COLOURED:
        return escape(code)
    coloured = pygments_highlight(code, lexer, _formatter)
    return coloured if code.endswith("\n") else coloured.removesuffix("\n")


def code(text: str, language: str = "", path: str = "") -> SafeString:
    """Give `text` with colours for a language by name, or for the file at `path`; escaped where neither is known."""
    lexer = _lexer(language.lower()) if language else None
    if lexer is None and "." in path[-12:]:
        lexer = _lexer_of_suffix(path[path.rindex(".") :].lower())
    return mark_safe(_coloured(text, lexer))


_NUMBERED = re.compile(r"^ *(\d+)(?:→|\t)(.*)$")


def numbered(text: str, path: str) -> SafeString | None:
    """Give a file's lines that a tool has numbered (``   12→code``) with colours and a margin; None where there are none.

    What a client adds behind them stays as it is.
    """
    lines = text.splitlines()
    found = [_NUMBERED.match(line) for line in lines]
    count = found.index(None) if None in found else len(found)
    if count < 2 or len(text) > MAX_COLOURED:
        return None
    coloured = code("\n".join(match[2] for match in found[:count]), path=path).split("\n")
    if len(coloured) != count:
        return None
    pairs = zip(found[:count], coloured, strict=True)
    shown = [f'<span class="ln">{match[1]:>5}</span> {line}' for match, line in pairs]
    return mark_safe("\n".join((*shown, *map(escape, lines[count:]))))


def _fence(text: str, language: str, _attributes: str) -> str:
    return f'<pre class="code" tabindex="0"><code>{code(text, language)}</code></pre>'


def _image(self, tokens, index, options, env) -> str:
    # Named, not loaded: nothing on a page comes from elsewhere.
    return f'<span class="note">[image: {escape(tokens[index].content)}]</span>'


def _link_open(self, tokens, index, options, env) -> str:
    tokens[index].attrSet("rel", "noopener noreferrer")
    tokens[index].attrSet("target", "_blank")
    return self.renderToken(tokens, index, options, env)


def _cell_open(self, tokens, index, options, env) -> str:
    # The policy of the pages allows no inline style.
    alignment = str(tokens[index].attrs.pop("style", "")).partition(":")[2]
    if alignment:
        tokens[index].attrSet("class", alignment)
    return self.renderToken(tokens, index, options, env)


def _make_parser() -> MarkdownIt:
    parser = MarkdownIt("js-default", {"html": False, "highlight": _fence, "maxNesting": 20})
    parser.add_render_rule("image", _image)
    parser.add_render_rule("link_open", _link_open)
    parser.add_render_rule("th_open", _cell_open)
    parser.add_render_rule("td_open", _cell_open)
    parser.validateLink = lambda url: url.strip().lower().startswith(("http://", "https://", "mailto:"))
    return parser


_parser = _make_parser()


def markdown(text: str) -> SafeString:
    """Give Markdown as HTML."""
    try:
        return mark_safe(_parser.render(text))
    except (RecursionError, IndexError, ValueError):
        return mark_safe(f"<pre>{escape(text)}</pre>")


def cut_markdown(text: str, limit: int) -> tuple[str, str]:
    """Cut a long text between paragraphs, outside of code: (what is shown, the rest)."""
    if len(text) <= limit * 1.2:
        return text, ""
    at = text.rfind("\n\n", limit // 2, limit)
    while at > 0 and text.count("```", 0, at) % 2:
        at = text.rfind("\n\n", limit // 4, at)
    return (text[:at], text[at:]) if at > 0 else (text, "")


def pretty_json(body: bytes) -> str | None:
    """Give JSON with line breaks and indents, its numbers, keys and their order as they are; None where it is none."""
    if body[:1] not in (b"{", b"["):
        return None
    try:
        return msgspec.json.format(body, indent=2).decode("utf-8", "replace")
    except (ValueError, RecursionError):
        return None
