"""No text takes long: the work grows as the text does, and what takes too long all the same is withheld."""

import json
import time

import pytest

from pii import detectors, limits
from pii.detectors.credentials import credentials
from pii.events import redact_messages
from pii.policy import FAILED
from pii.streams import LiveText
from tests.pii.test_redactor import EMAIL, custom, redactor

# What stands in a chain of such pieces is found only once what stands before it is gone.
CHAINS = ["AKIA", "AKIAQX7MZK2LW5NTRV4B", "ghp_0aB", "DE89370400440532013000", "123-45-6789", "4111111111111111", "x@y.org", "password=hunter22"]  # fmt: skip


@pytest.fixture
def examined(monkeypatch) -> list[int]:
    """The lengths of the texts that are searched."""
    lengths, find = [], detectors.find

    def counting(text, *more):
        lengths.append(len(text))
        return find(text, *more)

    monkeypatch.setattr(detectors, "find", counting)
    return lengths


@pytest.mark.parametrize("piece", CHAINS)
@pytest.mark.parametrize("mode", ["mask", "remove"])
def test_what_is_found_only_beside_a_replacement_does_not_make_the_work_grow(examined, piece, mode):
    made = redactor(mode)
    text = piece * (20_000 // len(piece))
    once = made.text(text)
    assert sum(examined) < 6 * len(text)
    assert made.text(once) == once


def test_nor_does_what_arises_where_something_was_removed_again_and_again(examined):
    made = redactor("remove", custom_patterns=(custom("KEY", "zz9"),))
    assert "zz9" not in made.text("z" * 2000 + "9" * 1000)
    assert len(examined) < 20


def test_a_long_word_is_not_read_anew_for_each_command_in_it():
    assert len(list(credentials(b"pass:a1B2," * 1000))) < 10


@pytest.mark.alone
def test_160_kb_of_the_beginning_of_a_key_are_examined_in_no_time():
    began = time.thread_time()
    redactor().text("AKIA" * 40_000)
    assert time.thread_time() - began < 1


def seconds(work, *arguments) -> float:
    began = time.thread_time()
    work(*arguments)
    return time.thread_time() - began


def one_message(choices: int) -> list[str]:
    return [json.dumps({"choices": [{"index": n, "delta": {"content": "x"}, "m": EMAIL} for n in range(choices)]})]


@pytest.mark.alone
@pytest.mark.parametrize("make", [one_message, lambda n: ['["data":"AAAA",' * n]])
def test_time_grows_as_a_message_does(make):
    made = redactor()
    short, long = make(100), make(800)
    once = min(seconds(redact_messages, made, "openai-chat", short) for _ in range(3))
    assert seconds(redact_messages, made, "openai-chat", long) < 24 * once + 0.02  # eight times as long


def test_a_message_as_deep_as_its_sender_likes_is_redacted():
    deep = '{"a":' * 900 + json.dumps({"type": "completion", "completion": EMAIL}) + "}" * 900
    message = json.dumps({"type": "completion", "completion": EMAIL})[:-1] + f', "x": {deep}}}'
    (redacted,) = redact_messages(redactor(), "anthropic", [message])
    assert EMAIL not in redacted


@pytest.fixture
def no_time(monkeypatch) -> None:
    monkeypatch.setattr(limits, "SECONDS", -1.0)


def test_a_text_that_takes_too_long_is_withheld_and_counted(no_time, caplog):
    made = redactor()
    assert made.text(f"to {EMAIL}") == FAILED
    assert made.json(json.dumps({"to": EMAIL}).encode()) == f'"{FAILED}"'.encode()
    assert LiveText(made).feed(f"to {EMAIL}\n") == FAILED
    assert made.counts == {"FAILED": 3}
    assert len([r for r in caplog.records if "TooLongError" in r.getMessage()]) <= 1


def test_the_time_is_looked_at_within_a_detectors_work(monkeypatch):
    text = "1.1.1.1 " * 2000
    now = iter(range(10**9))
    monkeypatch.setattr(time, "thread_time", lambda: next(now))
    monkeypatch.setattr(limits, "SECONDS", 6.0)
    monkeypatch.setattr(limits, "SECONDS_PER_CHARACTER", 0.0)
    with limits.limited(len(text)), pytest.raises(limits.TooLongError):
        detectors.find(text, ["IP_ADDRESS"])
    assert next(now) < 12


def test_the_limit_ends_with_its_text():
    with limits.limited(1):
        pass
    limits.check()
