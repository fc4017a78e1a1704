"""Invented values of every type, made from the standards' definitions and not from the detectors."""

import base64
import json
import string
from random import Random

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType

LETTERS, DIGITS, UPPER = string.ascii_lowercase, string.digits, string.ascii_uppercase
ALNUM = string.ascii_letters + DIGITS
BASE64URL = ALNUM + "-_"

_FIRST = (
    "ana bob chloe dmitri eve farid grace hiro ines jan kwame lea mats nora omar priya quinn rosa sven tariq".split()
)
_LAST = (
    "abbott berg costa dubois evans fischer garcia haddad ito jansen kowalski lopez muller novak okafor patel".split()
)
_HOSTS = "example.com example.org mail.example.net corp.example.co.uk example.de uni.example.edu example.io my-firm.example.fr".split()
_MORE_HOSTS = (
    "gmail.example.com exemple.fr beispiel.at firma.ch startup.ai dept.gov.au kaisha.co.jp loja.com.br x.museum".split()
)


def pick(random: Random, alphabet: str, length: int) -> str:
    return "".join(random.choices(alphabet, k=length))


def email(random: Random) -> str:
    first, last = random.choice(_FIRST), random.choice(_LAST)
    local = random.choice(
        [f"{first}.{last}", f"{first}{random.randint(1, 99)}", f"{first[0]}{last}", f"{first}_{last}", f"{first}+{last}",
         f"{first}.{last}+tag{random.randint(1, 9)}", f"{first}-{last}", f"{last}.{first[0]}", first, f"{first.title()}.{last.title()}",
         f"o'{last}", f"{first}.{random.randint(1950, 2010)}", "info", f"no.reply.{last}"]
    )  # fmt: skip
    host = random.choice(_HOSTS + _MORE_HOSTS)
    return f"{local}@{host.upper() if random.random() < 0.03 else host}"


def ssn(random: Random) -> str:
    area = random.choice([n for n in range(1, 900) if n != 666])
    return f"{area:03}-{random.randint(1, 99):02}-{random.randint(1, 9999):04}"


# ISO/IEC 7812: first digits and lengths as the networks publish them, with the groups printed on their cards.
_NETWORKS = [
    ("4", 16, (4, 4, 4, 4)), ("51", 16, (4, 4, 4, 4)), ("55", 16, (4, 4, 4, 4)), ("2221", 16, (4, 4, 4, 4)), ("2720", 16, (4, 4, 4, 4)),
    ("34", 15, (4, 6, 5)), ("37", 15, (4, 6, 5)), ("6011", 16, (4, 4, 4, 4)), ("65", 16, (4, 4, 4, 4)), ("36", 14, (4, 6, 4)),
    ("3530", 16, (4, 4, 4, 4)), ("62", 16, (4, 4, 4, 4)),
]  # fmt: skip


