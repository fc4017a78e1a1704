"""The configuration of redaction: the guide's examples, and what the keys do."""

import re
from pathlib import Path

import pytest
import yaml

from lunaroute_site.config import load
from pii.redactor import Redactor
from tests.pii.test_redactor import EMAIL, SSN

ROOT = Path(__file__).resolve().parents[2]
BEFORE = f"My email is {EMAIL} and SSN is {SSN}"
AFTER = r"My email is \[EMAIL:[0-9a-f]{8}\] and SSN is \[SSN:[0-9a-f]{8}\]"

EXAMPLE = """
session_recording:
  pii:
    enabled: true
    detect_email: true
    detect_phone: true
    detect_ssn: true
    detect_credit_card: true
    redaction_mode: "tokenize"  # mask, remove, tokenize, or partial
    hmac_secret: "${PII_SECRET}"

    custom_patterns:
      - name: "api_key"
        pattern: "sk-[a-zA-Z0-9]{32}"
        confidence: 0.95
        redaction_mode: "mask"
        placeholder: "[API_KEY]"
"""


def made(tmp_path: Path, text: str) -> Redactor:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    config = load({"LUNAROUTE_CONFIG": str(path), "PII_SECRET": "a secret of the tests"})
    return Redactor(config.session_recording.pii.policy())


@pytest.mark.parametrize("text", [EXAMPLE, (ROOT / "examples" / "configs" / "privacy-first.yaml").read_text()])
def test_the_guides_examples(tmp_path, text):
    redactor = made(tmp_path, text)
    after = redactor.text(BEFORE)
    assert re.fullmatch(AFTER, after)
    assert made(tmp_path, text).text(BEFORE) == after
    key = "sk-" + "Ab1" * 10 + "xy"
    assert redactor.text(f"key {key}.") == "key [API_KEY]."


def test_the_second_example_knows_keys_of_aws(tmp_path):
    redactor = made(tmp_path, (ROOT / "examples" / "configs" / "privacy-first.yaml").read_text())
    assert redactor.text("id AKIA" + "Z7" * 8) == "id [AWS_KEY]"


def test_every_key_reaches_the_redactor(tmp_path):
    keys = {
        "detect_email": False,
        "min_confidence": 0.6,
        "redaction_mode": "partial",
        "partial_show_chars": 2,
        "hmac_secret": "x",
        "keep_binary": True,
        "type_overrides": {"ssn": {"redaction_mode": "remove"}, "Ticket": {"redaction_mode": "partial", "partial_show_chars": 1}},
        "custom_patterns": [{"name": "ticket", "pattern": "T-[0-9]+", "confidence": 0.6}],
    }  # fmt: skip
    redactor = made(tmp_path, yaml.safe_dump({"session_recording": {"pii": keys}}))
    assert redactor.text(f"{EMAIL}, {SSN}, T-123") == f"{EMAIL}, , ****3"
    assert redactor.policy.keep_binary
    assert redactor.policy.handling("PHONE").show_chars == 2
    assert "'x'" not in repr(redactor.policy)


def test_a_pattern_that_can_find_nothing_is_told(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(
        "session_recording: {pii: {enabled: true, custom_patterns: [{name: a, pattern: x, confidence: 0.5}]}}"
    )
    assert any("the pattern a finds nothing" in note for note in load({"LUNAROUTE_CONFIG": str(path)}).notes())
