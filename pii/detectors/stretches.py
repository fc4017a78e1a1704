"""Where in a text something may stand, for patterns that need not read the rest.

A search in such stretches finds what one in the whole text finds: no match goes out of one, and what is before and behind
it is seen by `\\b` and its like.
"""

from collections.abc import Iterable

from pii.detectors.base import Search, Stretches, search

# Bytes for each sign, on an average, from which on it is faster to search near signs alone.
RARE = 1000


def near(data: bytes, signs: tuple[Search, ...], back: int, ahead: int) -> Stretches | None:
    """Where a pattern may match that has one of `signs` in it; None where these are too many for that to be of use.

    It must begin at most `back` bytes before the sign and end at most `ahead` behind its begin. RE2 finds words that are
    no patterns some ten times as fast as bytes.find does."""
    found: list[tuple[int, int]] = []
    left = len(data) // RARE
    for sign in signs:
        for match in sign.finditer(data):
            left -= 1
            if left < 0:
                return None
            found.append((max(match.start() - back, 0), min(match.start() + ahead, len(data))))
    return apart(found)


def apart(stretches: Iterable[tuple[int, int]]) -> Stretches:
    """Put into one what overlaps, in order."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(stretches):
        if found and start <= found[-1][1]:
            start, last = found.pop()
            end = max(end, last)
        found.append((start, end))
    return found


# What all numbers have that detectors know: six digits with little between them, or an IPv4 address's dots.
_NUMBER = search(r"[0-9](?:[ ./()-]{0,4}[0-9]){5}|[0-9](?:\.[0-9]{1,3}){2}\.[0-9]")
# Bytes before and after a number's first digit in which any pattern that has it begins and ends, if it does not end later
# in a longer row of digits; and as many as are taken for one stretch at least, so that numbers are not looked for one by one.
_BACK, _AHEAD, _LEAST = 256, 256, 1024


def of_numbers(data: bytes) -> Stretches:
    """Where numbers may stand that are somebody's: a small part of most programs and of most that people write."""
    found: list[tuple[int, int]] = []
    at = 0
    while number := _NUMBER.search(data, at):
        end = min(number.start() + _LEAST, len(data))
        found.append((max(number.start() - _BACK, 0), end))
        at = end - _AHEAD  # a number that begins later may go on behind the end
        if end == len(data):
            break
    return apart(found)
