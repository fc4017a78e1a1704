"""Vendors' keys and tokens, known by their form alone."""

import sys
import time
from pathlib import Path
from random import Random

import pytest

from pii.detectors import find
from pii.detectors.formats import formats
from pii.detectors.known_tokens import EXAMPLES, FORMATS
from tests.pii.corpus.vendors import made, vendor_tokens

SECRETS = ("SECRET",)


def covered(text: str, start: int, end: int) -> bool:
    """Whether findings cover these characters."""
    for finding in find(text, SECRETS):
        if finding.start <= start:
            start = max(start, finding.end)
    return start >= end


def missed(places: list[str], seed: int) -> list[str]:
    """The vendors' tokens of which a part stays readable in some place."""
    left = []
    for vendor, before, secret, after in vendor_tokens(Random(seed)):
        for place in places:
            head, _, tail = place.partition("«»")
            start = len(head) + len(before)
            text = f"{head}{before}{secret}{after}{tail}"
            if not covered(text, start, start + len(secret)):
                left.append(f"{vendor}: {text}")
    return left


def test_every_vendors_token_is_found_wherever_it_stands():
    assert missed(["«»", "It is «», I think.", '{"a": "«»"}', "https://x.example/p?q=«»&b=2", "- `«»`"], seed=1) == []


# Those that no word or hash holds by chance.
GLUED = [
    "gh" + "p_{A36}", "github" + "_pat_{A22}_{A59}", "sk" + "-ant-api03-{W93}AA", "sk" + "-proj-{W120}", "AK" + "IA{Z16}", "AI" + "za{W35}",
    "xo" + "xb-{912}-{913}-{A24}", "gl" + "pat-{W20}", "np" + "m_{A36}", "sk" + "_live_{A24}", "do" + "p_v1_{x64}", "shp" + "at_{x32}", "gs" + "k_{A52}", "pp" + "lx-{A48}",
]  # fmt: skip


@pytest.mark.parametrize(
    "place", ["msg_«»", "x«»", "_«»_", "key=«»", '"Bearer:«»"', "id-«»", "abc123«»", "«»_suffix", "%3D«»%26"]
)
def test_a_key_that_is_glued_to_what_stands_before_or_behind_it_is_found(place):
    before, _, after = place.partition("«»")
    for template in GLUED:
        secret = made(Random(template), template)
        assert covered(before + secret + after, len(before), len(before) + len(secret)), before + secret + after


def test_what_vendors_documents_show_is_nobodys_secret():
    for value in EXAMPLES:
        assert find(f"key: {value.decode()}", SECRETS) == [], value
        assert find(f"aws_secret_access_key = {value.decode()}", SECRETS) == [], value


@pytest.mark.parametrize(
    "value",
    [
        "msg_01XFDUDYJgAACzvnptvVoYEL", "toolu_01A09q90qw90lq917835lq9", "call_12345xyzABCDEF67890ghijkl", "req_011CSHoEeqs5C35K2UUqR7Fy",
        "resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b", "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT", "fc_67ca09c6bedc8190a7abfec07b1a1332096610f474011cc0",
        "rs_67ccfcdd16748190a91872c75d38539e09e4d4aac714747c", "3f2504e0-4f89-41d3-9a0c-0305e82c3301", "9fceb02d0ae598e95dc970b74767f19372d61af8",
        "sha512-KbnXzXLkPX4Vs1ucAaO8mUhKDQQqTQXxbZ9tBsW1VQ3cR5XK9UpgFRuJfHbH2sNrEmr0xkqaqB2Kf8zRIzTUZQ==",
        "github_actions_workflow_dispatch", "npm_config_user_agent_string_value", "sk-estimator-html-representation", "test_a_name_that_is_long_enough_for_a_key",
    ],
)  # fmt: skip
def test_an_id_that_is_no_key_stays(value):
    assert find(f'{{"id": "{value}"}}', SECRETS) == []


def test_installed_packages_hold_next_to_no_tokens():
    packages = Path(next(path for path in sys.path if path.endswith("site-packages")))
    texts = [
        path.read_bytes()
        for name in ("django", "pip", "daphne")
        for path in sorted(packages.joinpath(name).rglob("*.py"))[::4]
    ]
    assert sum(map(len, texts)) > 1_000_000
    assert [text[start:end] for text in texts for start, end, *_ in formats(text)] == []


def units() -> list[str]:
    """What begins again and again as a token does, and goes on as some do."""
    begins = [
        "AKIA",
        "ABIA",
        "tvly-",
        "NRAL",
        "?sig=",
        "ghp_",
        "sk-",
        "sk-ant-",
        "eyJ",
        "eyJa.",
        "eyJhbGciOiJI.",
        "xoxb-",
        "Q~",
        "+ASt",
        "-us1",
        ".atlasv1.",
        "JQQJ99",
        "0|",
        "pa-",
        "key-0",
        "1000.",
        "AAAA",
        "MTAw",
    ]
    return [*begins, *(begin + end for begin in begins for end in ("a", "0_", "aB3-", " "))]


@pytest.mark.alone
@pytest.mark.parametrize("unit", units())
def test_a_megabyte_of_any_beginning_takes_less_than_a_second(unit):
    data = (unit * (1_000_000 // len(unit))).encode()
    began = time.thread_time()
    for _ in formats(data):
        pass
    assert time.thread_time() - began < 1


def test_every_format_has_a_name_and_a_source_of_its_own():
    assert len({form.name for form in FORMATS}) == len(FORMATS) > 180
    assert all(form.source and 0.7 <= form.confidence <= 1 for form in FORMATS)


@pytest.mark.parametrize("before", ["", "jwt_", "Bearer:", "eyJ.", "eyJeyJeyJ "])
def test_json_web_tokens_of_any_length_signed_or_encrypted_are_found(before):
    head, part = "eyJhbGciOiJIUzI1NiJ9", "0aB3-" * 3
    for token in (
        f"{head}.eyJzdWIiOiIxIn0.{part}",
        f"{head}.eyJ{part * 2000}.{part}",
        f"{head}.{part}.{part}.{part}.{part}",
        f"{head}.eyJzdWIiOiIxIn0.",
        f"{head}.eyJzdWIi/iIx+n0.{part}/x9",
    ):
        assert covered(before + token, len(before), len(before) + len(token)), before + token[:40]
