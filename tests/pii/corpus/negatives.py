"""Texts with nothing to find, though much in them looks so: what coding assistants read and write all day."""

import base64
import json
import string
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from uuid import UUID

from tests.pii.corpus import values
from tests.pii.corpus.sample import Sample

ROOT = Path(__file__).parents[3]
WORDS = """alpha bravo cache delta echo field graph handler index job key list model node option parser query route server task
user value worker yield zone client config data error file group header item join limit merge name order page request""".split()
FUNCTIONS = "get set add run map load save parse build send fetch apply".split()


class Maker:
    """Pieces of lines."""

    def __init__(self, seed: int):
        self.random = Random(seed)
        self.int, self.choice = self.random.randint, self.random.choice

    def hex(self, length: int) -> str:
        return f"{self.random.getrandbits(4 * length):0{length}x}"

    def digits(self, length: int) -> str:
        return "".join(self.random.choices(string.digits, k=length))

    def word(self) -> str:
        return self.choice(WORDS)

    def base64(self, size: int) -> str:
        return base64.b64encode(self.random.randbytes(size)).decode()

    def version(self) -> str:
        return f"{self.int(0, 30)}.{self.int(0, 40)}.{self.int(0, 60)}"

    def four(self) -> str:
        return f"{self.int(0, 120)}.{self.int(0, 20)}.{self.int(0, 30)}.{self.int(0, 250)}"

    def time(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(
            seconds=self.int(0, 30_000_000), microseconds=self.int(0, 999_999)
        )

    def uuid(self) -> str:
        return str(UUID(int=self.random.getrandbits(128), version=4))


def uuids(m: Maker) -> str:
    return m.choice(["{}", "id={}", '{{"request_id": "{}"}}', "/items/{}/edit", "trace {} done", "{} "]).format(
        m.choice([m.uuid(), m.uuid().upper(), m.uuid().replace("-", "")])
    )


def hashes(m: Maker) -> str:
    value = m.hex(m.choice([32, 40, 56, 64, 128]))
    return m.choice(
        ["{}", "{}  dist/app.tar.gz", "sha256:{}", 'etag: "{}"', 'checksum = "{}"', "MD5({})", "image@sha256:{}"]
    ).format(value)


def git(m: Maker) -> str:
    return m.choice(
        [
            f"{m.hex(7)} Fix the {m.word()} of the {m.word()}", f"commit {m.hex(40)}", f"index {m.hex(7)}..{m.hex(7)} 100644",
            f"100644 blob {m.hex(40)}\t{m.word()}/{m.word()}.py", f"tree {m.hex(40)}", f"@@ -{m.int(1, 900)},{m.int(1, 30)} +{m.int(1, 900)},{m.int(1, 30)} @@ def {m.word()}():",
            f"git@github.com:{m.word()}/{m.word()}.git", f"ssh://git@gitlab.com/{m.word()}/{m.word()}.git", f"remote: Counting objects: 100% ({m.int(1, 999)}/{m.int(1, 999)}), done.",
            f"   {m.hex(7)}..{m.hex(7)}  main -> main", f"{m.hex(40)} refs/tags/v{m.version()}", f"HEAD@{{{m.int(0, 30)}}}: commit: {m.word()}",
            f" {m.word()}.py | {m.int(1, 300)} +++++-----", f"+{m.digits(m.int(7, 12))},", f"-    {m.word()} = {m.digits(10)}",
        ]
    )  # fmt: skip


def versions(m: Maker) -> str:
    return m.choice(
        [
            f"v{m.four()}", f"version {m.four()}", f"{m.word()}=={m.version()}", f"{m.word()}-{m.four()}.tar.gz", f"Version: {m.four()}",
            f"{m.word()}@{m.version()}", f"@{m.word()}/{m.word()}@{m.version()}", f"Chrome/{m.int(80, 140)}.0.{m.int(4000, 7000)}.{m.int(10, 220)} Safari/537.36",
            f"{m.word()}@npm:{m.version()}", f"release {m.four()} of {m.word()}", f'AssemblyVersion("{m.four()}")', f"{m.word()} >= {m.four()}",
            f"firmware {m.four()}", f"{m.word()}:{m.version()}-alpine", f"uses: actions/{m.word()}@v{m.int(1, 5)}.{m.int(0, 9)}.{m.int(0, 9)}",
            f"{m.word()}@{m.version()}-beta.{m.int(1, 9)}", f"Python {m.version()}", f"1.3.6.1.4.1.{m.int(1, 9999)}.{m.int(1, 20)}", f"{m.word()}_{m.four()}_amd64.deb",
            f"    {m.word()} ({m.version()}, < {m.int(3, 9)})", f"{m.version()}+build.{m.int(1, 999)}", f"upgraded from v{m.four()} to v{m.four()}",
            f"## {m.int(1, 9)}.{m.int(1, 9)}.{m.int(1, 9)}.{m.int(1, 9)} {m.word().title()}", f"build {m.four()}", f"<Version>{m.four()}</Version>",
        ]
    )  # fmt: skip


def times(m: Maker) -> str:
    t = m.time()
    return m.choice(
        [
            t.isoformat(), f"{t:%Y-%m-%d %H:%M:%S}", f"{t:%d/%b/%Y:%H:%M:%S +0000}", f"{t:%d.%m.%Y %H:%M}", f"{t:%m/%d/%Y}", f"{t:%Y%m%d%H%M%S}",
            str(int(t.timestamp())), f"{t.timestamp():.6f}", str(int(t.timestamp() * 1000)), str(int(t.timestamp() * 10**9)), f"{t:%H:%M:%S.%f}",
            f"{t:%Y-%m-%d-%H-%M-%S}", f"created_at: {t:%Y-%m-%dT%H:%M:%SZ}", f"{t:%d-%m-%Y}", f"{t:%a, %d %b %Y %H:%M:%S GMT}", f"ts={int(t.timestamp() * 1000)}",
            f"{t:%Y-%m-%d} - {t:%Y-%m-%d}", f"{t:%y-%m-%d %H.%M.%S}",
        ]
    )  # fmt: skip


def numbers(m: Maker) -> str:
    r = m.random
    return m.choice(
        [
            f"{r.random()}", f"{r.uniform(-1e6, 1e6)}", f"{r.uniform(-90, 90):.6f}, {r.uniform(-180, 180):.6f}", f"[{r.random():.4f}, {r.random():.4f}, {r.random():.4f}]",
            f"lat={r.uniform(-90, 90):.7f}&lon={r.uniform(-180, 180):.7f}", f"{m.int(1, 999)} {m.int(1, 999)} {m.int(1, 9999)}", f"{m.int(0, 10**9):,}", f"{r.random():.3e}",
            f"0x{m.hex(16)}", f"{m.digits(5)} {m.digits(5)}", f"size={m.digits(9)}", f"{m.int(1, 99)}.{m.int(1, 99)}%", f"total {m.digits(6)}", f"${m.int(1, 999)},{m.digits(3)}.{m.digits(2)}",
            "\t".join(m.digits(m.int(1, 6)) for _ in range(8)), "  ".join(f"{r.random():.2f}" for _ in range(9)), ",".join(str(m.int(0, 255)) for _ in range(16)),
            f"rgb({m.int(0, 255)}, {m.int(0, 255)}, {m.int(0, 255)})", f"M{m.int(1, 99)}.{m.int(1, 99)} {m.int(1, 99)}.{m.int(1, 99)}l{m.int(1, 9)}-{m.int(1, 9)}z", f"{m.int(100, 999)} x {m.int(100, 999)}",
            f"pid {m.digits(6)}", f"{m.int(1, 200)}-{m.int(200, 999)}", f"port {m.int(1024, 65535)}", f"{m.int(1, 12)}h{m.int(0, 59)}m", f"{m.digits(3)}/{m.digits(4)} [{m.int(1, 99)}%]",
            " ".join(m.digits(2) for _ in range(m.int(3, 16))), " ".join(m.digits(4) for _ in range(m.int(2, 8))), " ".join(m.digits(3) for _ in range(m.int(2, 8))),
        ]
    )  # fmt: skip


def _isbn13(m: Maker) -> str:
    body = "978" + m.digits(9)
    return body + str(-sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(body)) % 10)


