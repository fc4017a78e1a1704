"""The words around a match. Texts are read back from the record; finding the match in them is the same for both databases."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from itertools import islice
from unicodedata import normalize

from sessions.content import AT_ONCE
from sessions.models import SearchDocument, Session
from sessions.search.documents import Kind, kind_of, session_of
from sessions.search.engines import engine
from sessions.search.language import Term, parse
from sessions.search.sources import texts_of_documents

PER_SESSION = 3
# Documents looked at for them: some say the same, in some the match hides.
CANDIDATES = 4
WIDTH = 160
BEFORE = 50
MAX_MATCHES = 200


@dataclass(frozen=True, slots=True)
class Snippet:
    """A piece of a text: ``parts`` are its pieces in order, True where they match. ``kind`` is title, person, answer,
    error, call, thinking or result; ``request_id`` names the exchange, and is empty for a title."""

    kind: str
    request_id: str
    parts: tuple[tuple[str, bool], ...]

    @property
    def html(self) -> str:
        """The piece as HTML, with its matches in <mark>."""
        return "".join(f"<mark>{escape(text)}</mark>" if hit else escape(text) for text, hit in self.parts)


def snippets(text: str, sessions: Sequence[Session]) -> dict[int, list[Snippet]]:
    """Show where `text` is found in `sessions`: primary key → at most three snippets, best first."""
    terms = parse(text).terms
    if not terms or not sessions:
        return {}
    index = engine()
    keys = [session.pk for session in sessions]
    found = index.first_in(terms, keys, CANDIDATES)
    rest = set(keys) - set(map(session_of, found))
    if rest and len(terms) > 1:  # all words, but in different places
        for term in terms:
            found += index.first_in([term], rest, 2)
    texts = texts_of_documents(_rows(found))
    shown: dict[int, list[Snippet]] = {key: [] for key in keys}
    titles: dict[int, Snippet] = {}
    seen: set[tuple[int, str]] = set()
    for key in dict.fromkeys(found):
        session, kind = session_of(key), kind_of(key)
        whole, request_id = texts.get(key, ("", ""))
        if len(shown[session]) == PER_SESSION or (session, whole) in seen:
            continue
        parts = cut(whole, terms)
        if parts and kind is Kind.TITLE:
            titles[session] = Snippet("title", "", parts)
        elif parts:
            seen.add((session, whole))
            shown[session].append(Snippet(kind.name.lower(), request_id, parts))
    for session, snippet in titles.items():
        if not shown[session]:  # the page shows the title anyway
            shown[session].append(snippet)
    return shown


def _rows(keys: Sequence[int]) -> list[SearchDocument]:
    return [
        row
        for at in range(0, len(keys), AT_ONCE)
        for row in SearchDocument.objects.filter(pk__in=keys[at : at + AT_ONCE])
    ]


def cut(text: str, terms: Iterable[Term]) -> tuple[tuple[str, bool], ...]:
    """Give the piece of `text` that has most of `terms`, in parts. Empty where none of them is found."""
    plain = text if text.isascii() else text.translate(_PLAIN)
    hits = [
        (match.start(), match.end(), number)
        for number, term in enumerate(terms)
        for match in islice(_matches(term, plain), MAX_MATCHES)
    ]
    if not hits:
        return ()
    hits.sort()
    best = max(range(len(hits)), key=lambda at: (_terms_from(hits, at), -at))
    start = max(hits[best][0] - BEFORE, 0)
    if start:  # at the beginning of a word, if there is one near
        space = plain.find(" ", start, hits[best][0])
        start = space + 1 if 0 <= space < start + 20 else start
    end = min(max(start + WIDTH, hits[best][1]), len(text))
    if end < len(text):
        space = plain.rfind(" ", max(hits[best][1], end - 20), end)
        end = space if space > 0 else end
    parts: list[tuple[str, bool]] = [("…", False)] if start else []
    at = start
    for first, last, _ in hits:
        last = min(last, end, at + WIDTH * 2)
        if first < at or first >= end:
            continue
        parts += ((text[at:first], False), (text[first:last], True))
        at = last
    parts.append((text[at:end], False))
    if end < len(text):
        parts.append(("…", False))
    return tuple((" ".join(f"|{part}|".split())[1:-1], hit) for part, hit in parts if part)


def _terms_from(hits: list[tuple[int, int, int]], at: int) -> int:
    """How many different terms stand in a snippet that begins with a match."""
    last = hits[at][0] + WIDTH - BEFORE
    found = set()
    for first, _, number in hits[at:]:
        if first > last:
            break
        found.add(number)
    return len(found)


class _Plain(dict[int, str]):
    """Characters as they are searched, one for one, so that places stay the same."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        base = normalize("NFKD", character)[:1] or character
        self[code] = base
        return base


_PLAIN = _Plain()
_WORD = re.compile(r"[a-z0-9]")


def _matches(term: Term, text: str) -> Iterator[re.Match]:
    """Find a term in a text."""
    exact, loose = _patterns(term)
    first = term.tokens[0]
    if not text.isascii():
        yield from (loose or exact).finditer(text)
        return
    lower = text.lower()
    # `getusername` may stand there as get_user_name.
    if loose and "_" in lower and lower.replace("_", "").count(first) > lower.count(first):
        yield from loose.finditer(text)
        return
    # Looking for the letters first is many times as quick as the expression alone.
    at = lower.find(first)
    while at >= 0:
        match = exact.match(text, at)
        if match:
            yield match
        at = lower.find(first, match.end() if match else at + 1)


@lru_cache(256)
def _patterns(term: Term) -> tuple[re.Pattern, re.Pattern | None]:
    """What a term looks like in a text: whole words, or parts of camelCase and snake_case. The second, where there is
    one, takes a single word for any way to write it with `_`."""
    # Casefold makes two letters of some; the text keeps one.
    exact = r"[\W_]*".join(map(re.escape, term.tokens)).replace("ss", "(?:ss|ß)")
    begins = r"(?:(?<![^\W_])|(?=[A-Z]))" if _WORD.match(term.tokens[0]) else ""
    ends = r"(?![a-z0-9])" if _WORD.match(term.tokens[-1][-1]) and not term.is_prefix else ""
    rest = r"\w*" if term.is_prefix else ""

    def compiled(letters: str) -> re.Pattern:
        return re.compile(f"{begins}(?i:{letters}){ends}{rest}")

    is_single = len(term.tokens) == 1 and term.tokens[0].isascii() and len(term.tokens[0]) <= 64
    return compiled(exact), compiled(f"{exact}|{'_?'.join(term.tokens[0])}") if is_single else None
