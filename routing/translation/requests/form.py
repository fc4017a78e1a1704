"""A request in no vendor's words: what all three dialects can say, and what each needs to be told of it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import msgspec

from routing.translation.context import Untranslatable

encode = msgspec.json.Encoder().encode

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
# Notes beyond these say nothing new.
MAX_NOTES = 40


@dataclass(slots=True)
class Text:
    text: str


@dataclass(slots=True)
class Image:
    """By address, or as base64 (then `media` is its type)."""

    url: str = ""
    data: str = ""
    media: str = ""
    detail: str = ""

    def address(self) -> str:
        """Give it as an address, which may be one of data."""
        return self.url or f"data:{self.media};base64,{self.data}"


@dataclass(slots=True)
class Document:
    """A file: by address, as base64, or as text."""

    url: str = ""
    data: str = ""
    media: str = "application/pdf"
    text: str = ""
    name: str = ""


@dataclass(slots=True)
class Thinking:
    """What a model thought, with its vendor's own state: Anthropic's signature or redacted data, OpenAI's encrypted item."""

    text: str = ""
    signature: str = ""
    redacted: str = ""
    item_id: str = ""
    encrypted: str = ""

    @property
    def is_bare(self) -> bool:
        """Whether it comes without any vendor's state: of a server that tells thoughts as plain text."""
        return not (self.signature or self.redacted or self.encrypted)


@dataclass(slots=True)
class Call:
    """A call of a tool. `arguments` is JSON, or free text where `is_custom`."""

    id: str
    name: str
    arguments: str
    is_custom: bool = False


@dataclass(slots=True)
class Result:
    """What a call brought."""

    id: str
    parts: list[Any]  # Text, Image, Document
    is_error: bool = False
    is_custom: bool = False


@dataclass(slots=True)
class Turn:
    """One message. Roles: user, assistant, system (anywhere in the conversation)."""

    role: str
    parts: list[Any]


@dataclass(slots=True)
class Tool:
    name: str
    description: str
    schema: Any
    strict: bool | None = None
    is_custom: bool = False


@dataclass(slots=True)
class Form:
    """The request."""

    system: list[str] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)
    tool_choice: str = ""  # auto, any, none, or "=name"; "": not said
    parallel: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: list[str] = field(default_factory=list)
    effort: str = ""  # one of abilities.EFFORTS
    budget: int | None = None  # tokens to think with
    thinks: bool | None = None  # None: not said
    json_schema: Any = None
    json_name: str = ""
    json_strict: bool | None = None
    json_any: bool = False  # any JSON object
    verbosity: str = ""
    is_streaming: bool = False
    include_usage: bool = False
    user: str = ""
    session: str = ""
    shared: dict[str, Any] = field(default_factory=dict)  # fields that both of OpenAI's APIs have
    namespaces: dict[str, tuple[str, str]] = field(default_factory=dict)  # (namespace, tool) by the one name
    notes: dict[str, None] = field(default_factory=dict)  # in order, each once

    def note(self, field_name: str, what: str) -> None:
        """Say that a field was left out or changed."""
        if len(self.notes) < MAX_NOTES:
            self.notes[f"{field_name}: {what}"] = None

    def settle_choice(self) -> None:
        """Let the model choose where the tool that it was to call is not among its tools, which vendors refuse."""
        name = self.tool_choice.removeprefix("=")
        if name != self.tool_choice and self.tools and all(tool.name != name for tool in self.tools):
            self.note("tool_choice", f"it is auto, as there is no tool {name[:64]}")
            self.tool_choice = "auto"


def items(value: Any, place: str) -> list[Any]:
    """Give a list, or refuse what is none."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise Untranslatable(place, "expected a list")
    return value


def mapping(value: Any, place: str) -> dict[str, Any]:
    """Give an object, or refuse what is none."""
    if not isinstance(value, dict):
        raise Untranslatable(place, "expected an object")
    return value


def text_of(value: Any, place: str) -> str:
    """Give a text, or refuse what is none; None is empty."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Untranslatable(place, "expected a text")
    return value


def number_of(value: Any, place: str) -> Any:
    """Give a number or None, or refuse what is neither."""
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise Untranslatable(place, "expected a number")


def role_of(form: Form, value: Any, place: str) -> str:
    """Give who speaks as `Turn` has it; someone unknown is a user, and noted."""
    role = text_of(value, place)
    if role in ("user", "assistant", "system"):
        return role
    if role == "developer":
        return "system"
    form.note(place, f"{role[:20] or 'nobody'} is taken for the user")
    return "user"


def texts_of(value: Any, place: str) -> list[str]:
    """Give a text or a list of texts as a list."""
    if isinstance(value, str):
        return [value]
    return [text_of(item, place) for item in items(value, place)]


def dropped(form: Form, body: Mapping[str, Any], names: Iterable[str], why: str = "has no counterpart") -> None:
    """Note the fields among `names` that the request has and the translation leaves out."""
    for name in names:
        if body.get(name) not in (None, [], {}, False, ""):
            form.note(name, f"left out, it {why}")


def image_of(url: str, detail: str = "") -> Image:
    """Give an image by its address, which may be one of data."""
    if not url.startswith("data:"):
        return Image(url=url, detail=detail)
    head, found, data = url.partition(";base64,")
    if not found:
        return Image(url=url, detail=detail)
    return Image(data=data, media=head[5:].partition(";")[0].lower(), detail=detail)


def document_of(file_data: str, name: str) -> Document:
    """Give a file by its data, which may be an address of data or base64 alone."""
    found = image_of(file_data)
    return Document(data=found.data or found.url, media=found.media or "application/pdf", name=name)


def call_id(id: str) -> str:
    """Give an id that every vendor takes; the same for the same."""
    return id if _ID.match(id) else "call_" + blake2b(id.encode("utf-8", "replace"), digest_size=12).hexdigest()


def tool_name(name: str) -> str:
    """Give a tool's name that every vendor takes; the same for the same."""
    if _NAME.match(name):
        return name
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:50] or "tool"
    return f"{plain}_{blake2b(name.encode('utf-8', 'replace'), digest_size=5).hexdigest()}"


def result_text(result: Result) -> str:
    """Give a result's text, telling a failure where no field does."""
    text = "\n".join(part.text for part in result.parts if isinstance(part, Text))
    if result.is_error and not text.lstrip().lower().startswith(("error", "<tool_use_error>")):
        text = f"Error: {text}"
    return text


def object_of(arguments: str) -> Any:
    """Give a call's arguments as an object, whatever they are."""
    try:
        value = msgspec.json.decode(arguments) if arguments.strip() else {}
    except (ValueError, RecursionError):
        return {"input": arguments}
    return value if isinstance(value, dict) else {"input": value}
