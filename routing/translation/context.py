"""What a translation of a request leaves for the translation of its answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# The dialects: Anthropic Messages, OpenAI Chat Completions, OpenAI Responses.
MESSAGES, CHAT, RESPONSES = "anthropic", "openai-chat", "openai-responses"


class Untranslatable(Exception):
    """The request asks for what the other side cannot do, and leaving it out would change what it means.

    `field` is the path of what is in the way, such as ``n`` or ``messages[3].content[0]``.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Context:
    """Of one request: who speaks what, and what the answer's translation needs to know of it."""

    client: str  # the client's dialect
    provider: str  # the provider's dialect
    model: str  # as the provider is asked
    is_streaming: bool = False
    include_usage: bool = False  # a Chat client that wants usage at the end of its stream
    custom_tools: frozenset[str] = frozenset()  # tools of an OpenAI client that take free text (type "custom")
    tool_names: Mapping[str, str] = field(
        default_factory=dict
    )  # name that the provider knows → the client's, where they differ
    namespaces: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # (namespace, tool) by the one name
    estimated_input: int = 0  # tokens of the request, estimated, where a stream must say so before the provider does
    request: Mapping[str, Any] = field(default_factory=dict)  # the client's body: Responses answers repeat parts of it


@dataclass(frozen=True, slots=True)
class TranslatedRequest:
    """The request for the provider. `notes` say in words what was left out or changed, each with the field's name."""

    path: str  # below the provider's base address, with its /v1: "/v1/messages", …
    body: bytes
    context: Context
    notes: tuple[str, ...] = ()
