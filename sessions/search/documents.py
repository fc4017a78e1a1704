"""What is searched: the texts of a session's messages and answers, by who speaks. Each text is a document, or some."""

from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Any

from routing.people import words
from sessions.dialects.facts import Block, Message
from sessions.dialects.messages import blocks_of_answer, parse_message
from sessions.dialects.parsing import loads


class Kind(IntEnum):
    """Who speaks, the most telling first: a session's documents are in this order."""

    TITLE = 0
    PERSON = 1
    ANSWER = 2
    ERROR = 3
    CALL = 4
    THINKING = 5
    RESULT = 6


# How much a match tells about its session.
WEIGHTS = {
    Kind.TITLE: 4.0, Kind.PERSON: 3.0, Kind.ANSWER: 1.5, Kind.ERROR: 1.5, Kind.CALL: 1.0, Kind.THINKING: 0.8, Kind.RESULT: 0.6,
}  # fmt: skip

# A document's id: its session's primary key, its kind, its number among the session's documents.
KIND_BITS, NUMBER_BITS = 3, 21
SESSION_BITS = KIND_BITS + NUMBER_BITS
MAX_DOCUMENTS = 1 << NUMBER_BITS


def id_of(session: int, kind: Kind, number: int) -> int:
    """Give the id of a document."""
    return session << SESSION_BITS | kind << NUMBER_BITS | number


def session_of(document: int) -> int:
    """Give the primary key of a document's session."""
    return document >> SESSION_BITS


def kind_of(document: int) -> Kind:
    """Give a document's kind."""
    return Kind(document >> NUMBER_BITS & (1 << KIND_BITS) - 1)


_OF_ASSISTANT = {"text": Kind.ANSWER, "refusal": Kind.ANSWER, "thinking": Kind.THINKING, "tool_call": Kind.CALL}

Texts = dict[Kind, str]


def texts_of_message(dialect: str, raw: bytes) -> Texts:
    """Give the texts of a stored message by their kind. System prompts have none."""
    return texts_of(parse_message(dialect, raw)) if dialect else {}


def texts_of(*messages: Message) -> Texts:
    """Give the texts of messages by their kind."""
    return _gathered(pair for message in messages for pair in _spoken(message))


def texts_of_answer(dialect: str, answer: Any) -> Texts:
    """Give the texts of an answer, as the vendor's API gives it without streaming, by their kind."""
    return _gathered(_of_assistant(blocks_of_answer(dialect, answer)))


def _gathered(pairs: Iterable[tuple[Kind, str]]) -> Texts:
    found: dict[Kind, list[str]] = {}
    for kind, text in pairs:
        if text:
            found.setdefault(kind, []).append(text)
    return {kind: "\n".join(texts) for kind, texts in found.items()}


def _spoken(message: Message) -> Iterator[tuple[Kind, str]]:
    if message.role == "system":
        return
    for block in message.blocks:
        if block.kind == "tool_result":
            yield Kind.RESULT, block.text
        elif message.role == "assistant":
            yield from _of_assistant((block,))
        elif block.kind == "text":
            yield Kind.PERSON, words(block.text)


def _of_assistant(blocks: Iterable[Block]) -> Iterator[tuple[Kind, str]]:
    for block in blocks:
        kind = _OF_ASSISTANT.get(block.kind)
        if kind is Kind.CALL:
            yield kind, f"{block.name}\n{plain_arguments(block.text)}"
        elif kind is not None:
            yield kind, block.text
        elif block.kind == "tool_result":  # of a tool that the provider runs itself
            yield Kind.RESULT, block.text


def plain_arguments(arguments: str) -> str:
    """Give a call's arguments with their texts as they are: an escaped line end must not look like an `n`."""
    if "\\" not in arguments:
        return arguments
    value = loads(arguments)
    return "\n".join(_leaves(value)) if isinstance(value, dict | list) else arguments


def _leaves(value: Any) -> Iterator[str]:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            for name, child in reversed(item.items()):
                stack += (child, f"{name}:") if isinstance(child, dict | list) else (f"{name}: {child}",)
        elif isinstance(item, list):
            stack += reversed(item)
        else:
            yield str(item)
