"""What happens to a translated stream when the translation itself fails."""

import asyncio
from types import SimpleNamespace

import pytest

from proxy.handler import UpstreamBroken
from proxy.relay import TranslatedRelay
from routing.translation.answers import StreamTranslator
from routing.translation.context import CHAT, MESSAGES, Context


class Answer:
    """A provider's answer: its chunks."""

    complete = upgraded = False

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = iter(chunks)

    async def __anext__(self) -> bytes:
        for chunk in self._chunks:
            return chunk
        self.complete = True
        raise StopAsyncIteration


class Exchange(SimpleNamespace):
    """What the relay knows of an exchange, and how it ended."""

    def __init__(self) -> None:
        super().__init__(capture=None, pump=None, chunks=0, first_out=0.0, chunk_in=0.0, response_bytes=0)
        self.target, self.ends = SimpleNamespace(name="other"), []

    def chunk(self, size: int) -> None:
        self.chunks += 1

    def abandon(self, error: str, message: str) -> None:
        self.ends.append((error, message))


class Faulty(StreamTranslator):
    """A translator with a mistake in it."""

    def __init__(self, step: str) -> None:
        super().__init__(Context(MESSAGES, CHAT, "m"), 0)
        self._step = step

    def feed(self, data: bytes) -> bytes:
        if self._step == "feed":
            raise ValueError("a mistake")
        return data

    def close(self, broken: bool) -> bytes:
        raise KeyError("a mistake")


@pytest.mark.parametrize(("step", "name"), [("feed", "ValueError"), ("close", "KeyError")])
def test_a_mistake_of_the_translation_is_logged_recorded_and_breaks_the_stream(step, name, caplog):
    exchange = Exchange()
    relay = TranslatedRelay(exchange, Answer(b"data: {}\n\n"), Faulty(step), "")

    async def read() -> list[bytes]:
        return [chunk async for chunk in relay]

    with pytest.raises(UpstreamBroken):
        asyncio.run(read())
    ((error, message),) = exchange.ends
    assert error == "internal"
    assert "other" in message
    assert name in message
    assert "could not be translated" in caplog.text
    assert "a mistake" in caplog.text
