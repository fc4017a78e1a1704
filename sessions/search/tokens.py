"""Text as tokens, the same for both databases and for documents and queries.

Letters lose case, width and accents. Identifiers come apart at `_` and inside of camelCase, and are kept joined as
well: `getUserName` gives the tokens `get user name` and the compound `getusername`. Scripts that write without spaces give
a token for each character, so that a phrase finds any piece of them.
"""

import re
import unicodedata
from collections.abc import Iterator

# Tokens in one document: PostgreSQL counts positions only up to 16,383, and 256 for one word.
CHUNK = 2000
# Runs that stand in two chunks, so that a phrase across the cut is found.
OVERLAP = 8
# Characters of one text that are searched.
MAX_TEXT = 1_000_000
MAX_COMPOUND = 64
# Runs whose tokens are kept.
MAX_RUNS = 30_000
# From so many characters on, what has no space in it may be encoded data.
DATA = 256

# Vowel signs and the like are no letters to Python, yet stand within words.
_SIGNS = (
    "\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0903\u093a-\u094f\u0981-\u0dff\u0e31-\u0e4e\u0eb1-\u0ecd\u102b-\u103e"
    "\u17b4-\u17d3"
)
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
    "\uf900-\ufaff\U00020000-\U0003ffff"
)
_RUN_ASCII = re.compile(r"[A-Za-z0-9_]{1,128}")
_RUN = re.compile(rf"[\w{_SIGNS}]{{1,128}}")
_ACCENTS = re.compile("[\u0300-\u036f]+")
# What stands between words, if normalization leaves it as it is.
_BETWEEN = re.compile(rf"[^\w{_SIGNS}\u0300-\u036f]*")
_ASCII = bytes(range(128))
_PART = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])[a-z0-9]*")
_PIECE = re.compile(rf"[{_UNSPACED}]|[^{_UNSPACED}_]+")
# Encoded data: its beginning is enough to find it.
_DATA = re.compile(r"(?<![A-Za-z0-9+/=_-])([A-Za-z0-9+/=_-]{64})[A-Za-z0-9+/=_-]{192,}")


class _Runs(dict[str, str]):
    """What runs of word characters give: tokens with spaces between. Words repeat, so what was computed is kept."""

    def __init__(self) -> None:
        self.joined: dict[str, str] = {}  # runs that have several parts → the compound

    def __missing__(self, run: str) -> str:
        if len(self) > MAX_RUNS:
            self.clear()
            self.joined.clear()
        if run.isascii() and run.isalnum() and run.lower() == run:  # most are
            self[run] = run
            return run
        parts = _parts(run)
        if len(parts) > 1:
            compound = "".join(parts)
            if len(compound) <= MAX_COMPOUND and compound.isascii():
                self.joined[run] = compound
        tokens = self[run] = " ".join(parts)
        return tokens


def _parts(run: str) -> list[str]:
    if run.isascii():
        return [part.lower() for part in _PART.findall(run)]
    found: list[str] = []
    for piece in _PIECE.findall(run):
        found += _parts(piece) if piece.isascii() else [_plain(piece.casefold())]
    return [part for part in found if part]


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFKD", text)))


_runs = _Runs()


def runs_of(text: str) -> list[str]:
    """Cut text into runs of word characters, without width and accents."""
    if len(text) >= DATA:
        text = text[:MAX_TEXT]
        if max(map(len, text.split()), default=0) >= DATA:
            text = _DATA.sub(r"\1", text)
    if text.isascii():
        return _RUN_ASCII.findall(text)
    # Arrows, dashes and quotes are mostly all there is beyond ASCII: no letters, whatever stands beside them.
    data = text.encode("utf-8", "surrogatepass")
    others = data.translate(None, _ASCII).decode("utf-8", "surrogatepass")
    if _BETWEEN.fullmatch(others) and unicodedata.is_normalized("NFKD", others):
        return _RUN_ASCII.findall(text.encode("ascii", "replace").decode())
    return _RUN.findall(_plain(text))


def parts_of(run: str) -> list[str]:
    """Give a run's tokens."""
    return _runs[run].split()


def compound_of(run: str) -> str:
    """Give the joined form of a run with several parts, else nothing."""
    return "" if _runs[run] == "" else _runs.joined.get(run, "")


def chunks_of(text: str) -> Iterator[tuple[str, str]]:
    """Give (tokens, compounds) of each of a text's documents, in order, with spaces between. None without a word."""
    runs = runs_of(text)
    at = 0
    while at < len(runs):
        # A run has at least one token, but for `_` alone.
        some = runs[at : at + CHUNK]
        tokens = list(map(_runs.__getitem__, some))
        words = " ".join(tokens)
        end = len(some)
        if words.count(" ") >= CHUNK + 128:
            count = 0
            for end, token in enumerate(tokens, 1):  # noqa: B007
                count += token.count(" ") + 1
                if count >= CHUNK:
                    break
            some, words = some[:end], " ".join(tokens[:end])
        if "  " in words or words[:1] == " " or words[-1:] == " ":
            words = " ".join(words.split())
        compounds = " ".join(filter(None, map(_runs.joined.get, some)))
        if words:
            yield words, compounds
        at += end
        if at < len(runs):
            at -= min(OVERLAP, end - 1)
