"""Telephone numbers: ITU-T E.164 after a plus, the North American plan, and national forms.

Numbers that begin with + must suit the plan of their country (Google's libphonenumber metadata). A national number is
taken without further words if it is written as its plan writes it; any other needs a word such as "phone" before it.
"""

import re
from collections.abc import Iterator
from functools import cache
from itertools import product

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE
from phonenumbers.phonemetadata import PhoneMetadata

from pii.detectors.base import Hit, Stretches, before, digits, goes_on, look, search

_INTERNATIONAL = search(r"(?:\+|\b00[ -]?)\(?[1-9][0-9]{0,3}\)?(?:[ ./()-]{0,3}[0-9]){5,14}\b")
_AMERICAN = search(
    r"(?:\b1[ .-])?(?:\([0-9]{3}\)[ -]{0,2}[0-9]{3}[ .-][0-9]{4}|\b[0-9]{3}-[0-9]{3}-[0-9]{4}|\b[0-9]{3}\.[0-9]{3}\.[0-9]{4}"
    r"|\b[0-9]{3}/[0-9]{3}-[0-9]{4})\b"
)
_NATIONAL = search(
    r"(?:\(0[0-9]{1,5}\)|\b0[1-9][0-9]{0,4})(?:[ .-][0-9]{2,5}){2,4}\b"
    r"|\(0[0-9]{1,5}\) ?[0-9]{4,8}\b|\b0[1-9][0-9]{3}[ -][0-9]{6}\b"
    r"|\b8[ -]?\([0-9]{3}\) ?[0-9]{3}[ -][0-9]{2}[ -][0-9]{2}\b"  # Russia
    r"|\([1-9][0-9]\) ?9?[0-9]{4}[ -][0-9]{4}\b"  # Brazil
    r"|\b1[3-9][0-9][ -][0-9]{4}[ -][0-9]{4}\b"  # China's mobiles
)
_NUMBER = r"\(?\+?\(?[0-9](?:[ ./()-]{0,3}[0-9]){6,14}\b"
_LABELLED = search(
    r"(?i)(?:(?:phone|mobile|\bmob|\bcell|\btel|telefone?|telefono|telephone|\bfax|whatsapp|\bsms|movil|celular"
    r"|portable|hotline|\bhandy|contact (?:number|no\b)|\bph\b)"
    r"(?:[ _-]?(?:number|num|no\.?|nr\.?|#))?[0-9]?(?: ?\([a-z]{2,10}\))?"
    r"[\"'*_)]{0,3}[ \t]{0,2}(?:[.:=#>|,-]|: ?[\"'*]{1,2}|is|at|on|was|=>){0,2}"
    r"[ \t\"'>*]{0,3}(?:</?[a-z]{1,8}>[ \t]{0,2}){0,2}"
    r"|\b(?:call|dial|ring|text|texted|called|calling|reach|phoned)(?: (?:me|us|him|her|them|back|you|now|today|tonight))?"
    r"(?: (?:at|on|to|via|under))?:? )" + _NUMBER
)
_ASKED = look(r"(?i)call|dial|ring|text|reach|phoned")
_AT_END = search(_NUMBER + "$")
_WORDS = search(
    r"(?i)(?:phone|mobile|\bcell\b|\btel\b|telef|\bfax|whatsapp|\bsms\b|\bcall|\bdial|contact|hotline)[^\n0-9]{0,40}$"
)
_NO_PHONE = look(
    r"[12][09][0-9]{2}[-/. ][0-9]{1,2}[-/. ][0-9]{1,2}(?![0-9])|[0-9]{1,2}[-/.][0-9]{1,2}[-/.][12][09][0-9]{2}"
    r"|[0-9]{1,3}(?:\.[0-9]{1,3}){3}$|[0-9]+\.[0-9]+$"
)  # dates, addresses, decimals
_HEX_BEFORE = search(r"(?:\b|x)(?:[0-9a-fA-F]{2}|[0-9a-fA-F]{0,7}[0-9][0-9a-fA-F]{1,7})[ -]$")
_HEX_AFTER = look(r"[ -](?:[0-9a-fA-F]{2}|[0-9a-fA-F]{0,7}[0-9][0-9a-fA-F]{1,7})\b")
_ROUND = look(r"[0-9]00[^0-9][0-9]00")
_END_OF_ITEM = look(r"[,;](?:\n|$)")