def identifiers(m: Maker) -> str:
    isbn = _isbn13(m)
    return m.choice(
        [
            isbn, f"ISBN {isbn[:3]}-{isbn[3]}-{isbn[4:7]}-{isbn[7:12]}-{isbn[12]}", f"ISBN-10: {m.digits(1)}-{m.digits(4)}-{m.digits(4)}-{m.choice('0123456789X')}", f"order #{m.digits(8)}",
            f'"id": {m.digits(m.int(6, 12))}', f'{{"id": {m.digits(17)}}}', f"user_id={m.digits(10)}", f'"snowflake": "1{m.digits(18)}"', f"1Z{m.hex(16).upper()}", f"JIRA-{m.digits(5)}",
            f"SKU {m.digits(4)}-{m.digits(3)}", f"invoice {m.int(2020, 2026)}-{m.digits(6)}", f"IMEI: 35{m.digits(13)}", f"0000-000{m.int(1, 3)}-{m.digits(4)}-{m.digits(4)}", f"arXiv:{m.digits(4)}.{m.digits(5)}",
            f"doi:10.{m.digits(4)}/{m.word()}.{m.digits(7)}", f"RFC {m.digits(4)}", f"req_{m.hex(24)}", f"msg_01{m.base64(16)[:20].replace('/', 'x').replace('+', 'y')}", f"toolu_{m.hex(20)}",
            f"call_id: {m.digits(9)}", f"#{m.hex(6)}", f"{m.digits(3)}-{m.digits(7)}-{m.digits(7)}", f"{m.word()}-{m.digits(5)}-{m.hex(5)}", f"ticket {m.digits(7)}", f"mac {':'.join(m.hex(2) for _ in range(6))}",
            f"{'-'.join(m.hex(2) for _ in range(6))}", f"part no. {m.digits(2)}-{m.digits(4)}-{m.digits(3)}", f"arn:aws:iam::{m.digits(12)}:role/{m.word()}", f"ami-{m.hex(17)}", f"i-{m.hex(17)}",
        ]
    )  # fmt: skip


