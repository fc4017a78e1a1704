"""The request log: facts and text in, lines out. No server, no terminal."""

import os
import pty
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pii.policy import Policy
from pii.redactor import Redactor
from sessions import boxes, terminal
from sessions.boxes import Answered, Asked, harmless, reason, request_box
from sessions.dialects.facts import Block, Usage
from sessions.digest import Capture, Live
from sessions.request_log import MAX_WAITING, PATIENCE, RequestLog
from sessions.terminal import Terminal
from tests.support.exchanges import compact, frames

GUIDE = """\
┌─────────────────────────────────────────────────────────
│ REQUEST to Anthropic (streaming)
├─────────────────────────────────────────────────────────
│ Model: claude-sonnet-4-5
│ Messages: 3 messages
└─────────────────────────────────────────────────────────

┌─────────────────────────────────────────────────────────
│ STREAMING from Anthropic
│ 📝 I'll help you debug
│ 📝  that function. Let me
│ 📝  start by reading the code.
│ 🔧 Tool call: Read
│ 📊 Usage: input=150, output=420, total=570
│ 🏁 Stream ended: EndTurn
└─────────────────────────────────────────────────────────

"""
ASKED = Asked("r1", "anthropic", "claude-sonnet-4-5", messages=3, is_streaming=True)
ENDED = Answered("anthropic", is_stream=True, status=200, usage=Usage(input=150, output=420), finish_reason="end_turn")
GUIDES_TEXT = ["I'll help you debug", " that function. Let me", " start by reading the code."]


class Stream:
    """An answer of Anthropic's under way, as a recorder has it."""

    def __init__(self) -> None:
        capture = Capture()
        head = frames(b"{}", b"", answer_headers=[("content-type", "text/event-stream")])[:-2]
        (opened,) = [event for frame in head for event in capture.feed(*frame)]
        self.live: Live = opened.live
        self._blocks = 0

    def event(self, value: dict) -> None:
        self.live.take(b"data: " + compact(value) + b"\n\n", 1)

    def text(self, *pieces: str) -> "Stream":
        self.event(
            {"type": "content_block_start", "index": self._blocks, "content_block": {"type": "text", "text": ""}}
        )
        for piece in pieces:
            delta = {"type": "text_delta", "text": piece}
            self.event({"type": "content_block_delta", "index": self._blocks, "delta": delta})
        self._blocks += 1
        return self

    def call(self, name: str) -> "Stream":
        block = {"type": "tool_use", "id": "t", "name": name, "input": {}}
        self.event({"type": "content_block_start", "index": self._blocks, "content_block": block})
        delta = {"type": "input_json_delta", "partial_json": '{"a": 1}'}
        self.event({"type": "content_block_delta", "index": self._blocks, "delta": delta})
        self._blocks += 1
        return self


class Page:
    """A log, and what it wrote."""

    def __init__(self, **options: object) -> None:
        self.lines: list[str] = []
        self.log = RequestLog(self.lines.extend, **options)

    def take(self) -> str:
        text = "".join(f"{line}\n" for line in self.lines)
        self.lines.clear()
        return text


def asked(name: str, provider: str = "anthropic") -> Asked:
    return Asked(name, provider, f"model-{name}", messages=1, is_streaming=True)


def test_a_stream_is_the_guides_boxes():
    page, stream = Page(), Stream()
    page.log.opened(ASKED, stream.live)
    page.log.look(0)
    stream.text(*GUIDES_TEXT).call("Read")
    page.log.look(0.1)
    page.log.ended("r1", ENDED)
    page.log.look(0.2)
    assert page.take() == GUIDE
    assert page.log.is_idle


@given(st.lists(st.integers(0, 3), max_size=12))
def test_what_is_told_at_last_does_not_depend_on_when_one_looks(looks):
    page, stream, now = Page(), Stream(), 0.0
    page.log.opened(ASKED, stream.live)
    steps = [lambda: stream.text(GUIDES_TEXT[0]), lambda: stream.text(*GUIDES_TEXT[1:]), lambda: stream.call("Read")]
    for step, times in zip(steps, looks, strict=False):
        for _ in range(times):
            now += PATIENCE
            page.log.look(now)
        step()
    for step in steps[len(looks) :]:
        step()
    page.log.ended("r1", ENDED)
    page.log.look(now)
    assert page.take() == GUIDE


def test_text_is_told_before_its_answer_has_ended():
    page, stream = Page(), Stream()
    page.log.opened(ASKED, stream.live)
    stream.text("I'll help you debug")
    page.log.look(0)
    assert page.take().endswith("│ STREAMING from Anthropic\n│ 📝 I'll help you debug\n")
    stream.text(" that function. Let me")
    page.log.look(0.1)
    assert page.take() == "│ 📝  that function. Let me\n"


