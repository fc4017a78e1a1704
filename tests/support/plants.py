"""Values that are planted somewhere, and later looked for everywhere: each place has its own, so that a find names it."""

import base64
import json
import random
import re
import string
import struct
from collections.abc import Iterable, Iterator
from urllib.parse import quote

from pii.patterns import compiled
from pii.policy import CustomPattern, Policy
from pii.redactor import Redactor

EMPLOYEE = r"EMP-\d{10}"
OWN_PATTERN = CustomPattern("EMPLOYEE", compiled(EMPLOYEE), 0.95)
_LETTERS, _ALL = string.ascii_lowercase, string.ascii_letters + string.digits
# Digits that are looked for without what separates them: fewer would turn up by chance.
_ENOUGH = 9
# Bytes of which a needle, of nine at least, holds a whole window wherever the cuts fall.
_WINDOW = 5
_ESCAPED = re.compile(rb"\\{1,4}u([0-9a-fA-F]{4})")
_WIDE = re.compile(rb"\xef\xbc[\x81-\xbf]|\xef\xbd[\x80-\x9e]")


class Plants:
    """Makes values of every type, and finds again what is left of them, in plain and in the usual encodings."""

    def __init__(self) -> None:
        self._random = random.Random()
        self._redactor = Redactor(Policy(custom_patterns=(OWN_PATTERN,)))
        self.places: dict[bytes, str] = {}  # what is looked for → where it was planted

    def text(self, place: str) -> str:
        """Give a line with a value of every type, for this place alone. Raises where redaction does not know all of it."""
        for _ in range(20):
            values = self._values()
            line = (
                "write to {email} or call {phone}, ssn {ssn}, card {card}, login from {four} and {six}, iban {iban}, "
                "{github} and {aws}, export PASSWORD={password} then curl {url} by {employee} with {jwt} ok"
            ).format_map(values)
            needles = {needle for value in values.values() for needle in _needles(value)}
            left = self._redactor.text(line)
            if not any(needle in left for needle in needles):
                self.places |= {variant: place for needle in needles for variant in _variants(needle)}
                return line
        raise AssertionError(f"redaction does not know all of {line}: {left}")

    def email(self, place: str) -> str:
        """Give an address alone, where no line fits."""
        return self._alone(place, self._email())

    def ssn(self, place: str) -> str:
        """Give a number that may stand in a header's name, in which case does not count."""
        return self._alone(place, self._values()["ssn"])

    def employee(self, place: str) -> str:
        """Give what the user's own pattern finds."""
        return self._alone(place, self._values()["employee"])

    def _alone(self, place: str, value: str) -> str:
        self.places |= {variant: place for needle in _needles(value) for variant in _variants(needle)}
        return value

    def private_key(self, place: str) -> str:
        """Give a private key in PEM, over several lines."""
        lines = [self._some(_ALL, 64) for _ in range(4)]
        self.places |= {line.encode(): place for line in lines}
        mark = "PRIVATE KEY-----"
        return f"-----BEGIN {mark}\n" + "\n".join(lines) + f"\n-----END {mark}"

    def look(self, sources: Iterable[tuple[str, bytes]]) -> list[str]:
        """Look for what was planted in named bytes. Gives a line for each find: where, of which place, what."""
        # Any nine bytes of what is looked for hold one whole window of those that the bytes are cut into.
        windows: dict[bytes, list[tuple[bytes, int]]] = {}
        for needle in self.places:
            first = max(
                range(len(needle) - 2 * _WINDOW + 2), key=lambda at: len(set(needle[at : at + _ENOUGH]) - set(b"%02 "))
            )
            for at in range(first, first + _WINDOW):
                windows.setdefault(needle[at : at + _WINDOW], []).append((needle, at))
        found: dict[str, None] = {}
        for name, data in sources:
            for view in _views(data):
                whole = view[: len(view) // _WINDOW * _WINDOW]
                for number, (window,) in enumerate(struct.iter_unpack(f"{_WINDOW}s", whole)):
                    for needle, at in windows.get(window, ()):
                        start = number * _WINDOW - at
                        if view.startswith(needle, max(start, 0)) and not _is_longer_number(view, start, needle):
                            seen = view[max(start - 60, 0) : start + len(needle) + 40]
                            found[f"{name}: {needle!r} of {self.places[needle]!r} in {seen!r}"] = None
        return list(found)

    def _some(self, of: str, count: int) -> str:
        return "".join(self._random.choices(of, k=count))

    def _email(self) -> str:
        return f"{self._some(_LETTERS, 10)}.{self._some(_LETTERS, 9)}@{self._some(_LETTERS, 9)}.org"

    def _values(self) -> dict[str, str]:
        number = self._random.randint
        digits = f"4{number(10**13, 10**14 - 1)}"
        digits += next(d for d in string.digits if _luhn(digits + d))
        account = f"{number(10**17, 10**18 - 1)}"
        iban = f"DE{98 - int(account + '131400') % 97:02}{account}"
        claims = base64.urlsafe_b64encode(json.dumps({"sub": self._some(_ALL, 20)}).encode()).decode().rstrip("=")
        return {
            "email": self._email(),
            "phone": f"+1 {self._random.choice(('212', '415', '617'))} {number(300, 899)} {number(1001, 9998)}",
            "ssn": f"{number(200, 599)}-{number(11, 89)}-{number(1001, 9998)}",
            "card": " ".join(digits[at : at + 4] for at in range(0, 16, 4)),
            "four": f"{number(81, 95)}.{number(100, 255)}.{number(100, 255)}.{number(100, 255)}",
            "six": f"2a02:{number(4096, 65535):x}:{number(4096, 65535):x}:{number(4096, 65535):x}::{number(4096, 65535):x}",
            "iban": " ".join(iban[at : at + 4] for at in range(0, 22, 4)),
            "github": "ghp_" + self._some(_ALL, 36),
            "aws": "AKIA" + self._some("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16),
            "password": self._some(_ALL, 20) + "7xQ",
            "url": f"postgres://app:{self._some(_ALL, 18)}@{self._some(_LETTERS, 9)}.org/db",
            "employee": f"EMP-{number(10**9, 10**10 - 1)}",
            "jwt": f"eyJhbGciOiJIUzI1NiJ9.{claims}.{self._some(_ALL, 43)}",
        }


def _is_longer_number(data: bytes, start: int, needle: bytes) -> bool:
    """Whether a number was found within a longer one, which is another."""
    around = data[max(start - 1, 0) : start + len(needle) + 1]
    return needle.isdigit() and around.isdigit() and len(around) > len(needle)


def _luhn(digits: str) -> bool:
    pairs = [int(d) * (1 + at % 2) for at, d in enumerate(reversed(digits))]
    return sum(n - 9 if n > 9 else n for n in pairs) % 10 == 0


def _needles(value: str) -> list[str]:
    """A value, and the pieces of it that tell who is meant."""
    found = [value]
    if value.startswith("postgres:"):
        return [value.partition("app:")[2].partition("@")[0]]
    if "@" in value:
        found += value.partition("@")[0].split(".")
    elif value.startswith("eyJ"):
        found += value.split(".")[1:]
    elif value.count(".") != 3 and ":" not in value:
        digits = "".join(filter(str.isdigit, value))
        if len(digits) >= _ENOUGH and len(digits) > len(value) / 2:
            found += [digits, digits[-_ENOUGH:]] if len(digits) > _ENOUGH else [digits]
            found += [value[-9:]] if value.count(" ") > 1 else []
        else:
            found.append(value[-14:])
    return found


def _variants(needle: str) -> list[bytes]:
    """What a text looks like in the encodings that a record may have it in."""
    texts = {needle, needle.lower(), quote(needle, safe=""), needle.replace(" ", "+")}
    found = [text.encode() for text in texts]
    for shift in range(3) if len(needle) >= 12 else ():
        coded = base64.b64encode(b"\0" * shift + needle.encode())
        found.append(coded[(0, 2, 3)[shift] : len(coded) - 4])  # without what depends on its neighbours
    return found


def _views(data: bytes) -> Iterator[bytes]:
    """Give bytes as they are; where there are any, with JSON's escapes and full-width characters as what they mean."""
    yield data
    plain = _ESCAPED.sub(lambda match: chr(int(match[1], 16)).encode("utf-8", "surrogatepass"), data)
    plain = _WIDE.sub(lambda match: chr(ord(match[0].decode()) - 0xFEE0).encode(), plain)
    if plain != data:
        yield plain