def card(random: Random) -> tuple[str, tuple[int, ...]]:
    """A number that Luhn accepts, and how it is printed."""
    begins, length, groups = random.choice(_NETWORKS)
    body = begins + pick(random, DIGITS, length - len(begins) - 1)
    total = 0
    for place, digit in enumerate(reversed(body)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return body + str(-total % 10), groups


def grouped(number: str, groups: tuple[int, ...], separator: str) -> str:
    parts, start = [], 0
    for length in groups:
        parts.append(number[start : start + length])
        start += length
    return separator.join(parts)


def ipv4(random: Random) -> str:
    first = random.choice([10, 172, 192, 203, 198, 8, 34, 52, 81, 93, 100, 185, 212])
    rest = {172: [random.randint(16, 31)], 192: [168], 203: [0, 113], 198: [51, 100]}.get(first, [])
    parts = [first, *rest]
    while len(parts) < 4:
        parts.append(random.randint(1 if len(parts) == 3 else 0, 254))
    return ".".join(map(str, parts))


def ipv6(random: Random) -> str:
    groups = [random.choice(["2001", "2a02", "2606", "fd12", "fe80", "2001"])] + [
        f"{random.getrandbits(16):x}" for _ in range(7)
    ]
    form = random.randrange(6)
    if form == 0:
        return ":".join(group.zfill(4) for group in groups)
    if form == 1:
        return ":".join(groups).upper()
    if form == 2:
        return "::".join([":".join(groups[: random.randint(1, 4)]), ":".join(groups[-random.randint(1, 3) :])])
    if form == 3:
        return f"::ffff:{ipv4(random)}"
    if form == 4:
        return f"fe80::{groups[1]}:{groups[2]}%{random.choice(['eth0', 'en0', 'wlan0', '1'])}"
    return ":".join(groups[:4]) + "::"[: random.choice([2])] + "1"


# SWIFT's registry: country, BBAN as letters (a), digits (n), either (c).
_BBANS = {
    "DE": "n18", "GB": "a4n14", "FR": "n10c11n2", "NL": "a4n10", "ES": "n20", "IT": "a1n10c12", "BE": "n12", "CH": "n5c12", "AT": "n16",
    "PL": "n24", "SE": "n20", "NO": "n11", "DK": "n14", "FI": "n14", "PT": "n21", "IE": "a4n14", "CZ": "n20", "MT": "a4n5c18",
    "SA": "n2c18", "AE": "n19", "TR": "n6c16", "GR": "n7c16", "LT": "n16", "LU": "n3c13", "BR": "n23a1c1", "KZ": "n3c13",
}  # fmt: skip


def iban(random: Random) -> str:
    country, form = random.choice(sorted(_BBANS.items()))
    bban, alphabet, number = "", "", ""
    for char in form + "a":
        if char.isdigit():
            number += char
        else:
            if number:
                bban += pick(random, alphabet, int(number))
            alphabet, number = {"n": DIGITS, "a": UPPER, "c": UPPER + DIGITS}[char], ""
    as_digits = "".join(str(int(char, 36)) for char in f"{bban}{country}00")
    return f"{country}{98 - int(as_digits) % 97:02}{bban}"


_REGIONS = "US CA GB FR DE NL BE CH AT SE NO DK FI PL PT IE ES IT AU NZ JP KR CN IN BR MX ZA TR IL AE SG HK AR CL CO UA CZ GR".split()
# Where a national number stands alone and is still known as one: a trunk 0 and usual groups, or North America's form.
_ALONE = "US CA GB FR DE AU JP KR CH NL BE ZA TR".split()
_SHOWN = (PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.E164, PhoneNumberFormat.NATIONAL)


def phone(random: Random) -> tuple[str, bool]:
    """A number as libphonenumber writes it, and whether it needs a word beside it that says what it is."""
    region = random.choice(_REGIONS)
    kind = random.choice([PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE])
    example = phonenumbers.example_number_for_type(region, kind)
    for _ in range(200):
        digits = phonenumbers.national_significant_number(example)
        number = phonenumbers.parse(f"+{example.country_code}{digits[:-5]}{pick(random, DIGITS, 5)}")
        if phonenumbers.is_valid_number(number):
            break
    form = random.choice(_SHOWN)
    shown = phonenumbers.format_number(number, form)
    if form != PhoneNumberFormat.NATIONAL:
        return shown, False
    if region in ("US", "CA") and random.random() < 0.6:
        shown = random.choice(["{}-{}-{}", "({}) {}-{}", "1-{}-{}-{}", "{}.{}.{}", "({}){}-{}"]).format(
            digits[:3], digits[3:6], shown[-4:]
        )
    groups = "".join(char if char.isdigit() else " " for char in shown).split()
    return shown, region not in _ALONE or (len(groups) < 3 and "(" not in shown)


def jwt(random: Random) -> str:
    def part(value: dict) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    head = {"alg": random.choice(["HS256", "RS256", "ES256"]), "typ": "JWT"}
    return f"{part(head)}.{part({'sub': pick(random, DIGITS, 10), 'iat': random.randint(10**9, 2 * 10**9)})}.{pick(random, BASE64URL, 43)}"


def private_key(random: Random) -> str:
    label = random.choice(["RSA ", "EC ", "OPENSSH ", "", "ENCRYPTED ", "DSA "])
    body = base64.b64encode(random.randbytes(random.choice([120, 300, 600]))).decode()
    lines = "\n".join(body[at : at + 64] for at in range(0, len(body), 64))
    return f"-----BEGIN {label}PRIVATE KEY-----\n{lines}\n-----END {label}PRIVATE KEY-----"


# As the vendors' pages show them: what stands first, of what the rest is made, how long it is.
_TOKENS = [
    ("AK" + "IA", UPPER + "234567", 16), ("AS" + "IA", UPPER + "234567", 16), ("AI" + "za", BASE64URL, 35), ("gh" + "p_", ALNUM, 36),
    ("gh" + "o_", ALNUM, 36), ("gh" + "s_", ALNUM, 36), ("github" + "_pat_", ALNUM + "_", 82), ("gl" + "pat-", ALNUM, 20),
    ("xo" + "xb-", DIGITS, 12), ("sk" + "_live_", ALNUM, 24), ("sk" + "_test_", ALNUM, 99), ("rk" + "_live_", ALNUM, 24),
    ("sk" + "-proj-", BASE64URL, 124), ("sk" + "-ant-api03-", BASE64URL, 95), ("np" + "m_", ALNUM, 36), ("py" + "pi-AgEIcHlwaS5vcmc", BASE64URL, 130),
    ("hf" + "_", string.ascii_letters, 34), ("S" + "K", "0123456789abcdef", 32),
]  # fmt: skip


def token(random: Random) -> str:
    """A secret that its own form gives away."""
    form = random.randrange(len(_TOKENS) + 4)
    if form < len(_TOKENS):
        begins, alphabet, length = _TOKENS[form]
        return begins + pick(random, alphabet, length - 1) + pick(random, alphabet.replace("-", "").replace("_", ""), 1)
    if form == len(_TOKENS):
        return jwt(random)
    if form == len(_TOKENS) + 1:
        return f"{pick(random, '123456789', 9)}:AA{pick(random, BASE64URL, 32)}{pick(random, ALNUM, 1)}"
    if form == len(_TOKENS) + 2:
        return f"SG.{pick(random, BASE64URL, 22)}.{pick(random, ALNUM, 43)}"
    return "xo" + f"xp-{pick(random, DIGITS, 12)}-{pick(random, DIGITS, 12)}-{pick(random, ALNUM, 24)}"


_WORDS = "river maple orbit copper falcon winter harbor velvet Summer Tiger Dragon purple".split()


def password(random: Random) -> str:
    """What people and generators choose: words with figures and signs, or noise."""
    form = random.randrange(4)
    if form == 0:
        return random.choice(_WORDS).title() + str(random.randint(10, 9999)) + random.choice("!#$%*?")
    if form == 1:
        return random.choice(_WORDS) + "-" + random.choice(_WORDS) + str(random.randint(1, 99)) + random.choice("!#*?")
    return pick(random, ALNUM, random.randint(10, 24)) + pick(random, DIGITS, 1) + pick(random, LETTERS, 1)


def opaque(random: Random) -> str:
    """A key that only its name gives away."""
    form = random.randrange(3)
    if form == 0:
        return f"{random.getrandbits(160):040x}"
    if form == 1:
        return base64.b64encode(random.randbytes(30)).decode()
    return pick(random, ALNUM, random.randint(20, 40)) + "7"
