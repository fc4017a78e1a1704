"""IBANs: ISO 13616 and SWIFT's IBAN registry (length for each country), check digits by ISO 7064 mod 97-10."""

from collections.abc import Iterator

from pii.detectors.base import Hit, goes_on, look, search

LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29,
    "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29,
    "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28,
    "HN": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20,
    "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19,
    "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29,
    "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24,
    "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
    "YE": 30,
}  # fmt: skip

_WRITTEN = {length: look(rf"(?:[A-Za-z0-9][ -]?){{{length - 1}}}[A-Za-z0-9]") for length in LENGTHS.values()}
_START = search(rf"(?i)\b(?:{'|'.join(LENGTHS)})[ -]?[0-9]{{2}}[ -]?[A-Z0-9]{{2}}")


def iban(number: str) -> bool:
    """Whether the check digits are right. `number` without spaces, in upper case."""
    return int("".join(str(int(char, 36)) for char in number[4:] + number[:4])) % 97 == 1


def ibans(data: bytes) -> Iterator[Hit]:
    for match in _START.finditer(data):
        start = match.start()
        in_path = data[start - 1 : start] == b"/" and start > 0
        if start and not in_path and data[start - 1] in b"+-_" and data[start - 2 : start - 1].isalnum():
            continue  # in the middle of base64 or of a name
        length = LENGTHS[match.group()[:2].decode().upper()]
        written = _WRITTEN[length].match(data, start)
        if not written:
            continue
        end = written.end()
        run = written.group().replace(b" ", b"").replace(b"-", b"").decode()
        if data[end : end + 1].isalnum() or (end - start > length and run != run.upper()):
            continue
        if goes_on(data, end, b"/+=_"):
            if not (in_path and data[end : end + 1] == b"/"):
                continue
        elif in_path and data[end : end + 1].isalnum():
            continue
        if sum(char.isdigit() for char in run) >= 4 and iban(run.upper()):
            yield start, end, 0.95 if run == run.upper() else 0.85, "iban"
