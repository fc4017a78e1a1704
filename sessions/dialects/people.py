"""Which words in a conversation a person wrote."""

from routing.people import words
from sessions.dialects.facts import Message


def words_of(messages: tuple[Message, ...]) -> tuple[str, str]:
    """Give the first and the last words that a person wrote in a conversation."""
    return _find(messages), _find(messages[::-1])


def _find(messages: tuple[Message, ...]) -> str:
    for message in messages:
        if message.role == "user":
            found = "\n".join(filter(None, (words(block.text) for block in message.blocks if block.kind == "text")))
            if found:
                return found
    return ""
