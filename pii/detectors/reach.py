"""How much of a text that is still growing is settled."""

import re

from pii.detectors.assignments import unsettled
from pii.detectors.base import AHEAD
from pii.detectors.keys import BEGIN, LONGEST
from pii.detectors.literals import LONGEST as LONGEST_STRING
from pii.detectors.plain import forms

# No value holds a line end, a quote or an angle bracket, but for those of names, which are read; one with spaces has digits
# or capitals on both sides of each.
_SAFE = re.compile(
    r"[\"`<>\n]|(?<=[\s=:,;(\[{])'|'(?=[\s,;)\]}])|(?<=[a-z])[ \t]|[,;:!?][ \t](?=[a-z])|[ \t](?=[a-z][a-z])"
)
_NEAR, _FAR = 256, 4096  # characters looked through: first, and at most
_BEGIN = BEGIN.decode()


def reach(text: str) -> int:
    """Characters from the start of `text` in which no finding begins or changes, and past which none of them goes,
    whatever is appended. Costs the same for a text of any length. May say less of a longer text if that ends in one
    token of thousands of characters: what was settled once stays so."""
    settled = min(_settled(text), _named(text))
    block = text.rfind(_BEGIN, max(len(text) - LONGEST - 128, 0))
    if 0 <= block < settled and not 0 < _end(text, block) <= settled:
        return block
    return settled


def _end(text: str, block: int) -> int:
    """The first character after an armoured block that begins at `block`; 0 while it has not ended."""
    place = block
    for _ in range(3):  # after BEGIN's label, before END, after END's label
        place = text.find("-----", place + 5)
        if place < 0:
            return 0
    return place + 5


def _named(text: str) -> int:
    """Where the first name stands whose value has not ended."""
    start = max(len(text) - LONGEST_STRING - 1280, 0)
    open_ = len(text)
    for form in forms(text[start:]):
        at = unsettled(form.quoted)
        if at < len(form.quoted):
            open_ = min(open_, start + form.origin(at, at + 1)[0])
    return open_


def _settled(text: str) -> int:
    line, end = text.rfind("\n") + 1, len(text) - AHEAD
    for span in (_NEAR, _FAR):
        if ends := [match.end() for match in _SAFE.finditer(text, max(end - span, line)) if match.end() <= end]:
            return ends[-1]
    return line
