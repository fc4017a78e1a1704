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
from django.utils.safestring import SafeString, mark_safe

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

    @property
    def title(self) -> str:
        """What the mark says, for a reader."""
        if self.token:
            return f"{self.kind}, redacted; token {self.token}"
        return _TITLES.get(self.kind, f"{self.kind}, redacted")

    @property
    def address(self) -> str:
        """Where all sessions with this value are listed; empty without a token."""
        return f"/ui/sessions?text_search={quote(f'{self.kind}:{self.token}')}" if self.token else ""

    def html(self, inside: str, links: bool = True) -> str:
        """Give the mark around `inside`, which is HTML. Within a link there can be no other: then `links` is false."""
        title = escape(self.title)
        if links and self.token:
            return f'<a class="pii" href="{escape(self.address)}" title="{title}">{inside}</a>'
        return f'<span class="pii" title="{title}">{inside}</span>'


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
        return mark_safe(self.around([("", text)], _plain, links=links))

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
    at, edge = 0, next(rest, None)
    for note, text in pieces:
        while edge is not None and edge <= at + len(text):
            if edge > at:
                stretches[-1].append((note, text[: edge - at]))
            text, at = text[edge - at :], edge
            stretches.append([])
            edge = next(rest, None)
        if text:
            stretches[-1].append((note, text))
            at += len(text)
    return stretches


@lru_cache(1)
def marks() -> Marks:
    """The marks by the configuration in force."""
    return Marks(settings.LUNAROUTE.session_recording.pii.policy())
