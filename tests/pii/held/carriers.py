"""What values stand in, as assistants read and write it, and texts that hold none."""

import base64
import sys
from pathlib import Path
from random import Random
from uuid import UUID

CARRIERS = (
    "VALUE=«»\nDEBUG=1\n", 'export VALUE="«»"', "value: «»\nother: 3\n", "  value: '«»'", 'value = "«»"', '{"value": "«»", "n": 1}', '{\n  "items": [\n    {\n      "value": "«»"\n    }\n  ]\n}', '{\\"value\\":\\"«»\\"}',
    'value = "«»"  # for now', "const value = '«»';", 'value := "«»"', 'String value = "«»";', "let value = `«»`;", "2026-11-30T10:11:12.345Z INFO app.http value=«» took=12ms", '[2026-11-30 10:11:12] app.ERROR: bad value "«»" {"code":7}',
    "  1043  2026-11-30 10:11:12  tool --value «» --verbose", "$ echo '«»' | tool", "tool add «» && git status", "X-Value: «»\r\nHost: example.com\r\n", "GET /v1/find HTTP/1.1\nX-Value: «»\n", "INSERT INTO t (a, v) VALUES (1, '«»');",
    "id,value,n\n1,«»,3\n", "| a | «» | b |", "- `«»` is the one", "<td>«»</td>", '<input name="v" value="«»">', "+    value: «»\n-    value: none\n", "ENV VALUE=«»", "        env:\n          VALUE: «»\n", 'variable "v" {\n  default = "«»"\n}',
    "ValueError: invalid value: '«»'", "Please use «» from now on.", "It was (see «») changed.", "<value>«»</value>", "/* «» */", "value => '«»',", 'System.out.println("«»");', "tool: «» ok\n", '"value=«»"', "line one\\nvalue: «»\\nline three",
)  # fmt: skip

_ALNUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def ids(random: Random) -> list[str]:
    """Ids, hashes and numbers that are nobody's secret."""

    def drawn(length: int, alphabet: str = _ALNUM) -> str:
        return "".join(random.choices(alphabet, k=length))

    def hashed(length: int) -> str:
        return f"{random.getrandbits(length * 4):0{length}x}"

    sri = base64.b64encode(random.randbytes(64)).decode()
    return [
        f'{{"id": "msg_01{drawn(22)}"}}', f'{{"id": "toolu_01{drawn(22)}", "name": "Bash"}}', f'{{"id": "resp_{hashed(48)}"}}', f'{{"id": "chatcmpl-{drawn(29)}"}}', f'{{"call_id": "call_{drawn(24)}"}}', f"request-id: req_011{drawn(21)}", f'"item_id": "fc_{hashed(48)}"',
        f'"previous_response_id": "resp_{hashed(50)}"', f"commit {hashed(40)}", f"index {hashed(7)}..{hashed(7)} 100644", f"{hashed(40)} refs/heads/main", f'"integrity": "sha512-{sri}"', f"sha256:{hashed(64)}", f"image: app@sha256:{hashed(64)}", f'ETag: "{hashed(32)}"', f"md5 {hashed(32)}  file.tar.gz",
        f"example.com/mod v1.{random.randrange(99)}.0 h1:{base64.b64encode(random.randbytes(32)).decode()}", f"uuid: {UUID(int=random.getrandbits(128), version=4)}", f'"session_id": "{UUID(int=random.getrandbits(128), version=4)}"', f"trace_id={hashed(32)} span_id={hashed(16)}", f"traceparent: 00-{hashed(32)}-{hashed(16)}-01",
        f"order {random.randrange(10**9, 10**10)}", f'"created": {random.randrange(1_600_000_000, 1_800_000_000)}', f'"ms": {random.randrange(1_600_000_000_000, 1_800_000_000_000)}', f"version {random.randrange(20)}.{random.randrange(20)}.{random.randrange(20)}", f"package=={random.randrange(9)}.{random.randrange(30)}.{random.randrange(30)}.post1",
        f"main.{hashed(20)}.js", f"chunk-{drawn(8).upper()}.mjs", f"0x{hashed(16)}", f"Finished in {random.random() * 90:.6f} s", f"{random.randrange(400)}/{random.randrange(400, 900)} tests, {random.randrange(9999999)} assertions", f"arn:aws:s3:::bucket-{hashed(12)}", f"pid {random.randrange(10**5)} fd {random.randrange(99)}",
        f"price_1{drawn(23)}", f"cus_{drawn(14)}", f"evt_1{drawn(23)}", f"run_{drawn(24)}", f"thread_{drawn(24)}", f"file-{drawn(22)}", f'"encoding": "{random.random():.16f}"', f"{random.uniform(-90, 90):.6f},{random.uniform(-180, 180):.6f}", f'"max_tokens": {random.randrange(10**5)}, "input_tokens": {random.randrange(10**6)}',
        f"heroku/nodejs buildpack {hashed(40)}", f"datadog-agent 7.{random.randrange(70)}.{random.randrange(9)} commit {hashed(10)}", f"cloudflare/workers-sdk@{hashed(40)}", f"github: https://github.com/datadog/dd-trace-py/commit/{hashed(40)}", f"algolia index products_{random.randrange(99)} has {random.randrange(10**6)} records",
    ]  # fmt: skip


def sources(random: Random, files: int) -> list[str]:
    """Pieces of the source texts of the packages that are installed."""
    packages = Path(next(path for path in sys.path if path.endswith("site-packages")))
    found = sorted(
        path for name in ("django", "twisted", "pip", "hypothesis") for path in (packages / name).rglob("*.py")
    )
    texts = []
    for path in random.sample(found, files):
        text = path.read_text(errors="replace")
        at = random.randrange(max(len(text) - 3000, 1))
        texts.append(text[at : at + 3000])
    return texts
