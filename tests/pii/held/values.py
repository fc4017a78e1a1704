"""Values of every type, drawn by the grammars that their standards and vendors document, and by no detector's rule.

| type | grammar | read |
| --- | --- | --- |
| EMAIL | RFC 5321, section 4.1.2 (dot-atoms); RFC 1035 host names below real top level domains | 2026-12-01 |
| PHONE | ITU-T E.164; libphonenumber's example numbers, other last digits, its international form | 2026-12-01 |
| SSN | SSA: randomised since 2011; no area 000, 666, 9xx, no group 00, no serial 0000 | 2026-12-01 |
| CREDIT_CARD | ISO/IEC 7812-1 (Luhn); the networks' ranges: Visa, Mastercard, American Express, Discover, JCB | 2026-12-01 |
| IP_ADDRESS | RFC 791, RFC 4291, RFC 5952 | 2026-12-01 |
| IBAN | ISO 13616: SWIFT's registry of structures | 2026-12-01 |
| SECRET | the vendors' pages and gitleaks', betterleaks', TruffleHog's rules (2026); RFC 6750, 7519, 7468, 3986 | 2026-12-01 |
"""

import base64
import json
import string
from ipaddress import IPv4Address, IPv6Address
from random import Random

import phonenumbers

from tests.pii.corpus.vendors import made

_ATOM = string.ascii_lowercase + string.digits
_TOP_LEVELS = "com org net io dev co.uk de fr ca com.au nl se app cloud edu.sg co.jp com.br eu us".split()


def _drawn(random: Random, alphabet: str, least: int, most: int) -> str:
    return "".join(random.choices(alphabet, k=random.randint(least, most)))


def email(random: Random) -> str:
    atoms = [_drawn(random, _ATOM, 2, 9) for _ in range(random.randint(1, 3))]
    local = random.choice(".._-+").join(atoms)
    host = ".".join(random.choice(_ATOM[:26]) + _drawn(random, _ATOM, 2, 10) for _ in range(random.randint(1, 2)))
    return f"{local}@{host}.{random.choice(_TOP_LEVELS)}"


def phone(random: Random) -> str:
    """A mobile or fixed number of some country in E.164 or international form."""
    while True:
        region = random.choice(sorted(phonenumbers.SUPPORTED_REGIONS))
        kind = random.choice((phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE))
        if not (number := phonenumbers.example_number_for_type(region, kind)):
            continue
        number.national_number = number.national_number // 1000 * 1000 + random.randrange(1000)  # type: ignore[operator]
        if phonenumbers.is_valid_number(number):
            form = random.choice((phonenumbers.PhoneNumberFormat.E164, phonenumbers.PhoneNumberFormat.INTERNATIONAL))
            return phonenumbers.format_number(number, form)


def ssn(random: Random) -> str:
    area = random.choice([number for number in range(1, 900) if number != 666])
    return f"{area:03}-{random.randint(1, 99):02}-{random.randint(1, 9999):04}"


_NETWORKS = (("4", 16), ("51", 16), ("54", 16), ("2305", 16), ("34", 15), ("37", 15), ("6011", 16), ("3542", 16))


def card(random: Random) -> str:
    begins, length = random.choice(_NETWORKS)
    body = begins + _drawn(random, string.digits, length - len(begins) - 1, length - len(begins) - 1)
    doubled = sum(sum(divmod(int(digit) * (2 - place % 2), 10)) for place, digit in enumerate(reversed(body)))
    number = f"{body}{-doubled % 10}"
    groups = (4, 6, 5) if length == 15 else (4, 4, 4, 4)
    separator = random.choice(("", " ", "-"))
    parts, at = [], 0
    for group in groups:
        parts.append(number[at : at + group])
        at += group
    return separator.join(parts)


def address(random: Random) -> str:
    if random.random() < 0.5:
        while not (four := IPv4Address(random.getrandbits(32))).is_global or four.is_multicast:
            pass
        return str(four)
    six = IPv6Address((0x2A00 + random.randrange(0x100) << 112) | random.getrandbits(112))
    if random.random() < 0.4:  # a host in a network: zeros in the middle
        six = IPv6Address(int(six) >> 80 << 80 | random.randrange(1, 0xFFFF))
    return str(six)


