"""The language of `text_search`: words, "phrases", -word, prefix*. Everything else is text; nothing is an error."""

import re
from dataclasses import dataclass

from pii.detectors import TYPES
from sessions.search.tokens import compound_of, parts_of, runs_of

_ITEM = re.compile(r'(-?)"([^"]+)"|(\S+)')
# A token of redaction (pii.tokens), alone or in its mark. It is written in small letters, and typed as somebody likes.
_TOKEN = re.compile(rf"\[?(?:(?i:{'|'.join(TYPES)}):)?([0-9A-Fa-f]{{8}})\]?")
MAX_TERMS = 32


@dataclass(frozen=True, slots=True)
class Term:
    """Tokens that stand one after another. ``compound`` is the other way to write them, if there is one."""

    tokens: tuple[str, ...]
    compound: str = ""
    is_prefix: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """All of ``terms`` must occur, none of ``without``."""

    terms: tuple[Term, ...] = ()
    without: tuple[Term, ...] = ()


def parse(text: str) -> Query:
    """Read what somebody typed. At most MAX_TERMS terms count."""
    terms: dict[Term, None] = {}
    without: dict[Term, None] = {}
    for minus, phrase, word in _ITEM.findall(text):
        # `--flag` is text; so is `-` alone.
        excluded = bool(minus) or (len(word) > 1 and word[0] == "-" and word[1] != "-")
        term = _term(phrase or word, is_word=bool(word))
        if term and len(terms) + len(without) < MAX_TERMS:
            (without if excluded else terms)[term] = None
    return Query(tuple(terms), tuple(without))


def _term(text: str, is_word: bool) -> Term | None:
    if token := _TOKEN.fullmatch(text):
        text = text[: token.start(1)] + token[1].lower() + text[token.end(1) :]
    runs = runs_of(text)
    tokens = tuple(part for run in runs for part in parts_of(run))
    if not tokens:
        return None
    before = text.rstrip("*")
    is_prefix = is_word and before != text and bool(runs_of(before[-1:]))
    return Term(tokens, compound_of(runs[0]) if len(runs) == 1 else "", is_prefix)
