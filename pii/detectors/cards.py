"""Payment cards: ISO/IEC 7812-1 (issuer's digits, check digit by Luhn), lengths as the networks publish them."""

from collections.abc import Iterator

from pii.detectors.base import Hit, Stretches, after, before, digits, look, search

# Digits with spaces or hyphens between any of them; full stops only in the usual groups, or decimals would be candidates.
# Digits alone begin as a network's do: else they are most often milliseconds since 1970.
_DIGIT = "(?:[ -]{0,2}[0-9])"
_APART = "|".join(f"[0-9]{{{n}}}[ -]{{1,2}}[0-9]{_DIGIT}{{{11 - n},}}" for n in range(11))
_RUN = search(
    rf"(?:^|[^0-9A-Za-z_.])(?:[2-68]{_DIGIT}{{12,}}|[0179](?:{_APART}|[0-9]{{11,}}[ -]{{1,2}}[0-9]{_DIGIT}*)"
    r"|[2-68][0-9]{3}(?:\.[0-9]{4}){3}|3[0-9]{3}\.[0-9]{6}\.[0-9]{4,5})\b"
)
_IBAN = search(r"[A-Z]{2}[0-9]{2}[ -]$")
_GROUPS = look(r"[0-9]+")
_WORDS = search(
    r"(?i)card|visa|amex|american express|discover|maestro|diners|jcb|unionpay|credit|debit|payment|\bpan\b|\bcc\b|\bcc_?n"
)
# Other long numbers say what they are.
_OTHER = search(
    r"(?i)(?:id|ids|ts|time|timestamp|_at|seq|sequence|offset|hash|checksum|trace|span|nonce|seed|size|bytes|version|isbn"
    r"|ean|upc|gtin|sku|imei|serial|tracking|invoice|order|ref|build|epoch|ns|us|nanos|micros)[\"']?[ \t]*[:=#][ \t]*[\"']?$"
    r"|\b(?:order|invoice|tracking|ticket|parcel|shipment|reference|booking|case|request)(?: (?:no\.?|nr\.?|number|id|code|ref))?[ :#]{1,3}$"
)
_SHAPES = {(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3), (6, 13), (4, 4, 4, 4, 2)}
_FIRST = {4, 6, *range(13, 20)}
_MOST = max(len(shape) for shape in _SHAPES)


_DOUBLED = bytes.maketrans(b"0123456789", bytes([0, 2, 4, 6, 8, 1, 3, 5, 7, 9]))


def luhn(number: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    single, double = number[-1::-2].encode(), number[-2::-2].encode().translate(_DOUBLED)
    return (sum(single) - 48 * len(single) + sum(double)) % 10 == 0


def issued(number: str) -> float:
    """How much a number's first digits and its length are those of a network: 0 where no network issues it."""
    two, three, four, length = int(number[:2]), int(number[:3]), int(number[:4]), len(number)
    if number[0] == "4":  # Visa; 13 and 19 digits are rare
        return {16: 1.0, 13: 0.5, 19: 0.5}.get(length, 0)
    if 51 <= two <= 55 or 2221 <= four <= 2720:  # Mastercard
        return 1.0 if length == 16 else 0
    if two in (34, 37):  # American Express
        return 1.0 if length == 15 else 0
    if four == 6011 or 644 <= three <= 649 or two == 65:  # Discover
        return {16: 1.0, 19: 0.5}.get(length, 0)
    if 300 <= three <= 305 or three == 309 or two in (36, 38, 39):  # Diners Club
        return {14: 1.0, 16: 0.5}.get(length, 0)
    if 3528 <= four <= 3589:  # JCB
        return {16: 1.0, 19: 0.5}.get(length, 0)
    if two == 62:  # UnionPay
        return 1.0 if length == 16 else 0.5 if 17 <= length <= 19 else 0
    if 2200 <= four <= 2204:  # Mir
        return {16: 1.0, 19: 0.5}.get(length, 0)
    if four in (5018, 5020, 5038, 5893, 6304, 6759, 6761, 6762, 6763, 6390):  # Maestro
        return 0.5 if 13 <= length <= 19 else 0
    if two in (60, 81, 82) or three in (508, 353, 356):  # RuPay
        return 0.5 if length == 16 else 0
    return 0


def _confidence(data: bytes, start: int, end: int, shape: tuple[int, ...]) -> float:
    number = digits(data[start:end])
    likely = issued(number)
    if not likely or not luhn(number) or len(set(number)) < 2:
        return 0
    if _WORDS.search(before(data, start)) or _WORDS.search(after(data, end, 24)):
        return 0.95
    if shape in _SHAPES:
        return 0.9 if likely == 1 else 0.75
    if len(shape) == 1:
        return 0.8 if likely == 1 and not _OTHER.search(before(data, start)) else 0.5
    separators = {data[place : place + 1] for place in range(start, end)} - {b"%d" % digit for digit in range(10)}
    return 0.75 if separators == {b"-"} and likely == 1 and max(shape) > 2 else 0.5


def cards(data: bytes, numbers: Stretches | None = None) -> Iterator[Hit]:
    for run in _RUN.finditer(data, numbers):
        start, end = run.span()
        start += not 48 <= data[start] <= 57  # the character before it
        if data[start:end].isdigit():
            if end - start > 19 or not issued(data[start:end].decode()):
                continue
        if start and data[start - 1] in b"-+" and data[start - 2 : start - 1].isalnum():
            continue
        if _IBAN.search(before(data, start, 5)):
            continue
        yield from _in_run(data, [match.span() for match in _GROUPS.finditer(data, start, end)])


def _rows(data: bytes, groups: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Several numbers in a row, each of four groups of four, if all of them are cards'."""
    if len(groups) < 8 or len(groups) % 4 or any(end - start != 4 for start, end in groups):
        return []
    places = [(groups[at][0], groups[at + 3][1]) for at in range(0, len(groups), 4)]
    numbers = [digits(data[start:end]) for start, end in places]
    return places if all(issued(number) == 1 and luhn(number) for number in numbers) else []


def _in_run(data: bytes, groups: list[tuple[int, int]]) -> Iterator[Hit]:
    """Whole groups that make a number: all of a short run, or a usual shape between others."""
    lengths = [end - start for start, end in groups]
    shapes = {tuple(lengths)} if 13 <= sum(lengths) <= 19 else set()
    rows = _rows(data, groups)
    for start, end in rows:
        yield start, end, 0.9, "credit-card"
    if rows:
        return
    for first, (start, _) in enumerate(groups):
        if lengths[first] not in _FIRST or data[start] not in b"234568":
            continue
        for count in range(1, _MOST + 1):
            shape = tuple(lengths[first : first + count])
            if len(shape) < count or sum(shape) > 19:
                break
            if shape not in _SHAPES and (count > 1 or not 13 <= shape[0] <= 19):
                continue
            shapes.discard(shape)
            if shape == (4, 4, 4, 4) and (
                lengths[max(first - 1, 0) : first] == [4] or lengths[first + 4 : first + 6] == [4, 4]
            ):
                continue  # somewhere in a row of such groups
            end = groups[first + count - 1][1]
            if (first and data[start - 1] in b".-") or (
                data[end : end + 1] in (b".", b"-") and data[end + 1 : end + 2].isdigit()
            ):
                continue
            if confidence := _confidence(data, start, end, shape):
                yield start, end, confidence, "credit-card"
    for shape in shapes:
        start, end = groups[0][0], groups[-1][1]
        if confidence := _confidence(data, start, end, shape):
            yield start, end, confidence, "credit-card"
