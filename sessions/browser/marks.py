"""What redaction left in recorded text, as marks that say what stood there.

Marks are looked for in text, before it is escaped, and never in HTML. They are those of the policy in force and of the
built-in types (``pii.policy.Policy.marks``); all else in brackets stays text.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from typing import TypeVar
from urllib.parse import quote

from django.conf import settings
from django.utils.safestring import SafeString

from pii.policy import FAILED, Policy

Note = TypeVar("Note")
Shown = Callable[[list[tuple[Note, str]]], str]
_TITLES = {
    "FAILED": "withheld: this text could not be examined",
    "BINARY": "binary data: only size and hash were kept",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark in a text. ``token`` is empty where values of the type are not told apart."""

    start: int
    end: int
    kind: str
    token: str = ""

    def html(self, inside: str, links: bool = True) -> str:
        """Give the mark around `inside`, which is HTML: with its type and token for a reader, and where it has a token, as
        a link to all sessions with it. Within a link there can be no other: then `links` is false."""
        before, after = _element(self.kind, self.token, links)
        return f"{before}{inside}{after}"


@lru_cache(1024)
def _element(kind: str, token: str, links: bool) -> tuple[str, str]:
    """Give an element's two tags."""
    title = f"{kind}, redacted; token {token}" if token else _TITLES.get(kind, f"{kind}, redacted")
    if links and token:
        address = f"/ui/sessions?text_search={quote(f'{kind}:{token}')}"
        return f'<a class="pii" href="{escape(address)}" title="{escape(title)}">', "</a>"
    return f'<span class="pii" title="{escape(title)}">', "</span>"


class Marks:
    """Finds and shows the marks of one policy."""

    def __init__(self, policy: Policy) -> None:
        self._pattern = policy.marks()
        self._placeholders = {p.placeholder: p.name for p in policy.custom_patterns if p.placeholder}

    def find(self, text: str) -> list[Mark]:
        """Give the marks in a text, in order."""
        return [self._mark(match) for match in self._pattern.finditer(text)] if "[" in text else []

    def count(self, text: str) -> Counter[str]:
        """Give how many marks of each type a text has."""
        return Counter(mark.kind for mark in self.find(text))

    def html(self, text: str, links: bool = True) -> SafeString:
        """Give a text as HTML, escaped, its marks marked."""
        if "[" not in text:  # most are short, and many
            return SafeString(escape(text))
        return SafeString(self.around([("", text)], _plain, links=links))

    def around(
        self, pieces: Sequence[tuple[Note, str]], shown: Shown, inside: Shown | None = None, links: bool = True
    ) -> str:
        """Give a text that comes in pieces as HTML. `shown` escapes some of them, cut at the edges of marks; what stands in
        a mark is shown by `inside`, or as plain text."""
        found = self.find("".join(text for _, text in pieces))
        if not found:
            return shown(list(pieces))
        inside = inside or _plain
        stretches = cut(pieces, (edge for mark in found for edge in (mark.start, mark.end)))
        out = [shown(stretches[0])]
        for number, mark in enumerate(found):
            out += (mark.html(inside(stretches[2 * number + 1]), links), shown(stretches[2 * number + 2]))
        return "".join(out)

    def _mark(self, match: re.Match) -> Mark:
        text = match[0]
        if text == FAILED:
            kind, token = "FAILED", ""
        elif text in self._placeholders:
            kind, token = self._placeholders[text], ""
        else:
            kind, _, token = text[1:-1].partition(":")
            if kind.startswith("BINARY "):
                kind, token = "BINARY", ""
        return Mark(*match.span(), kind, token)


def _plain(pieces: Iterable[tuple[object, str]]) -> str:
    return escape("".join(text for _, text in pieces))


def cut(pieces: Iterable[tuple[Note, str]], edges: Iterable[int]) -> list[list[tuple[Note, str]]]:
    """Cut a text that comes in pieces at `edges`, places in it in order. Gives one stretch more than there are edges."""
    stretches: list[list[tuple[Note, str]]] = [[]]
    rest = iter(edges)
    edge, begin = next(rest, None), 0  # `begin`: where the piece begins in the text
    for note, text in pieces:
        at = 0
        while edge is not None and edge <= begin + len(text):
            if edge > begin + at:
                stretches[-1].append((note, text[at : edge - begin]))
            at = edge - begin
            stretches.append([])
            edge = next(rest, None)
        if at < len(text):
            stretches[-1].append((note, text[at:]))
        begin += len(text)
    return stretches


@lru_cache(1)
def marks() -> Marks:
    """The marks by the configuration in force."""
    return Marks(settings.LUNAROUTE.session_recording.pii.policy())