# Countries' structures: n digits, a capitals, c either.
_STRUCTURES = {
    "DE": "18n", "FR": "10n11c2n", "GB": "4a14n", "ES": "20n", "IT": "1a10n12c", "NL": "4a10n", "CH": "5n12c", "AT": "16n", "BE": "12n",
    "PL": "24n", "PT": "21n", "SE": "20n", "NO": "11n", "DK": "14n", "FI": "14n", "IE": "4a14n", "GR": "7n16c", "CZ": "20n", "HU": "24n",
    "RO": "4a16c", "TR": "5n1n16c", "SA": "2n18c", "AE": "3n16n", "BR": "23n1a1c", "LU": "3n13c", "HR": "17n", "BG": "4a6n8c",
}  # fmt: skip
_OF_KIND = {"n": string.digits, "a": string.ascii_uppercase, "c": string.ascii_uppercase + string.digits}


def iban(random: Random) -> str:
    country, structure = random.choice(sorted(_STRUCTURES.items()))
    account, length = "", ""
    for sign in structure:
        if sign.isdigit():
            length += sign
        else:
            account += _drawn(random, _OF_KIND[sign], int(length), int(length))
            length = ""
    number = int("".join(str(int(sign, 36)) for sign in f"{account}{country}00"))
    whole = f"{country}{98 - number % 97:02}{account}"
    return whole if random.random() < 0.5 else " ".join(whole[at : at + 4] for at in range(0, len(whole), 4))