def scripts(m: Maker) -> str:
    a, b, c = (m.choice(string.ascii_letters) for _ in range(3))
    return m.choice(
        [
            f"!function({a},{b}){{return {a}.{c}?{a}.{c}({b}):{m.int(0, 999)}}}(t,e),n.d(e,\"{a}\",(function(){{return {b}}}));",
            f"var {a}={m.int(0, 9)}.{m.digits(16)},{b}=[{m.int(1, 999)},{m.int(1, 999)},{m.int(1, 999)}],{c}={a}<<{m.int(1, 31)}|{b}>>>0;",
            f"({a}||({a}={{}}))[\"{m.word()}\"]=0x{m.hex(8)},e.exports={{{m.word()}:{m.digits(4)},{m.word()}:\"{m.word()}\"}}",
            f"__webpack_require__.r({m.digits(4)});eval(\"//# sourceMappingURL=data:application/json;base64,{m.base64(60)}\")",
            f".{m.word()}::before{{content:\"\\{m.hex(4)}\";margin:{m.int(0, 9)}px {m.int(0, 9)}px}}@media(max-width:{m.int(300, 999)}px){{a{{top:-{m.int(1, 9999)}px}}}}",
            f"<path d=\"M{m.int(1, 99)}.{m.digits(3)} {m.int(1, 99)}.{m.digits(3)}c{m.int(1, 9)}.{m.digits(2)}-{m.int(1, 9)}.{m.digits(2)} 0-{m.int(1, 9)}.{m.digits(3)}z\"/>",
            f"src=\"img/{m.word()}@2x.png\"", f"url({m.word()}@{m.int(2, 3)}x.webp)", f"t.{a}=function(){{return this.{b}@{m.int(1, 9)}}}", f"const {{{a},{b}}}=await import('./{m.word()}.{m.hex(8)}.js');",
        ]
    )  # fmt: skip