def test_small_pieces_that_come_at_once_are_one_line_and_empty_lines_are_none():
    page, stream = Page(), Stream()
    page.log.opened(ASKED, stream.live)
    stream.text("One", " two", " three", " four", " five", "\n\n", "six")
    page.log.look(0)
    assert page.take().splitlines()[-3:] == ["│ 📝 One two three four", "│ 📝  five", "│ 📝 six"]


def test_parallel_answers_are_told_one_after_the_other():
    page, one, two = Page(), Stream(), Stream()
    page.log.opened(asked("1"), one.live)
    page.log.opened(asked("2", "openai"), two.live)
    for _ in range(3):
        one.text("from the first answer")
        two.text("from the second answer")
        page.log.look(0)
    page.log.ended("2", ENDED)
    page.log.look(0)
    assert "second" not in "".join(page.lines)
    page.log.ended("1", ENDED)
    page.log.look(0)
    first, second = page.take().split("│ Model: model-2")
    assert (first.count("the first"), first.count("the second")) == (3, 0)
    assert (second.count("the first"), second.count("the second")) == (0, 3)


def test_who_is_silent_gives_up_the_floor_and_goes_on_under_its_name():
    page, one, two = Page(), Stream(), Stream()
    page.log.opened(asked("1"), one.live)
    one.text("the beginning of it")
    page.log.look(0)
    page.log.opened(asked("2"), two.live)
    page.log.ended("2", ENDED)
    page.log.look(PATIENCE / 2)
    assert "model-2" not in "".join(page.lines)
    page.log.look(PATIENCE)
    one.text("the end of the answer")
    page.log.ended("1", ENDED)
    page.log.look(PATIENCE)
    pause, rest = page.take().split("│ Model: model-2")
    assert "│ … continued below: request 1\n└" in pause
    assert rest.index("Stream ended") < rest.index(
        "│ STREAMING from Anthropic (continued)\n│ Request: 1, model-1\n│ 📝 the end of the answer"
    )


def test_who_is_silent_keeps_the_floor_while_nobody_else_wants_it():
    page, stream = Page(), Stream()
    page.log.opened(asked("1"), stream.live)
    stream.text("the beginning of it")
    page.log.look(0)
    page.log.look(100)
    stream.text("the end of the answer")
    page.log.look(100)
    assert page.take().count("┌") == 2


def test_answers_that_wait_are_left_out_beyond_a_limit_and_counted():
    page, holder = Page(), Stream()
    page.log.opened(asked("1"), holder.live)
    page.log.look(0)
    for number in range(2, 5):
        other = Stream().text("x" * (MAX_WAITING // 2))
        page.log.opened(asked(str(number)), other.live)
        page.log.ended(str(number), ENDED)
    page.log.ended("1", ENDED)
    page.log.look(0)
    text = page.take()
    assert "model-2" in text
    assert "model-4" not in text
    assert "… 2 answers are left out here" in text
    assert page.log.is_idle


def test_an_answer_in_json_has_a_box_of_its_own():
    page, stream = Page(), Stream()
    stream.live.response_headers = [("content-type", "application/json")]
    page.log.opened(Asked("r1", "openai", "gpt-5", messages=1), stream.live)
    blocks = [Block("text", "One.\nTwo."), Block("tool_call", "{}", "Read"), Block("image", "data:")]
    page.log.ended("r1", Answered("openai", status=200, usage=Usage(5, 2), finish_reason="stop", blocks=blocks))
    page.log.look(0)
    assert page.take().partition("\n\n")[2] == (
        f"{boxes.TOP}\n│ RESPONSE from OpenAI\n{boxes.MIDDLE}\n│ Status: 200\n│ 📝 One.\n│ 📝 Two.\n│ 🔧 Tool call: Read\n"
        f"│ 📊 Usage: input=5, output=2, total=7\n│ 🏁 Response ended: Stop\n{boxes.BOTTOM}\n\n"
    )


def test_a_failure_says_why():
    lines = boxes.end_lines(ASKED, Answered("anthropic", error="upstream_connect: no route\nto host"))
    assert lines == ["│ ❌ upstream_connect: no route", "│ ❌ to host", boxes.BOTTOM]


def test_an_answer_of_another_provider_says_whose_it_is():
    lines = boxes.end_lines(ASKED, Answered("openai", is_stream=True, finish_reason="stop"))
    assert lines[0] == "│ 🔀 Answered by: OpenAI"


def test_a_value_that_redaction_replaces_is_told_by_nobody_however_it_comes():
    page, stream = Page(redactor=Redactor(Policy())), Stream()
    page.log.opened(ASKED, stream.live)
    for index, piece in enumerate("Write to john.doe@corp-mail.org about the whole of it, john.doe@corp-mail.org"):
        stream.event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}})
        page.log.look(index / 10)
    page.log.ended("r1", ENDED)
    page.log.look(100)
    said = "".join(line[4:] for line in page.lines if line.startswith("│ 📝 "))
    assert said == "Write to [EMAIL] about the whole of it, [EMAIL]"


