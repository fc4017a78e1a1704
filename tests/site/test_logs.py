"""What is logged holds no value, however it gets there."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from lunaroute_site.logs import JsonFormatter, RedactingFormatter
from pii.policy import Policy
from tests.support.server import ROOT, environment

EMAIL = "john.doe@corp-mail.org"


def logged(message: str, *arguments: object, error: Exception | None = None) -> str:
    record = logging.LogRecord("lunaroute", logging.ERROR, __file__, 1, message, arguments, None)
    if error is not None:
        record.exc_info = (type(error), error, error.__traceback__)
    return RedactingFormatter("%(levelname)s %(message)s", policy=Policy()).format(record)


def test_an_entry_and_what_its_exception_quotes_are_redacted():
    try:
        raise KeyError(f"no {EMAIL}")
    except KeyError as error:
        text = logged("failed on %s", f"/v1/x?q={EMAIL.replace('@', '%40')}", error=error)
    assert "KeyError: 'no [EMAIL]'" in text
    assert "/v1/x?q=[EMAIL]" in text
    assert "john.doe" not in text


def test_an_entry_that_cannot_be_formatted_is_withheld():
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError(EMAIL)

    assert logged("%d of them", EMAIL) == "ERROR lunaroute: [REDACTION FAILED] (TypeError)"
    assert logged("%s", Broken()) == "ERROR lunaroute: [REDACTION FAILED] (RuntimeError)"


def test_what_python_itself_would_print_is_redacted():
    code = """
import logging, threading, warnings
from lunaroute_site.logs import RedactingFormatter, log_uncaught
from pii.policy import Policy
handler = logging.StreamHandler()
handler.setFormatter(RedactingFormatter("%(name)s: %(message)s", policy=Policy()))
logging.getLogger().addHandler(handler)
log_uncaught()
value = "john.doe" + "@corp-mail.org"
class Dying:
    def __del__(self):
        raise ValueError("unraisable " + value)
def run():
    raise ValueError("in a thread " + value)
Dying()
thread = threading.Thread(target=run)
thread.start()
thread.join()
warnings.warn("warned of " + value)
raise ValueError("uncaught " + value)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    for words in ("unraisable", "in a thread", "warned of", "uncaught"):
        assert f"{words} [EMAIL]" in done.stderr, done.stderr
    assert EMAIL not in done.stderr


def in_json(message: str, *arguments: object, policy: Policy | None = None, **about: object) -> dict:
    record = logging.LogRecord("lunaroute.proxy", logging.WARNING, __file__, 1, message, arguments, None)
    record.__dict__.update(about)
    line = JsonFormatter(policy).format(record)
    assert "\n" not in line
    return json.loads(line)


def test_an_entry_in_json_names_its_request():
    entry = in_json("slow: %s\nby much", "x", created=1_760_000_000.5, request_id="r1")
    assert entry == {
        "time": "2025-10-09T08:53:20.500+00:00", "level": "warning", "logger": "lunaroute.proxy",
        "message": "slow: x\nby much", "request_id": "r1",
    }  # fmt: skip
    assert "request_id" not in in_json("of none")


def test_an_entry_in_json_is_redacted_with_its_exception():
    try:
        raise KeyError(f"no {EMAIL}")
    except KeyError as error:
        about = (type(error), error, error.__traceback__)
    entry = in_json("failed on %s", EMAIL, policy=Policy(), exc_info=about)
    assert entry["message"] == "failed on [EMAIL]"
    assert "KeyError: 'no [EMAIL]'" in entry["exception"]
    assert "john.doe" not in str(entry)


@pytest.mark.parametrize("policy", [None, Policy()])
def test_an_entry_that_cannot_be_formatted_is_json_all_the_same(policy):
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError(EMAIL)

    assert in_json("%d of them", EMAIL, policy=policy)["message"] == "%d of them (TypeError)"
    assert in_json(Broken(), policy=policy)["message"] == "Broken (RuntimeError)"
    assert in_json("a path \udcff", policy=policy)["message"] == "a path ?"


def test_the_configuration_chooses_the_format(tmp_path: Path):
    code = "import django, logging; django.setup(); logging.getLogger('lunaroute.x').warning('of %s', 'it')"
    for value, expected in (("json", '"message":"of it"'), ("text", "WARNING lunaroute.x: of it")):
        environ = environment(tmp_path, LUNAROUTE_LOG_FORMAT=value, DJANGO_SETTINGS_MODULE="lunaroute_site.settings")
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environ, capture_output=True, text=True, check=True
        )
        assert expected in done.stderr
