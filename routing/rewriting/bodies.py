"""A request's body with other values in some places. All that is not named keeps its bytes, and its place."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from routing.rewriting.spans import NotAnObject, Span, items, members, replaced, string_at

# Where a dialect keeps its conversation.
MESSAGES_OF = {"anthropic": "messages", "openai-chat": "messages", "openai-responses": "input"}
encode = msgspec.json.Encoder().encode

# What every client's body begins with.
_MODEL_FIRST = re.compile(rb'\s*\{\s*"model"\s*:\s*"([^"\\\x00-\x1f\x80-\xff]*)"\s*[,}]')


class _Model(msgspec.Struct):
    model: object = None


_model = msgspec.json.Decoder(_Model)


class CannotRewrite(Exception):
    """Why a body cannot be changed, in words."""


def peek_model(body: bytes) -> str:
    """Give the model that a request's body names, or an empty text. `body` may be anything."""
    found = _MODEL_FIRST.match(body)
    if found is not None:
        return found.group(1).decode("ascii")
    if not body.lstrip(b" \t\r\n").startswith(b"{"):
        return ""
    try:
        value = _model.decode(body).model
    except (ValueError, RecursionError):
        return ""
    return value if isinstance(value, str) else ""


class Body:
    """One body under change. `apply` gives the changed bytes. Raises CannotRewrite for what is no JSON object."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        try:
            self._members = members(text)
        except NotAnObject:
            raise CannotRewrite("it is no JSON object") from None
        self._edits: list[tuple[Span, bytes]] = []
        self._added: list[bytes] = []
        self.changes: list[str] = []

    def span(self, key: str) -> Span | None:
        """Give the span of a member's value; of one that stands twice the last, which counts."""
        return next((value for name, _, value in reversed(self._members) if name == key), None)

    def set(self, key: str, value: bytes) -> None:
        """Give a member that value (JSON)."""
        spans = [span for name, _, span in self._members if name == key]
        if not spans:
            self._added.append(encode(key) + b":" + value)
        self._edits += [(span, value) for span in spans]

    def prepend(self, dialect: str, messages: Sequence[bytes]) -> None:
        """Put messages (JSON) in front of the conversation. Raises CannotRewrite where it has none."""
        key = MESSAGES_OF.get(dialect, "")
        span = self.span(key)
        if span is None:
            raise CannotRewrite(f"it has no {key or 'messages'}")
        start, end = span
        said = string_at(self._text, span) if dialect == "openai-responses" else None
        if said is not None:
            messages = [*messages, encode({"type": "message", "role": "user", "content": said})]
            self._edits.append((span, b"[" + b",".join(messages) + b"]"))
            return
        if self._text[start : start + 1] != b"[":
            raise CannotRewrite(f"its {key} is no list")
        joined = b",".join(messages) + (b"," if items(self._text, start, end) else b"")
        self._edits.append(((start + 1, start + 1), joined))

    def prepend_system(self, text: str) -> None:
        """Put a text in front of Anthropic's system prompt."""
        span = self.span("system")
        if span is None:
            self.set("system", encode(text))
            return
        said = string_at(self._text, span)
        if said is not None:
            self._edits.append((span, encode(f"{text}\n\n{said}")))
        elif self._text[span[0] : span[0] + 1] == b"[":
            block = encode({"type": "text", "text": text})
            block += b"," if items(self._text, *span) else b""
            self._edits.append(((span[0] + 1, span[0] + 1), block))
        else:
            self.set("system", encode(text))

    def apply(self) -> bytes:
        """Give the body with all changes."""
        edits = list(self._edits)
        if self._added:
            # Behind the opening brace, where a new member needs no comma in front.
            at = self._text.index(b"{") + 1
            joined = b",".join(self._added) + (b"," if self._members else b"")
            edits.append(((at, at), joined))
        return replaced(self._text, edits) if edits else self._text


def filled(value: Any, fill: Callable[[str], str]) -> Any:
    """Give a value of the configuration with the templates in its texts filled in."""
    if isinstance(value, str):
        return fill(value) if "${" in value else value
    if isinstance(value, Mapping):
        return {key: filled(item, fill) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [filled(item, fill) for item in value]
    return value


def message_for(dialect: str, message: Mapping[str, Any]) -> bytes:
    """Give a configured message (role, content) as the dialect has it."""
    content = message["content"]
    if dialect == "openai-responses":
        kind = "output_text" if message["role"] == "assistant" else "input_text"
        if not isinstance(content, str):
            content = [{**block, "type": kind} if block.get("type") == "text" else dict(block) for block in content]
        return encode({"type": "message", "role": message["role"], "content": content})
    return encode({"role": message["role"], "content": content})


def text_of(content: Any) -> str:
    """Give the text of a configured message's content."""
    if isinstance(content, str):
        return content
    return "\n\n".join(block["text"] for block in content if isinstance(block.get("text"), str))
