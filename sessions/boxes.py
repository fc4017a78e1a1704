"""Facts of an exchange as the boxes of the request log: lines of text, without colours and without line ends."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import orjson

from routing.credentials import names_a_credential
from routing.heads import Pairs
from sessions.dialects.facts import Block, Usage

RULE = "─" * 57
TOP, MIDDLE, BOTTOM = f"┌{RULE}", f"├{RULE}", f"└{RULE}"
# Characters of a body that are shown.
MAX_BODY = 256 << 10

_NAMES = {"anthropic": "Anthropic", "openai": "OpenAI"}
# How a kind of block is marked; others are not shown.
_MARKS = {"text": "📝", "thinking": "💭", "refusal": "🚫"}

# What a terminal would obey or show in another place: control characters, and those that turn the direction of text.
_OBEYED = [*range(0x20), *range(0x7F, 0xA0), 0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)]
_HARMLESS = {number: chr(0x2400 + number) if number < 0x20 else f"\\u{number:04x}" for number in _OBEYED}
_HARMLESS |= {0x7F: "␡", ord("\t"): "\t"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request. `headers` are without credentials, `target` is path and query, `body` is as it is stored."""

    request_id: str
    provider: str
    model: str = ""
    messages: int = 0
    is_streaming: bool = False
    is_model: bool = True  # it makes a model speak
    method: str = "POST"
    target: str = ""
    headers: Pairs | tuple = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Answered:
    """How an answer ended. `blocks` is what a JSON answer says, empty for a stream; times are milliseconds."""

    provider: str
    is_stream: bool = False
    status: int | None = None
    usage: Usage = field(default_factory=Usage)
    finish_reason: str = ""
    error: str = ""
    blocks: Sequence[Block] = ()
    headers: Pairs | tuple = ()
    duration_ms: float | None = None
    overhead_ms: float | None = None
    provider_ms: float | None = None
    first_byte_ms: float | None = None


def harmless(text: str) -> str:
    """Give text in one line that no terminal obeys."""
    return text.translate(_HARMLESS)


def name_of(provider: str) -> str:
    """Name a provider as people do."""
    return _NAMES.get(provider) or harmless(provider)


def words(text: str, mark: str) -> list[str]:
    """Give text behind `mark`; an end of line begins another, empty ones are left out."""
    return [f"│ {mark} {harmless(line)}" for line in re.split(r"\r\n|[\n\r]", text) if line]


def request_box(asked: Asked, is_detailed: bool = False) -> list[str]:
    """Give the box of a request; with `is_detailed`, its headers and its body as well."""
    out = [TOP, f"│ REQUEST to {name_of(asked.provider)}{' (streaming)' if asked.is_streaming else ''}", MIDDLE]
    if is_detailed or not asked.is_model:
        out.append(f"│ {harmless(asked.method)} {harmless(asked.target)}")
    if asked.model:
        out.append(f"│ Model: {harmless(asked.model)}")
    if asked.messages or asked.is_model:
        out.append(f"│ Messages: {asked.messages:,} message{'' if asked.messages == 1 else 's'}")
    if is_detailed:
        out.append(f"│ Request: {harmless(asked.request_id)}")
        out += _headers(asked.headers)
        out += _body(asked.body)
    return [*out, BOTTOM]


def stream_title(provider: str) -> list[str]:
    """Begin the box of a stream."""
    return [TOP, f"│ STREAMING from {name_of(provider)}"]


def resumed_title(asked: Asked, has_begun: bool) -> list[str]:
    """Begin the box of a stream apart from its request: it says whose it is."""
    out = [TOP, f"│ STREAMING from {name_of(asked.provider)}{' (continued)' if has_begun else ''}"]
    model = f", {harmless(asked.model)}" if asked.model else ""
    return [*out, f"│ Request: {harmless(asked.request_id)}{model}"]