# Countries whose national numbers begin with a trunk 0.
_TRUNK_REGIONS = "GB FR DE NL BE CH AT SE FI IE AU NZ JP KR IN ZA TR IL TW TH MY ID PH".split()


@cache
def _plans(code: int) -> tuple[re.Pattern[str], ...]:
    """Patterns of the national numbers behind a country's calling code."""
    regions = COUNTRY_CODE_TO_REGION_CODE.get(code, ())
    found = (PhoneMetadata.metadata_for_region_or_calling_code(code, region) for region in regions)
    return tuple(re.compile(plan.general_desc.national_number_pattern) for plan in found if plan)


@cache
def _written(lengths: tuple[int, ...]) -> tuple[tuple[re.Pattern[str], re.Pattern[str]], ...]:
    """Plans that write national numbers in groups of these lengths, trunk 0 included."""
    return tuple(_trunk_forms().get(lengths, ()))


@cache
def _trunk_forms() -> dict[tuple[int, ...], list[tuple[re.Pattern[str], re.Pattern[str]]]]:
    forms: dict[tuple[int, ...], list[tuple[re.Pattern[str], re.Pattern[str]]]] = {}
    for region in _TRUNK_REGIONS:
        plan = PhoneMetadata.metadata_for_region(region)
        general = re.compile(plan.general_desc.national_number_pattern)
        for form in plan.number_format:
            if "0" not in (form.national_prefix_formatting_rule or ""):
                continue
            groups = re.findall(r"\\d(?:\{(\d+)(?:,(\d+))?\})?", form.pattern)
            ranges = [range(int(least or 1), int(most or least or 1) + 1) for least, most in groups]
            leading = re.compile((form.leading_digits_pattern or [""])[-1])
            for first, *rest in product(*ranges):
                if rest and first + sum(rest) <= 11 and {first + 1, *rest} != {3}:  # 3-3-3 is a table's
                    forms.setdefault((first + 1, *rest), []).append((leading, general))
    return forms


def _american(number: str) -> bool:
    """North American Numbering Plan: neither area nor exchange begin with 0 or 1, no N11 area."""
    return len(number) == 10 and number[0] > "1" and number[3] > "1" and number[1:3] != "11"


def _international(number: str) -> bool | None:
    """True if a country's plan has it, None if only its length is possible, False otherwise."""
    for length in (1, 2, 3):
        code = int(number[:length])
        if code in COUNTRY_CODE_TO_REGION_CODE:
            rest = number[length:]
            if code == 1:
                return _american(rest) or (None if len(rest) == 10 else False)
            if any(plan.fullmatch(rest) or plan.fullmatch(rest.removeprefix("0")) for plan in _plans(code)):
                return True
            return None if 8 <= len(rest) <= 12 else False
    return False


def _attached(data: bytes, start: int, end: int) -> bool:
    """Part of a longer number, name or path."""
    if start and (data[start - 1 : start].isalnum() or data[start - 1] in b"_"):
        return True
    if start > 1 and data[start - 1] in b"-./+" and data[start - 2 : start - 1].isalnum():
        return True
    return data[end : end + 1] == b"_" or goes_on(data, end, b"-./")


def _among_hex(data: bytes, start: int, end: int) -> bool:
    """Between other groups of figures: a row of a dump or of a table."""
    return bool(_HEX_AFTER.match(data, end) or _HEX_BEFORE.search(before(data, start, 10)))


