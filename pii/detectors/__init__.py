"""What in a text is personal data or a secret.

Each detector reads the text's plain form (`plain.py`) and says where it found something, how sure it is and by which
rule; it knows its own standard and no other detector. Findings may overlap: who redacts decides between them.
"""

from collections.abc import Collection

from pii import limits
from pii.detectors.addresses import addresses
from pii.detectors.assignments import assignments
from pii.detectors.base import Detector, look
from pii.detectors.beside import beside
from pii.detectors.cards import cards
from pii.detectors.credentials import credentials
from pii.detectors.email import emails
from pii.detectors.formats import formats
from pii.detectors.iban import ibans
from pii.detectors.keys import private_keys
from pii.detectors.known_tokens import EXAMPLES
from pii.detectors.phone import phones
from pii.detectors.plain import forms
from pii.detectors.reach import reach
from pii.detectors.ssn import ssns
from pii.detectors.stretches import of_numbers
from pii.findings import Finding

__all__ = ["CONTEXT", "TYPES", "find", "reach"]

DETECTORS: dict[str, tuple[Detector, ...]] = {
    "EMAIL": (emails,),
    "PHONE": (phones,),
    "SSN": (ssns,),
    "CREDIT_CARD": (cards,),
    "IP_ADDRESS": (addresses,),
    "IBAN": (ibans,),
    "SECRET": (formats, private_keys, credentials, assignments, beside),
}
TYPES = tuple(DETECTORS)
# These read quotes, and so need to see which of them have a backslash before them.
_LEXERS = {assignments, credentials}
# These read nothing but what is near numbers, which is looked for once for all of them.
_OF_NUMBERS = {phones, ssns, cards, addresses}

# Most strings are short words: what can hold nothing is not searched.
_SHORTEST = len("a@b.co")
_WITHOUT_FIGURES = {"EMAIL", "SECRET"}
_FIGURE = look("[0-9]")

CONTEXT = 256  # characters before a value that may bear on it: who drops a text's settled part keeps as many of it


def find(text: str, types: Collection[str] = TYPES, min_confidence: float = 0.7) -> list[Finding]:
    """Everything of these types in `text` of which a detector is sure enough, overlapping ones included, by start.

    Takes time in proportion to the text's length, whatever it holds. Raises TooLongError within `limits.limited`."""
    found: dict[tuple[int, int, str, str], float] = {}
    if len(text) < _SHORTEST:
        return []
    for form in forms(text):
        figures = _FIGURE.search(form.data)
        numbers = (of_numbers(form.data),) if figures else ()
        for type_ in TYPES:
            if type_ not in types or not (figures or type_ in _WITHOUT_FIGURES):
                continue
            for detector in DETECTORS[type_]:
                limits.check()
                data = form.quoted if detector in _LEXERS else form.data
                for start, end, confidence, name in detector(data, *(numbers if detector in _OF_NUMBERS else ())):
                    if confidence >= min_confidence and data[start:end] not in EXAMPLES:
                        place = (*form.origin(start, end), type_, name)
                        found[place] = max(confidence, found.get(place, 0))
    return sorted(Finding(start, end, type_, sure, name) for (start, end, type_, name), sure in found.items())