def locks(m: Maker) -> str:
    name, version = f"{m.word()}-{m.word()}", m.version()
    return m.choice(
        [
            f'      "integrity": "sha512-{m.base64(64)}",', f'  resolved "https://registry.example/{name}/-/{name}-{version}.tgz#{m.hex(40)}"', f'"{name}@^{version}":', f"  integrity sha512-{m.base64(64)}",
            f'checksum = "{m.hex(64)}"', f"github.com/{m.word()}/{m.word()} v{version} h1:{m.base64(32)}", f"    --hash=sha256:{m.hex(64)} \\", f"  /@{m.word()}/{name}@{version}(@types/node@{m.version()}):", f"  {name}@{version}:",
            f'{{file = "{name}-{version}-py3-none-any.whl", hash = "sha256:{m.hex(64)}"}},', f'"node_modules/@{m.word()}/{name}": {{"version": "{version}"}}', f"    {name} ({version})", f"  version \"{version}\"", f'"{name}@workspace:*, {name}@workspace:packages/{name}":',
        ]
    )  # fmt: skip


def dumps(m: Maker) -> str:
    size = m.choice([8, 16])
    data = m.random.randbytes(size)
    pairs = [f"{byte:02x}" for byte in data]
    text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data)
    return m.choice(
        [
            f"{m.hex(8)}: {' '.join(a + b for a, b in zip(pairs[::2], pairs[1::2], strict=True))}  {text}", f"{m.hex(8)}  {' '.join(pairs)}  |{text}|", f"{m.int(0, 9):07}0 {' '.join(f'{byte:03o}' for byte in data)}",
            " ".join(pairs), ", ".join(f"0x{pair}" for pair in pairs), "\\x" + "\\x".join(pairs), f"rip 0x{m.hex(16)} rsp 0x{m.hex(16)}", " ".join(f"{byte % 100:02}" for byte in data), ":".join(pairs),
        ]
    )  # fmt: skip


def prompts(m: Maker) -> str:
    user, host = m.word(), f"{m.word()}-{m.int(1, 99)}"
    return m.choice(
        [
            f"{user}@{host}:~$ ls -la", f"[{user}@{host} {m.word()}]$ cd ..", f"root@{host}:/var/log# tail -f x", f"{user}@{host} ~ % make", f"scp {m.word()}.txt {user}@{host}:/tmp/", f"ssh {user}@{host}.example.com",
            f"{user}@{host}.example.com:~$ whoami", f"rsync -av . {user}@{host}.example.com:/srv/{m.word()}", "PS1='\\u@\\h:\\w\\$ '", f"{user}@{host}.local:~$", f"(base) {user}@{host}:~/src$ python -m {m.word()}", f"{user}@{host}> show",
        ]
    )  # fmt: skip


def decorators(m: Maker) -> str:
    return m.choice(
        [
            f"@app.route('/{m.word()}/<int:id>')", f"@pytest.mark.parametrize('{m.word()}', [1, 2])", f"@{m.word()}.setter", "@Override", "@Injectable({providedIn: 'root'})", f"@{m.word()}/{m.word()}", f"x = a @ b.{m.word()}",
            "y = w@x.T + b", f"@media (min-width: {m.int(300, 999)}px)", f"@import url('{m.word()}.css');", f"@param {m.word()} the {m.word()}", f"this@{m.word().title()}.{m.word()}()", f"return@{m.word()} it", f"@\"{m.word()}\"",
            "$@ $< $^", f"user@{m.word()}", f"{m.word()}@{m.word()}", f"@{m.word()}", f"{m.word()} @{m.word()} thanks", f"std::vector<{m.word()}::{m.word()}> v;", f"use crate::{m.word()}::{{self, {m.word()}}};", f"Foo::Bar.{m.word()}",
            f"add::{m.word()}()", "face::add(dead::beef);", "a::b::c", "ab::cd", f"::{m.word()}", "x[::2]", "list[1::3]", "a[::-1]",
        ]
    )  # fmt: skip


