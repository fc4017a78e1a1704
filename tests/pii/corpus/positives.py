"""Texts with something to find: each type in many forms and places."""

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from tests.pii.corpus import values
from tests.pii.corpus.sample import Sample

# Where a value stands. «» is the value.
PLACES = [
    "«»", "«»\n", "\n«»", "«».", "(«»)", "[«»]", "<«»>", '"«»"', "'«»'", "`«»`", "**«»**", "*«»*", "Contact: «»", "It is «», I think.",
    "Is it «»?", "send it to «»; thanks", "- «»", "1. «»", "> «»", "| name | «» | yes |", "|«»|x|", "# «»", "a\t«»\tb",
    "<td>«»</td>", "<p>Hello, it is <b>«»</b>.</p>", '<input value="«»">', "<!-- «» -->", "<x:y>«»</x:y>", "name,«»,42,true",
    '"Doe, J.","«»","x"', "id;«»;9", '{"value": "«»"}', '{"a":"«»","b":1}', '{\\"value\\": \\"«»\\", \\"n\\": 3}', "['«»', 'x']",
    'print("«»")', "x = '«»'  # keep", "// «»", "/* «» */", "-- «»", "INSERT INTO t VALUES (7, '«»', NULL);", "value: «»", "  - «»",
    "2026-03-04T05:06:07.123Z INFO user «» did it", "[error] bad value «» (retry 3)", "value=«»", "{'k': '«»'}", "line one\\n«»\\nline three",
    "first\\t«»\\tthird", "see «» and the next one", "电话「«»」。", "Voilà : « «» », d’accord ?", "…«»…", "“«»”", "+ \"«»\",",
    "See:«»", "lorem ipsum dolor sit amet, consectetur «» adipiscing elit, sed do eiusmod", "✅ «» ⚠️", "echo «» | tee out.txt",
]  # fmt: skip
# Where only a value without spaces can stand.
QUERIES = ["https://www.example.org/p?a=1&v=«»&b=2", "GET /find?q=«» HTTP/1.1", "curl 'http://svc/api?x=«»'"]

FULL_WIDTH = {ord(char): chr(ord(char) + 0xFEE0) for char in map(chr, range(33, 127))}
ARABIC = {ord("0") + digit: chr(0x660 + digit) for digit in range(10)}


def at(place: str, value: str, type_: str, kind: str) -> Sample:
    start = place.index("«»")
    return Sample(place.replace("«»", value, 1), ((start, start + len(value), type_),), kind)


def disguised(random: Random, value: str) -> str:
    """The value with other characters that read the same."""
    digits = [place for place, char in enumerate(value) if char.isdigit() and place and value[place - 1].isdigit()]
    form = random.randrange(6)
    if form == 0:
        return "".join(chr(ord(char) + 0xFEE0) if char.isdigit() else char for char in value)
    if form == 1:
        return value.translate(ARABIC)
    if form == 2:
        return value.replace(" ", "\u00a0").replace("-", "\u2011")
    if form == 3:
        return value.replace(" ", "\u202f").replace("-", "\u2013")
    if digits:
        place = random.choice(digits)
        return value[:place] + random.choice("\u200b\u200d\u2060\u00ad\ufeff") + value[place:]
    return value


def encoded(random: Random, value: str) -> str:
    """The value as in an address, in JSON, in JavaScript or in HTML."""
    form = random.choice(["%{:02X}", "%{:02x}", "\\u{:04x}", "\\u{:04X}", "\\x{:02x}", "&#{};", "&#x{:x};"])
    return "".join(form.format(ord(char)) if char in "@+ -" else char for char in value)


def _emails(random: Random) -> Iterator[Sample]:
    for number in range(700):
        value = values.email(random)
        if number % 10 == 0:
            value = random.choice(
                [encoded(random, value.replace("-", ".")), value.replace("@", "＠"), value.replace("@", "\u200b@")]
            )
        yield at(random.choice(PLACES + QUERIES), value, "EMAIL", "email")


