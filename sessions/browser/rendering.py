"""Recorded text as HTML that is safe to show: a session is untrusted input.

Markdown by markdown-it-py with raw HTML switched off, code by Pygments. Nothing that comes out loads anything or links
to anything but http(s) and mail addresses, and from the marks of redaction (sessions/browser/marks.py) to a search.
"""

import re
from functools import lru_cache
from typing import Any

import msgspec
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.common.utils import unescapeAll
from markdown_it.rules_core import StateCore
from pygments import format as pygments_format
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name, get_lexer_for_filename
from pygments.util import ClassNotFound

from sessions.browser.marks import marks

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


def _coloured(code: str, lexer: Lexer | None, links: bool) -> str:
    if lexer is None or len(code) > MAX_COLOURED:
        return marks().html(code, links)
    return marks().around(list(lexer.get_tokens(code)), _formatted, links=links)


def _formatted(tokens: list[tuple[Any, str]]) -> str:
    coloured = pygments_format(tokens, _formatter)
    return coloured if not tokens or tokens[-1][1].endswith("\n") else coloured.removesuffix("\n")


def code(text: str, language: str = "", path: str = "", links: bool = True) -> SafeString:
    """Give `text` with colours for a language by name, or for the file at `path`; escaped where neither is known.

    `links` says whether marks of redaction lead to a search, here as below.
    """
    lexer = _lexer(language.lower()) if language else None
    if lexer is None and "." in path[-12:]:
        lexer = _lexer_of_suffix(path[path.rindex(".") :].lower())
    return mark_safe(_coloured(text, lexer, links))


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
    return mark_safe("\n".join((*shown, *map(marks().html, lines[count:]))))


def _may_link(token, env) -> bool:
    return env["links"] and not token.meta.get("in_link")


def _text(self, tokens, index, options, env) -> str:
    token = tokens[index]
    return marks().html(token.content, _may_link(token, env))


def _code_inline(self, tokens, index, options, env) -> str:
    return f"<code>{_text(self, tokens, index, options, env)}</code>"


def _code_block(self, tokens, index, options, env) -> str:
    return f"<pre><code>{_text(self, tokens, index, options, env)}</code></pre>\n"


def _fence(self, tokens, index, options, env) -> str:
    language, *_ = unescapeAll(tokens[index].info).split(maxsplit=1) or ("",)
    coloured = code(tokens[index].content, language, links=env["links"])
    return f'<pre class="code" tabindex="0"><code>{coloured}</code></pre>\n'


def _image(self, tokens, index, options, env) -> str:
    # Named, not loaded: nothing on a page comes from elsewhere.
    token = tokens[index]
    return f'<span class="note">[image: {marks().html(token.content, _may_link(token, env))}]</span>'


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


def _note_links(state: StateCore) -> None:
    """Note which tokens stand within a link."""
    for token in state.tokens:
        depth = 0
        for child in token.children or ():
            if child.type in ("link_open", "link_close"):
                depth += child.nesting
            elif depth:
                child.meta["in_link"] = True


def _make_parser() -> MarkdownIt:
    parser = MarkdownIt("js-default", {"html": False, "maxNesting": 20})
    parser.core.ruler.push("links", _note_links)
    for name, rule in (
        ("text", _text), ("code_inline", _code_inline), ("code_block", _code_block), ("fence", _fence), ("image", _image),
        ("link_open", _link_open), ("th_open", _cell_open), ("td_open", _cell_open),
    ):  # fmt: skip
        parser.add_render_rule(name, rule)
    parser.validateLink = lambda url: url.strip().lower().startswith(("http://", "https://", "mailto:"))
    return parser


_parser = _make_parser()


def markdown(text: str, links: bool = True) -> SafeString:
    """Give Markdown as HTML."""
    try:
        return mark_safe(_parser.render(text, {"links": links}))
    except (RecursionError, IndexError, ValueError):
        return mark_safe(f"<pre>{marks().html(text, links)}</pre>")


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
