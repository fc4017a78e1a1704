"""An answer in no vendor's words: a short run of events, in which one block is open at a time."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

TEXT, THINKING, REFUSAL, CALL = "text", "thinking", "refusal", "call"
# Why an answer ended.
STOP, LENGTH, TOOLS, SEQUENCE, REFUSED, PAUSE = "stop", "length", "tools", "sequence", "refused", "pause"
BROKE_OFF = "The provider's answer broke off before it was complete."


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens in classes that do not overlap, but for `thinking`, which is part of `output`."""

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    thinking: int = 0

    @property
    def prompt(self) -> int:
        return self.input + self.cache_read + self.cache_write


@dataclass(frozen=True, slots=True)
class Start:
    id: str
    model: str


@dataclass(frozen=True, slots=True)
class Open:
    """A block begins. `id` and `name` are a call's."""

    kind: str
    id: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Delta:
    """More of the open block."""

    text: str


@dataclass(frozen=True, slots=True)
class State:
    """The vendor's own state of the open block of thinking: what it signed, encrypted or redacted."""

    signature: str = ""
    redacted: str = ""
    item_id: str = ""
    encrypted: str = ""


@dataclass(frozen=True, slots=True)
class Close:
    """The open block ends."""


@dataclass(frozen=True, slots=True)
class Ping:
    """The provider keeps the connection alive."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Why the answer ended. Its last event is an End."""

    reason: str
    sequence: str | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    """What the answer took. A provider may not say."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class End:
    pass


@dataclass(frozen=True, slots=True)
class Failure:
    """The provider says that it failed."""

    message: str
    status: int = 500


Event = Start | Open | Delta | State | Close | Ping | Stop | Spent | End | Failure

# Types and codes of errors inside a stream, and the status that each would have had before it.
_STATUSES = {
    "overloaded_error": 529, "server_is_overloaded": 529, "slow_down": 529, "rate_limit_error": 429,
    "rate_limit_exceeded": 429, "context_length_exceeded": 400, "invalid_prompt": 400, "invalid_request_error": 400,
    "invalid_api_key": 401, "authentication_error": 401, "insufficient_quota": 402, "billing_error": 402,
    "permission_error": 403, "not_found_error": 404, "request_too_large": 413, "timeout_error": 504,
}  # fmt: skip


def failure_of(error: Any) -> Failure:
    """Read an error of any vendor: an object, or what it says."""
    if isinstance(error, str):
        return Failure(error or "the provider failed")
    error = mapping(error)
    kind, code = text_of(error.get("type")), error.get("code")
    status = _STATUSES.get(text_of(code)) or _STATUSES.get(kind, 500)  # a code says more than a type
    if isinstance(code, int) and 400 <= code < 600:  # gateways give the HTTP status
        status = code
    return Failure(text_of(error.get("message")) or kind or text_of(code) or "the provider failed", status)


def block_events(kind: str, text: str, id: str = "", name: str = "", state: State | None = None) -> Iterable[Event]:
    """Give a whole block's events."""
    yield Open(kind, id, name)
    if text:
        yield Delta(text)
    if state is not None:
        yield state
    yield Close()


def arguments_of(value: Any) -> str:
    """Give a call's arguments as JSON: some servers give an object."""
    return msgspec.json.encode(value).decode() if isinstance(value, dict) else text_of(value)


def call_id(given: str, answer: str, number: int) -> str:
    """Give a call's id. Not all servers give one, and a conversation must not have it twice."""
    return given or f"call_{answer or 'lunaroute'}_{number}"


def count(value: Any) -> int:
    """Give a number of tokens, whatever stands there."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def mapping(value: Any) -> dict[str, Any]:
    """Give an object, an empty one where there is none."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """Give a list's objects, none where there is none."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text_of(value: Any) -> str:
    """Give a text, an empty one where there is none."""
    return value if isinstance(value, str) else ""
