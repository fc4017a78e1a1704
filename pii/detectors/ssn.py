"""United States' social security numbers (SSA: no area 000, 666, 900-999, no group 00, no serial 0000) and the IRS's
numbers of the same form (ITIN, 900-999)."""

from collections.abc import Iterator

from pii.detectors.base import Hit, Stretches, after, before, digits, goes_on, search

_WORDS = r"(?:ssn|ss#|ss #|ss no|social[ _-]?sec(?:urity)?|soc[ .]?sec|(?:my|his|her|their|whose) social|taxpayer|tax[ _-]?id|itin|\btin\b)"
_CANDIDATE = search(
    r"\b[0-9]{3}(?:-[0-9]{2}-|[ .][0-9]{2}[ .]|/[0-9]{2}/| - [0-9]{2} - )[0-9]{4}\b"
    rf"|(?i){_WORDS}[^0-9\n]{{0,32}}(?:\n[^0-9\n]{{0,24}})?[0-9]{{3}}[ -]?[0-9]{{2}}[ -]?[0-9]{{4}}\b"
    rf"|\b[0-9]{{9}}\b[^0-9\n]{{0,20}}{_WORDS}"
)
_NUMBER = search(r"[0-9]{3}[ -]?[0-9]{2}[ -]?[0-9]{4}")
_SAYS_SO = search(rf"(?i){_WORDS}")


def _possible(number: str) -> bool:
    area, group, serial = number[:3], int(number[3:5]), number[5:]
    if area in ("000", "666") or not group or serial == "0000":
        return False
    return area < "900" or 50 <= group <= 65 or 70 <= group <= 88 or 90 <= group <= 92 or group >= 94


def _alone(data: bytes, start: int, end: int) -> bool:
    """Not a piece of a longer number, name or identifier."""
    if start > 1 and data[start - 1] == 47 and data[start - 2 : start - 1].isalpha():
        pass  # a part of a path
    elif start and data[start - 1] in b"-./+_" and (start == 1 or data[start - 2 : start - 1].isalnum()):
        return False
    return not goes_on(data, end, b"-._")


def ssns(data: bytes, numbers: Stretches | None = None) -> Iterator[Hit]:
    for match in _CANDIDATE.finditer(data, numbers):
        start, value = match.start(), match.group()
        if value[:9].isdigit():  # what it is stands after it
            end, confidence = start + 9, 0.85
        elif value[:1].isdigit():
            end = match.end()
            said = _SAYS_SO.search(before(data, start)) or _SAYS_SO.search(after(data, end, 24))
            confidence = 0.95 if said else 0.85 if b"-" in value else 0.5
        else:
            number = _NUMBER.search(value)
            start, end, confidence = start + number.start(), start + number.end(), 0.95
        named = not value[:1].isdigit()
        if _possible(digits(data[start:end])) and (named or _alone(data, start, end)):
            yield start, end, confidence, "ssn"