def test_debug_shows_headers_without_credentials_times_and_the_body_for_people():
    headers = [("user-agent", "x"), ("X-Api-Key", "sk-1"), ("x-my-token", "t-1")]
    target = "/v1/messages?beta=true"
    given = Asked("r1", "anthropic", "m", 1, target=target, headers=headers, body=b'{"model":"m","n":[1]}')
    lines = request_box(given, is_detailed=True)
    assert lines[3:] == [
        "│ POST /v1/messages?beta=true", "│ Model: m", "│ Messages: 1 message", "│ Request: r1", "│ Headers:",
        "│   user-agent: x", "│   X-Api-Key: ***", "│   x-my-token: ***", "│ Body:", "│   {", '│     "model": "m",',
        '│     "n": [', "│       1", "│     ]", "│   }", boxes.BOTTOM,
    ]  # fmt: skip
    answered = Answered("anthropic", duration_ms=2300.0, overhead_ms=0.42, provider_ms=2299.6, first_byte_ms=512.0)
    (times, _) = boxes.end_lines(ASKED, answered, is_detailed=True)
    assert times == "│ ⏱ Timing: total 2,300.0ms, overhead 0.4ms, provider 2,299.6ms, first byte 512.0ms"


@pytest.mark.parametrize("body", [b"\xff\x00 no JSON", b'"' + b"x" * (boxes.MAX_BODY + 98) + b'"'])
def test_a_body_that_is_no_json_or_long_is_shown_as_far_as_it_goes(body):
    lines = request_box(Asked("r", "p", body=body), is_detailed=True)
    assert sum(map(len, lines)) < boxes.MAX_BODY + 1000
    assert ("│   … 100 characters more" in lines) == (len(body) > 1000)


@given(st.text())
def test_no_text_is_obeyed_by_a_terminal(text):
    for line in boxes.words(text, "📝"):
        assert not {c for c in line if ord(c) < 32 and c != "\t"}
        assert not set(line) & {"\x7f", "\x9b", "\u2028", "\u202e", "\u2066", "\r"}


def test_sequences_of_a_terminal_are_seen_instead():
    assert harmless("\x1b[2J\x07 a\x9bb\u202ec\x7f") == "␛[2J␇ a\\u009bb\\u202ec␡"


@pytest.mark.parametrize(
    ("word", "shown"),
    [("end_turn", "EndTurn"), ("tool_calls", "ToolCalls"), ("stop", "Stop"), ("max_output_tokens", "MaxOutputTokens")],
)
def test_reasons_are_written_as_one_word(word, shown):
    assert reason(word) == shown


# -- the terminal --------------------------------------------------------------------------------------------------


def test_a_pipe_gets_lines_as_they_are():
    reader, writer = os.pipe()
    out = Terminal(writer)
    out.write(["│ ❌ Grüße \ud800"])
    out.close(10)
    assert os.read(reader, 1000).decode() == "│ ❌ Grüße ?\n"


@pytest.mark.parametrize(("no_color", "has_colours"), [("", True), ("1", False)])
def test_a_terminal_gets_colours_unless_it_wants_none(monkeypatch, no_color, has_colours):
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm")
    ours, theirs = pty.openpty()
    out = Terminal(theirs)
    out.write([*boxes.stream_title("anthropic"), "│ ❌ no"])
    out.close(10)
    text = os.read(ours, 10_000).decode()
    assert ("\x1b[1m STREAMING from Anthropic\x1b[0m" in text) == has_colours
    assert ("\x1b" in text) == has_colours


def test_who_reads_nothing_stops_nobody_and_is_told_how_much_is_missing():
    reader, writer = os.pipe()
    out = Terminal(writer, max_queued=100_000)
    for _ in range(1000):
        out.write(["x" * 999])
    found: list[bytes] = []
    thread = threading.Thread(target=lambda: found.extend(iter(lambda: os.read(reader, 1 << 16), b"")))
    thread.start()
    out.close(10)
    out.write(["the next"])
    out.close(10)
    os.close(writer)
    thread.join(10)
    text = b"".join(found)
    shown = text.count(b"x" * 999)
    assert f"… {1000 - shown:,} lines are left out here".encode() in text
    assert shown < 1000


def test_who_has_gone_is_written_to_no_more():
    reader, writer = os.pipe()
    os.close(reader)
    out = Terminal(writer)
    out.write(["one"])
    out.close(10)
    out.write(["two"])
    assert out._size == 0 or out._is_gone


def test_lines_of_boxes_alone_are_painted():
    assert terminal.painted("… 2 answers") == "… 2 answers"
