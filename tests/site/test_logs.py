"""What is logged holds no value, however it gets there."""

import logging
import subprocess
import sys

from lunaroute_site.logs import RedactingFormatter
from pii.policy import Policy

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
