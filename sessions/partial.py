"""The text of an answer that is under way, piece by piece, for those who watch it come. Sans-io."""

from sessions.dialects.parsing import Answer, clean
from sessions.news import MAX_TEXT, Piece


class Cursor:
    """How far into one answer its text has been told. `restart` tells it from the beginning again."""

    def __init__(self) -> None:
        self._told: list[tuple[int, int]] = []  # for each block: parts, characters

    def restart(self) -> None:
        self._told = []

    def take(self, answer: Answer, limit: int = MAX_TEXT) -> list[Piece]:
        """Give what has come since the last time: about `limit` characters, the rest when it is asked again."""
        pieces: list[Piece] = []
        for index, stream in enumerate(answer.streams):
            names_tool = False
            if index == len(self._told):
                self._told.append((0, 0))
                names_tool = bool(stream.name)
            parts, offset = self._told[index]
            last = parts
            size = 0
            while last < len(stream.parts) and size < limit:
                size += len(stream.parts[last])
                last += 1
            text = clean("".join(stream.parts[parts:last]))
            self._told[index] = (last, offset + len(text))
            if text or names_tool:
                pieces.append(Piece(index, stream.kind, stream.name, offset, text))
            limit -= size
            if limit <= 0:
                break
        return release(pieces)


def release(pieces: list[Piece]) -> list[Piece]:
    """Give what of `pieces` may be shown now. All partial text passes here before it leaves the recorder.

    Redaction of text under way belongs here: it holds back the end of a block for as long as a detector could
    still match across it.
    """
    return pieces