def settings(m: Maker) -> str:
    name = m.choice(
        [
            "password",
            "PASSWORD",
            "api_key",
            "token",
            "secret",
            "DB_PASSWORD",
            "client_secret",
            "apiKey",
            "access_token",
            "auth_token",
            "passwd",
            "SECRET_KEY",
        ]
    )
    w, f = m.word(), m.choice(FUNCTIONS)
    return m.choice(
        [
            f"{name} = os.environ['{name}']", f"{name} = os.getenv(\"{name.upper()}\")", f"{name}: process.env.{name.upper()}", f"{name}=${{{name.upper()}}}", f"{name}=<your-{name}>", f'{name} = "your-{name}-here"', f"{name}: {{{{ .Values.{w}.{name} }}}}",
            f"{name} = {f}_{w}()", f"{name} = {w}.{name}", f"{name}={w}_{name}", f"{name}: str", f"{name}: Optional[str] = None", f"def {f}({name}: str, {w}: int) -> None:", f"{name} = None", f"if {name} == '':", f"{name}=xxxxxxxxxxxx", f"{name}=********", f'"{name}": "********"',
            f'"{name}": "string"', f'{name}: "changeme"', f"{name} = self.{w}.{name}", f"{name} = request.POST.get('{name}')", f"const {name} = config.get('{w}.{name}');", f"{name}: String,", f"{name} = input('Enter the {name}: ')", f"The {name} is required", f"the {name} is not valid",
            f"<input type=\"password\" name=\"{name}\">", f"{name}=...", f"{name} := {f}{w.title()}(ctx)", f"export {name}=$({f} {w})", f"connect({name}={name})", f"{f}({name}={w}2)", f"{name} = {w}{m.int(1, 9)}", f'{name}_file: "/run/secrets/{w}"', f"{name} = settings.{name.upper()}",
            f"max_tokens={m.int(100, 9999)}", f'"input_tokens": {m.int(100, 99999)},', f"total_tokens: {m.digits(6)}", f"next_page_token = {w}", f"tokenizer = AutoTokenizer.{f}('{w}')", '"token_type": "bearer"', "Authorization: Bearer ${TOKEN}", "Authorization: Bearer <token>",
            f"postgres://user:password@localhost/{w}", f"redis://${{USER}}:${{PASS}}@{w}:6379", f"{name} must have {m.int(6, 20)} characters", f"SecretKeySelector(name={w!r})", f"token = tokens[{m.int(0, 99)}]", f"token.{f}({w})", f"{name}.{f}()", f"{name} == {w}.{name}", f'label="{name.title()}:"',
            f"{name}?: string;", f"{name}: {{ type: String, required: true }}", f"{name} VARCHAR({m.int(16, 255)}) NOT NULL", f"#{name}: leave empty", f"{name} | string | the {w} of the {f}", f'{name}: "{{{{{w}}}}}"', f"  {name}: !ref {w.title()}Secret", f"{name} = {w}[\"{name}\"]",
        ]
    )  # fmt: skip


def logs(m: Maker) -> str:
    t = m.time()
    return m.choice(
        [
            f"{t.isoformat()} INFO  {m.word()}.{m.word()}:{m.int(1, 999)} - {m.word()} done in {m.int(1, 9999)}ms ({m.digits(7)} bytes)", f"127.0.0.1 - - [{t:%d/%b/%Y:%H:%M:%S +0000}] \"GET /{m.word()}/{m.digits(6)} HTTP/1.1\" 200 {m.digits(5)}",
            f"[{t:%H:%M:%S}] worker-{m.int(1, 99)} pid={m.digits(5)} req={m.hex(16)} took={m.random.random():.6f}s", f"Listening on 0.0.0.0:{m.int(1000, 9999)}", f"    at {m.word()}.{m.word()} ({m.word()}.js:{m.int(1, 999)}:{m.int(1, 99)})",
            f"  File \"/usr/lib/python3.11/{m.word()}.py\", line {m.int(1, 9999)}, in {m.word()}", f"kernel: [{m.digits(6)}.{m.digits(6)}] usb 1-1.{m.int(1, 9)}: new device {m.hex(4)}:{m.hex(4)}", f"tests/{m.word()}_test.py::test_{m.word()} PASSED [{m.int(1, 100)}%]",
            f"E   assert {m.digits(6)} == {m.digits(6)}", f"http://localhost:{m.int(1000, 9999)}/{m.word()}", f"{m.int(1, 99)} passed, {m.int(1, 9)} failed in {m.int(1, 99)}.{m.digits(2)}s", f"drwxr-xr-x {m.int(1, 9)} root root {m.digits(4)} Nov {m.int(1, 30)} {m.int(10, 23)}:{m.int(10, 59)} {m.word()}",
            f"bind [::1]:{m.int(1000, 9999)}", f"netmask 255.255.{m.choice([0, 240, 255])}.0", f"PASS src/{m.word()}.test.ts ({m.int(1, 99)}.{m.digits(3)} s)", f"goroutine {m.int(1, 999)} [running]: main.{m.word()}(0xc{m.hex(9)}, 0x{m.hex(2)})", f"GC({m.int(1, 999)}) Pause {m.int(1, 99)}M->{m.int(1, 99)}M({m.int(100, 999)}M) {m.int(1, 9)}.{m.digits(3)}ms",
        ]
    )  # fmt: skip