def paused(asked: Asked) -> list[str]:
    """End the box of a stream that goes on in another."""
    return [f"│ … continued below: request {harmless(asked.request_id)}", BOTTOM]


def tool_line(name: str) -> str:
    """Say that the model calls a tool."""
    return f"│ 🔧 Tool call: {harmless(name)}"


def text_lines(kind: str, text: str) -> list[str]:
    """Give a piece of a block's text; nothing for kinds that are not shown."""
    return words(text, _MARKS[kind]) if kind in _MARKS else []


def response_title(asked: Asked, answered: Answered, is_apart: bool) -> list[str]:
    """Begin the box of an answer that is no stream; `is_apart`: it does not follow its request."""
    out = [TOP, f"│ RESPONSE from {name_of(answered.provider)}", MIDDLE]
    if answered.status is not None:
        out.append(f"│ Status: {answered.status}")
    return [*out, f"│ Request: {harmless(asked.request_id)}"] if is_apart else out


def block_lines(blocks: Iterable[Block]) -> list[str]:
    """Give what the blocks of a JSON answer say."""
    out: list[str] = []
    for block in blocks:
        out += [tool_line(block.name)] if block.kind == "tool_call" else text_lines(block.kind, block.text)
    return out


def end_lines(asked: Asked, answered: Answered, is_detailed: bool = False) -> list[str]:
    """Give the end of an answer's box: usage, why it ended, and with `is_detailed` headers and times."""
    out: list[str] = []
    if answered.is_stream and answered.provider != asked.provider:
        out.append(f"│ 🔀 Answered by: {name_of(answered.provider)}")
    if answered.usage.total:
        out.append(f"│ 📊 Usage: {usage_text(answered.usage)}")
    if is_detailed:
        out += _headers(answered.headers)
        out += _times(answered)
    if answered.error:
        out += words(answered.error, "❌")
    elif answered.finish_reason:
        what = "Stream" if answered.is_stream else "Response"
        out.append(f"│ 🏁 {what} ended: {reason(answered.finish_reason)}")
    return [*out, BOTTOM]


def reason(word: str) -> str:
    """Give a vendor's word for why an answer ended: end_turn is EndTurn."""
    return harmless("".join(part[:1].upper() + part[1:] for part in re.split(r"[_\-\s]+", word)))


def usage_text(usage: Usage) -> str:
    """Give tokens by class, without those classes that are seldom there and are not."""
    classes = [("input", usage.input), ("output", usage.output)]
    more = (
        ("thinking", usage.thinking),
        ("cache_read", usage.cache_read),
        ("cache_write", usage.cache_creation),
        ("audio", usage.audio_input + usage.audio_output),
    )
    classes += [(name, count) for name, count in more if count]
    return ", ".join(f"{name}={count}" for name, count in (*classes, ("total", usage.total)))


def _headers(headers: Iterable[tuple[str, str]]) -> list[str]:
    shown = [
        f"│   {harmless(name)}: {'***' if names_a_credential(name) else harmless(value)}" for name, value in headers
    ]
    return ["│ Headers:", *shown] if shown else []


def _times(answered: Answered) -> list[str]:
    named = (
        ("total", answered.duration_ms),
        ("overhead", answered.overhead_ms),
        ("provider", answered.provider_ms),
        ("first byte", answered.first_byte_ms),
    )
    times = [f"{name} {value:,.1f}ms" for name, value in named if value is not None]
    return [f"│ ⏱ Timing: {', '.join(times)}"] if times else []


def _body(body: bytes) -> list[str]:
    """Give a body as JSON for people, or as it is where it is none; its beginning where it is long."""
    if not body:
        return []
    try:
        text = orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2).decode()
    except (ValueError, TypeError):
        text = body.decode("utf-8", "replace")
    out = ["│ Body:", *(f"│   {harmless(line)}" for line in text[:MAX_BODY].split("\n"))]
    return out if len(text) <= MAX_BODY else [*out, f"│   … {len(text) - MAX_BODY:,} characters more"]
