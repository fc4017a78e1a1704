"""What a request and an answer say, whatever dialect they were written in.

Parsers (one module per dialect, sans-io) turn bytes into these; recorder, pages and statistics read only these.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer, in classes that do not overlap, so that their sum is the total.

    ``input`` are prompt tokens neither read from nor written to a cache; ``output`` leaves out ``thinking``
    where the vendor reports that apart (OpenAI's ``reasoning_tokens``), else holds both.
    """

    input: int = 0
    output: int = 0
    thinking: int = 0
    cache_read: int = 0
    cache_creation_5m: int = 0
    cache_creation_1h: int = 0
    audio_input: int = 0  # part of the prompt, not counted in `input`
    audio_output: int = 0  # part of the answer, not counted in `output`

    @property
    def cache_creation(self) -> int:
        return self.cache_creation_5m + self.cache_creation_1h

    @property
    def total(self) -> int:
        return (
            self.input
            + self.output
            + self.thinking
            + self.cache_read
            + self.cache_creation
            + self.audio_input
            + self.audio_output
        )


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that the model asked for. ``arguments`` is the JSON text as it was sent, valid or not."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a client sent back for a tool call. ``text`` joins the textual parts."""

    id: str
    text: str
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """One piece of content, for pages and text exports.

    ``kind``: text, thinking, redacted_thinking, tool_call, tool_result, image, document, refusal, other.
    ``text`` is what a person reads (for tool_call: the arguments; for tool_result: its text).
    """

    kind: str
    text: str = ""
    name: str = ""  # tool name, media type
    id: str = ""  # tool call id
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a request (or the answer): role (system, user, assistant, tool) and its blocks."""

    role: str
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """Facts of a request body. Every field has a value for any input, broken JSON included."""

    # "model" where tokens are spent, "count_tokens", "models", "embeddings", "files", "batches", "other"
    kind: str
    model: str = ""
    is_streaming: bool = False
    system: str = ""  # the system prompt's text
    messages: tuple[Message, ...] = ()
    message_count: int = 0
    tool_count: int = 0
    tool_results: tuple[ToolResult, ...] = ()  # of all messages, in order
    user_text: str = ""  # the last words that a person wrote (no tool results, no <system-reminder> blocks)
    first_user_text: str = ""  # the first such words of the conversation: the title's source
    previous_response_id: str = ""  # Responses API
    error: str = ""  # why the body could not be understood, else ""


@dataclass(slots=True)
class Stream:
    """A block of an answer whose text comes in parts: text, thinking, or a tool call with its arguments."""

    kind: str
    name: str = ""  # of the tool
    parts: list[str] = field(default_factory=list)


@dataclass(slots=True)
class ResponseFacts:
    """Facts of an answer, complete or as far as it came."""

    response_id: str = ""
    model: str = ""
    usage: Usage = field(default_factory=Usage)
    finish_reason: str = ""  # the vendor's own word: end_turn, tool_use, stop, length, completed, …
    blocks: list[Block] = field(default_factory=list)  # text, thinking, tool calls, in order
    tool_calls: list[ToolCall] = field(default_factory=list)
    has_refusal: bool = False
    complete: bool = (
        False  # the answer came to its own end (message_stop, [DONE], response.completed, a whole JSON body)
    )
    error: str = ""  # the vendor's error as "type: message", from a JSON body or an event in the stream
    content: Any = None  # the answer as the vendor's non-streaming API would have given it, JSON-able

    @property
    def text(self) -> str:
        return "".join(b.text for b in self.blocks if b.kind == "text")

    @property
    def thinking_text(self) -> str:
        return "\n\n".join(b.text for b in self.blocks if b.kind == "thinking")