# Known by their form; «…» marks the secret where it is not all. Parts are joined so that no scanner takes this file for a leak.
_FORMS = (
    "gh" + "p_{A36}", "gh" + "o_{A36}", "gh" + "u_{A36}", "github" + "_pat_{A22}_{A59}", "gl" + "pat-{W20}", "AK" + "IA{Z16}", "AS" + "IA{Z16}", "AI" + "za{W35}", "A" + "Q.Ab8RN6{W44}",
    "GOC" + "SPX-{W28}", "xo" + "xb-{912}-{912}-{A24}", "xo" + "xp-{912}-{912}-{912}-{x32}", "xa" + "pp-1-A{N10}-{913}-{x64}", "sk" + "_live_{A24}", "sk" + "_test_{A99}", "rk" + "_live_{A24}", "wh" + "sec_{A32}",
    "sk" + "-ant-api03-{W93}AA", "sk" + "-proj-{W74}T3BlbkFJ{W74}", "sk" + "-svcacct-{W74}T3BlbkFJ{W74}", "sk" + "-or-v1-{x64}", "gs" + "k_{A52}", "xa" + "i-{A80}", "pp" + "lx-{A48}", "h" + "f_{a34}", "r" + "8_{A37}", "nv" + "api-{W64}",
    "np" + "m_{A36}", "py" + "pi-AgEIcHlwaS5vcmc{W150}", "ruby" + "gems_{x48}", "dc" + "kr_pat_{W27}", "do" + "o_v1_{x64}", "S" + "G.{W22}.{W43}", "S" + "K{x32}", "ke" + "y-{x32}", "{x32}" + "-us21", "PM" + "AK-{x24}-{x34}",
    "shp" + "at_{x32}", "shp" + "ca_{x32}", "sq" + "0atp-{W22}", "sq" + "0csp-{W43}", "EA" + "AA{W60}", "ATA" + "TT3xFfGF0{W180}={N8}", "lin" + "_api_{A40}", "nt" + "n_{911}{A35}", "sec" + "ret_{A43}", "fi" + "gd_{W40}", "pa" + "t{A14}.{x64}",
    "hv" + "s.{A24}", "hv" + "s.CAESI{W90}", "dp" + ".pt.{A43}", "pu" + "l-{x40}", "{A14}.at" + "lasv1.{W67}", "gl" + "sa_{A32}_{x8}", "NR" + "AK-{N27}", "sntr" + "yu_{x64}", "da" + "pi{x32}", "psc" + "ale_tkn_{W43}", "sb" + "p_{x40}", "na" + "pi_{l64}",
    "tsk" + "ey-auth-{A17}-{A32}", "{910}:" + "AA{W33}", "tv" + "ly-dev-{A32}", "ls" + "v2_pt_{x32}_{x10}", "pc" + "sk_{A6}_{A63}", "jin" + "a_{x32}{W28}", "os" + "_v2_app_{z103}", "mdb" + "_sa_sk_{W40}", "Astra" + "CS:{a24}:{x64}", "zp" + "ka_{x32}_{x8}",
    "SWM" + "TKN-1-{l50}-{l25}", "ml" + "sn.{x64}", "CCD" + "B1_{A22}_{A40}", "vc" + "p_{A56}", "rn" + "d_{A28}", "fm" + "2_{B300}", "cf" + "ut_{A40}{x8}",
)  # fmt: skip
# Known by the vendor's name beside them.
_NAMED = (
    "heroku: «{U}»", 'HEROKU_KEY="«{U}»"', "datadog: «{x32}»", "DD_API=«{x32}»", "DD_APP=«{x40}»", "datadog_key = '«{x40}»'", "ALGOLIA=«{x32}»", 'algolia_admin: "«{x32}»"', 'CLOUDFLARE_GLOBAL_KEY: "«{x37}»"',
    "mailgun = «{x32}-{x8}-{x8}»", "DEEPGRAM=«{x40}»", "snyk: «{U}»", "wandb: «{x40}»", "mistral_key = '«{A32}»'", 'COHERE_KEY="«{A40}»"', "codecov: «{U}»", "FASTLY_KEY=«{A32}»", "sendbird: «{x40}»", "honeycomb: «{A22}»",
    "ASSEMBLYAI=«{x32}»", 'CIRCLECI: "«{x40}»"', 'okta: "«00{W40}»"', "scaleway: «{U}»", 'twilio_auth: "«{x32}»"', "newrelic_key: «{x40}»",
)  # fmt: skip
# Known by what they are assigned to or where they stand.
_PLACED = (
    "DB_PASSWORD=«{A16}»", 'password: "«{A8}!{A6}»"', '"clientSecret": "«{A40}»"', "aws_secret_access_key = «{B40}»", "Authorization: Bearer «{A40}»", 'curl -H "Authorization: Bearer «{W64}»" https://api.example.com/v1', "X-Api-Key: «{A32}»",
    "postgres://app:«{A14}»@db.example.com:5432/main", "redis://default:«{A20}»@cache.example.com:6379/0", "mongodb+srv://app:«{A14}»@cluster0.example.net/main", "mysql -u root -p«{A12}» shop", "export API_TOKEN=«{A32}»", "SECRET_KEY = '«{A50}»'",
    "https://api.example.com/v1/items?access_token=«{A40}»", "Set-Cookie: sessionid=«{l32}»; HttpOnly; Path=/", 'private static final String API_KEY = "«{A32}»";', "  encryption_key: «{x64}»", "signing_secret: «{x32}»", "jwtSecret = `«{A43}»`",
    "machine api.example.com login bot password «{A20}»", "docker login -u bot -p «{A20}» registry.example.com", "//npm.example.com/:_authToken=«{U}»", "AccountKey=«{B86}==»;EndpointSuffix=core.windows.net",
)  # fmt: skip


def _jwt(random: Random) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    signature = base64.urlsafe_b64encode(random.randbytes(32)).decode().rstrip("=")
    return f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part({'sub': str(random.getrandbits(40)), 'exp': random.getrandbits(31)})}.{signature}"


def _private_key(random: Random) -> str:
    body = base64.encodebytes(random.randbytes(600)).decode().strip()
    return f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----"


def secrets(random: Random) -> list[str]:
    """One of each kind that is known by its form."""
    return [made(random, form) for form in _FORMS] + [_jwt(random)]


def placed_secrets(random: Random) -> list[str]:
    """Lines with a secret that is known by what stands around it, marked «…»."""
    lines = [made(random, line) for line in (*_NAMED, *_PLACED)]
    return [*lines, f"«{_private_key(random)}»"]
