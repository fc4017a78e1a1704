"""The text of an answer that is under way, piece by piece, for those who watch it come. Sans-io."""

from dataclasses import dataclass

from pii.redactor import Redactor
from pii.streams import LiveText
from sessions.dialects.anthropic import AnthropicAnswer
from sessions.dialects.parsing import Answer, clean
from sessions.news import MAX_TEXT, Piece


@dataclass(slots=True)
class _Told:
    """What has been told of a block: parts of its text, characters of what they became."""

    parts: int = 0
    characters: int = 0
    text: LiveText | None = None
    is_complete: bool = False


class Cursor:
    """How far into one answer its text has been told. `restart` tells it from the beginning again.

    With a `redactor` the end of a block is held back for as long as a value could still reach across it.
    """

    def __init__(self, redactor: Redactor | None = None) -> None:
        self._redactor = redactor
        self._told: list[_Told] = []  # by block

    def restart(self) -> None:
        self._told = []

    def take(self, answer: Answer, limit: int = MAX_TEXT) -> list[Piece]:
        """Give what has come since the last time: about `limit` characters, the rest when it is asked again."""
        pieces: list[Piece] = []
        for index, stream in enumerate(answer.streams):
            is_new = index == len(self._told)
            if is_new:
                self._told.append(_Told(text=LiveText(self._redactor) if self._redactor else None))
            told = self._told[index]
            first, size = told.parts, 0
            while told.parts < len(stream.parts) and size < limit:
                size += len(stream.parts[told.parts])
                told.parts += 1
            text = clean("".join(stream.parts[first : told.parts]))
            if told.text is not None:
                # Anthropic's blocks come one after another; others may go on with an earlier one.
                is_over = isinstance(answer, AnthropicAnswer) and index + 1 < len(answer.streams)
                text = self._released(told, text, is_over and told.parts == len(stream.parts))
            if text or (is_new and stream.name):
                pieces.append(Piece(index, stream.kind, self._name(stream.name), told.characters, text))
            told.characters += len(text)
            limit -= size
            if limit <= 0:
                break
        return pieces

    def has_all(self, answer: Answer) -> bool:
        """Whether all that has come was taken; with a redactor, some of it may still be held back."""
        return len(self._told) == len(answer.streams) and all(
            told.parts == len(stream.parts) for told, stream in zip(self._told, answer.streams, strict=True)
        )

    def held(self, answer: Answer) -> list[Piece]:
        """Give what is held back of what was taken: nothing follows."""
        pieces: list[Piece] = []
        for index, (told, stream) in enumerate(zip(self._told, answer.streams, strict=False)):
            if told.text is not None and not told.is_complete:
                told.is_complete = True
                if text := told.text.flush():
                    pieces.append(Piece(index, stream.kind, self._name(stream.name), told.characters, text))
                    told.characters += len(text)
        return pieces

    def _released(self, told: _Told, text: str, is_complete: bool) -> str:
        if told.is_complete:
            return ""
        told.is_complete = is_complete
        released = told.text.feed(text) if text else ""
        return released + told.text.flush() if is_complete else released

    def _name(self, name: str) -> str:
        return self._redactor.text(name) if self._redactor else name