def _known(value: bytes) -> tuple[bytes, bool | None]:
    """The number that `value` begins with, as other figures may follow it, and what `_international` says of it."""
    possible = None
    while len(value) >= 9:
        number = digits(value) if value[:1] == b"+" else digits(value).removeprefix("00")
        known = _international(number) if len(number) <= 15 else False
        if known:
            return value, True
        if known is None and possible is None:
            possible = value
        value = value[: max(value.rfind(b" "), value.rfind(b"("), 0)].rstrip(b" (./-")
    return (possible, None) if possible else (value, False)


def _internationals(data: bytes, numbers: Stretches | None) -> Iterator[Hit]:
    for match in _INTERNATIONAL.finditer(data, numbers):
        start = match.start()
        value, known = _known(match.group())
        end = start + len(value)
        in_path = value[:1] == b"+" and start > 0 and data[start - 1] == 47
        if known is False or (not in_path and _attached(data, start, end)):
            continue
        separated = any(byte in b" ()-" for byte in value)
        said = bool(_WORDS.search(before(data, start)))
        if (
            value[:1] != b"+"
            and not said
            and (not separated or b"-" in value or not known or _among_hex(data, start, end))
        ):
            continue
        if not said and not separated and data[start - 1 : start] in (b"", b"\n") and _END_OF_ITEM.match(data, end):
            continue  # a line that a diff adds
        if known:
            yield start, end, 0.95 if said else 0.85, "phone-international"
        elif separated or said:
            yield start, end, 0.75, "phone-international"


def _americans(data: bytes, numbers: Stretches | None) -> Iterator[Hit]:
    for match in _AMERICAN.finditer(data, numbers):
        start, end = match.span()
        value = match.group()
        if start > 2 and data[start - 2 : start] in (b"+1", b"1 ", b"1-", b"1."):
            continue
        if _attached(data, start, end):
            continue
        valid = _american(digits(value)[-10:])
        if _WORDS.search(before(data, start)):
            yield start, end, 0.95, "phone-american"
        elif valid:
            yield start, end, 0.75 if b"." in value else 0.9, "phone-american"
        elif digits(value)[-10] > "1" or (
            b"." not in value and not _ROUND.match(value)
        ):  # written like one, and invented
            yield start, end, 0.75, "phone-american"


def _nationals(data: bytes, numbers: Stretches | None) -> Iterator[Hit]:
    for match in _NATIONAL.finditer(data, numbers):
        start, end = match.span()
        if _attached(data, start, end) or _among_hex(data, start, end):
            continue
        groups = re.findall(rb"[0-9]+", match.group())
        national = b"".join(groups).decode()
        if national[0] != "0":  # Russia's, Brazil's, China's
            yield start, end, 0.75, "phone-national"
            continue
        for leading, general in _written(tuple(map(len, groups))):
            if leading.match(national[1:]) and general.fullmatch(national[1:]):
                yield start, end, 0.8, "phone-national"
                break


def _labelled(data: bytes, numbers: Stretches | None) -> Iterator[Hit]:
    for match in _LABELLED.finditer(data, numbers):
        end = match.end()
        found = _AT_END.search(match.group())
        if not found or data[end : end + 1] in (b"_", b":", b"%") or _NO_PHONE.match(found.group().lstrip(b"(+")):
            continue
        if goes_on(data, end, b"-./"):
            continue
        value = found.group()
        if value.isdigit() and len(value) < 9 and _ASKED.match(match.group()):
            continue
        start = end - len(value)
        start += value[:1] == b"(" and b")" not in value  # the sentence's own bracket
        yield start, end, 0.85, "phone-labelled"


def phones(data: bytes, numbers: Stretches | None = None) -> Iterator[Hit]:
    yield from _internationals(data, numbers)
    yield from _americans(data, numbers)
    yield from _nationals(data, numbers)
    yield from _labelled(data, numbers)