def documents(m: Maker) -> str:
    """JSON of many keys, as tools answer it."""
    return json.dumps(
        {m.word(): m.choice([m.int(0, 10**9), m.random.random(), m.uuid(), m.hex(40), m.version(), m.time().isoformat(), m.word(), None, [m.int(0, 999)] * 3]) for _ in range(m.int(3, 8))},
        separators=m.choice([(",", ":"), None]),
    )  # fmt: skip


def blobs(m: Maker) -> str:
    return m.choice(["{}", "data:image/png;base64,{}", '"image": "{}"', "{}=="]).format(m.base64(m.int(20, 200)))


def almost(m: Maker) -> str:
    """What a checksum or a range tells apart, and nothing else."""
    card, groups = values.card(m.random)
    card = card[:-1] + str((int(card[-1]) + m.int(1, 9)) % 10)
    iban = values.iban(m.random)
    iban = iban[:2] + f"{(int(iban[2:4]) - 2 + m.int(1, 90)) % 97 + 2:02}" + iban[4:]
    return m.choice(
        [
            card, values.grouped(card, groups, " "), values.grouped(card, groups, "-"), f"card {card}", iban, f"IBAN {iban}",
            " ".join(iban[at : at + 4] for at in range(0, len(iban), 4)), f"{m.choice(['000', '666', '999'])}-{m.int(1, 49):02}-{m.digits(4)}",
            f"{m.int(100, 665)}-00-{m.digits(4)}", f"{m.int(100, 665)}-{m.int(10, 99)}-0000", f"SSN {m.choice(['000', '666'])}-{m.int(10, 99)}-{m.digits(4)}",
            f"{m.int(256, 999)}.{m.int(0, 255)}.{m.int(0, 255)}.{m.int(0, 255)}", f"10.{m.int(0, 255)}.{m.int(256, 999)}.1", f"2001:db8:{m.hex(4)}:{m.hex(4)}",
            f"2001:db8::{m.hex(4)}::1", "AK" + f"IA{m.digits(6)}", "gh" + f"p_{m.hex(12)}", "ey" + f"J{m.hex(20)}", "sk" + f"-{m.word()}-{m.word()}", f"+{m.digits(4)}", f"+999 {m.digits(4)}",
        ]
    )  # fmt: skip


KINDS: list[Callable[[Maker], str]] = [
    uuids, hashes, git, versions, times, numbers, identifiers, scripts, locks, dumps, prompts, decorators, settings, logs, documents, blobs, almost,
]  # fmt: skip
EACH = 1250


def _written_by_hand() -> list[Sample]:
    lines = Path(__file__).with_name("negatives.txt").read_text().splitlines()
    return [Sample(line, (), "by hand") for line in lines if line and not line.startswith("// ")]


_WITH_ADDRESSES = ("destinations.py",)  # lists addresses of networks, which are what they seem to be


def _own_source() -> list[Sample]:
    """This project's own programs: real code."""
    files = sorted(
        path
        for folder in ("proxy", "routing", "sessions")
        for path in (ROOT / folder).rglob("*.py")
        if path.name not in _WITH_ADDRESSES
    )
    return [
        Sample(line, (), f"source {path.name}")
        for path in files
        for line in path.read_text().splitlines()
        if len(line) > 20
    ]


def negatives(seed: int = 0) -> list[Sample]:
    """Always the same, but for this project's own source; with another seed, others of the same kinds."""
    made = [
        Sample(kind(maker), (), kind.__name__)
        for n, kind in enumerate(KINDS)
        for maker in [Maker(n + 1000 * seed)]
        for _ in range(EACH)
    ]
    return made + _written_by_hand() + _own_source()