def _phones(random: Random) -> Iterator[Sample]:
    said = ["Phone: «»", "phone «»", "Tel. «»", "tel: «»", "Mobile: «»", '"phone": "«»"', '"phoneNumber": "«»"', "Fax: «»", "call «» now",
            "call me at «».", "<b>Telephone:</b> «»", "WhatsApp: «»", "mobile_number=«»", "Cell: «»", "phone,«»", "please dial «»"]  # fmt: skip
    for number in range(800):
        value, needs = values.phone(random)
        if number % 8 == 0:
            value = disguised(random, value)
        elif number % 25 == 1:
            value = encoded(random, value)
        yield at(random.choice(said if needs or random.random() < 0.2 else PLACES), value, "PHONE", "phone")


def _ssns(random: Random) -> Iterator[Sample]:
    said = ["SSN: «»", "SSN «»", "my social security number is «»", '"ssn": "«»"', "ssn=«»", "Social Security No. «»", "«» (SSN)",
            "SSN#: «»", "<ssn>«»</ssn>", "taxpayer id: «»", "SSN,«»", "social_security_number: '«»'"]  # fmt: skip
    for number in range(500):
        value, form = values.ssn(random), number % 5
        if form == 0:
            value = value.replace("-", random.choice(["", " ", ""]))
        elif form == 1:
            value = disguised(random, value)
        elif form == 2 and number % 4 == 0:
            value = encoded(random, value)
        yield at(random.choice(said if form == 0 or random.random() < 0.2 else PLACES), value, "SSN", "ssn")


def _cards(random: Random) -> Iterator[Sample]:
    said = [
        "card: «»",
        "Visa «» exp 12/29",
        "credit card number «»",
        '"cardNumber": "«»"',
        "pay with «» (amex)",
        "PAN=«»",
        "cc: «»",
    ]
    for number in range(500):
        value, groups = values.card(random)
        form = number % 7
        place = random.choice(PLACES + said)
        if form in (1, 2):
            value = values.grouped(value, groups, random.choice([" ", "-", " ", "."]))
        elif form == 3:
            value = disguised(random, values.grouped(value, groups, random.choice(" -")))
        elif form == 4:  # anything goes, if it is said to be a card
            cuts = tuple(random.choice([(2,) * 8, (8, 8), (3, 3, 3, 3, 3, 3), (6, 4, 6), (1,) * 19, (5, 5, 6)]))
            value, place = values.grouped(value, cuts, random.choice(" -")).rstrip(" -"), random.choice(said)
        yield at(place, value, "CREDIT_CARD", "card")


def _addresses(random: Random) -> Iterator[Sample]:
    extra = ["http://«»:8080/path", "[«»]:443", "ssh root@«»", "ping «»", "Accepted publickey for x from «» port 52144 ssh2",
             "«» - - [10/Oct/2026:13:55:36 +0000] \"GET / HTTP/1.1\" 200 23", "inet «»/24 brd", "X-Forwarded-For: «», 10.x",
             "host=«»", "nameserver «»", "remote_addr=«» status=200", "«»/32"]  # fmt: skip
    for number in range(600):
        six = number % 3 == 0
        value = values.ipv6(random) if six else values.ipv4(random)
        if number % 11 == 0 and not six:
            value = disguised(random, value)
        place = random.choice(PLACES + extra)
        if six and place.startswith("http"):
            place = "http://[«»]:8080/"
        yield at(place, value, "IP_ADDRESS", "ip")


def _ibans(random: Random) -> Iterator[Sample]:
    for number in range(400):
        value, form = values.iban(random), number % 6
        if form in (1, 2, 3):
            separator = " " if form < 3 else random.choice(["-", "\u00a0", "\u202f", " "])
            value = separator.join(value[start : start + 4] for start in range(0, len(value), 4))
        elif form == 4:
            value = disguised(random, value)
        elif form == 5 and number % 4 == 1:
            value = value.lower()
        yield at(random.choice([*PLACES, "IBAN: «»", "iban=«»"]), value, "IBAN", "iban")


_NAMES = """password passwd PASSWORD DB_PASSWORD db.password api_key apiKey API_KEY X_API_KEY client_secret clientSecret SECRET_KEY secret
auth_token accessToken access_token AWS_SECRET_ACCESS_KEY token GITHUB_TOKEN refresh_token encryption_key pwd private_key passphrase""".split()
_ASSIGNED = ['{n} = "«»"', "{n} = '«»'", '{n}: "«»"', '"{n}": "«»"', '{{"{n}":"«»"}}', "{n}=«»\n", "export {n}=«»\n", "{n}: «»\n", "'{n}' => '«»',",
             '{{\\"{n}\\": \\"«»\\"}}', 'os.environ["{n}"] = "«»"', "<{n}>«»</{n}>", '{n} := "«»"', "const {n} = `«»`;", "--{n}=«»",
             '# {n}="«»"', "- {n}: «»\n", "?{n}=«»&x=1", '.set("{n}", "«»")', '+{n} = "«»"']  # fmt: skip
_SPOKEN = ["Authorization: Bearer «»", "authorization: Basic «»", "-H 'Authorization: Bearer «»'", '"Authorization": "Token «»"', "x-api-key: «»",
           'headers={"Authorization": "Bearer «»"}', "Proxy-Authorization: Basic «»", "the password is «» now", "mysql --password «» -u root"]  # fmt: skip
_SCHEMES = "postgres postgresql mysql redis mongodb mongodb+srv amqp https ftp rediss mssql".split()


def _secrets(random: Random) -> Iterator[Sample]:
    for _ in range(500):
        yield at(random.choice(PLACES + QUERIES), values.token(random), "SECRET", "token")
    for number in range(40):
        key = values.private_key(random)
        yield at(random.choice(PLACES), key if number % 2 else key.replace("\n", "\\n"), "SECRET", "private key")
    for _ in range(500):
        name = random.choice(_NAMES)
        worth = values.password(random) if "pass" in name.lower() or name == "pwd" else values.opaque(random)
        place = random.choice(_ASSIGNED).format(n=name)
        if "&" in place:
            worth = worth.replace("+", "A").replace("#", "7").replace("%", "8").replace("?", "9")
        yield at(place, worth, "SECRET", "assignment")
    for _ in range(120):
        place = random.choice(_SPOKEN)
        worth = values.password(random) if "password" in place else values.opaque(random)
        yield at(place, worth, "SECRET", "authorization")
    for _ in range(120):
        user, host = (
            random.choice(["app", "root", "", "svc-1", "first.last"]),
            random.choice(["db.example.com", "10.0.0.5", "localhost", "[2001:db8::5]"]),
        )
        worth = values.password(random).replace("#", "_").replace("?", "_").replace("%", "_")
        place = random.choice(PLACES).replace("«»", f"{random.choice(_SCHEMES)}://{user}:«»@{host}:5432/main")
        labels = list(at(place, worth, "SECRET", "connection string").labels)
        text = place.replace("«»", worth, 1)
        if host[0] in "1[":
            start = text.index(f"@{host}") + 1 + (host[0] == "[")
            labels.append((start, start + len(host.strip("[]")), "IP_ADDRESS"))
        yield Sample(text, tuple(labels), "connection string")


def _written_by_hand() -> Iterator[Sample]:
    for line in Path(__file__).with_name("positives.txt").read_text().splitlines():
        if line and not line.startswith("//"):
            type_, place = line.split("\t", 1)
            before, _, rest = place.partition("⟦")
            value, _, after = rest.partition("⟧")
            yield Sample(before + value + after, ((len(before), len(before) + len(value), type_),), "by hand")


def positives(seed: int = 0) -> list[Sample]:
    """Always the same; with another seed, others of the same kinds."""
    kinds: list[Callable[[Random], Iterator[Sample]]] = [_emails, _phones, _ssns, _cards, _addresses, _ibans, _secrets]
    return [sample for number, kind in enumerate(kinds) for sample in kind(Random(number + 1000 * seed))] + list(
        _written_by_hand()
    )
