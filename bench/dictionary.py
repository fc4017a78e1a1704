"""Trains the dictionary with which the record packs what is small: `python -m bench.dictionary NUMBER`.

What messages, answers, event streams and headers of the three dialects have in common, learnt from made-up
conversations whose words and code are this project's own. The record names dictionaries by number: a better one is a new
file beside the old ones, which stay.
"""

import asyncio
import json
import random
import sys
from pathlib import Path
from types import SimpleNamespace

import zstandard

from bench.conversations import REQUEST_HEADERS, Conversation, answer_headers
from tests.support import vendors

DICTIONARIES = Path(__file__).parent.parent / "sessions" / "dictionaries"
SIZE = 48 * 1024
PROMPT = "use the tool shell with {}"


class Sink:
    """Takes what the fake vendors answer."""

    def __init__(self, body: dict) -> None:
        self.data = b""
        self.request = SimpleNamespace(body=json.dumps(body).encode())
        self.upstream = SimpleNamespace(requests=[None] * random.randrange(1, 999_999))

    async def start_stream(self, *_: object) -> None:
        pass

    async def chunk(self, data: bytes) -> None:
        self.data += data

    async def end_stream(self) -> None:
        pass


def openai_streams(texts: list[str]) -> list[bytes]:
    """Event streams of both of OpenAI's dialects."""
    found = []
    for number, text in enumerate(texts):
        words = PROMPT.format(json.dumps({"command": ["bash", "-lc", "ls"]})) if number % 3 == 0 else text
        chat = Sink({})
        tool = {"type": "function", "function": {"name": "shell"}}
        body = {"model": "gpt-5", "stream": True, "messages": [{"role": "user", "content": words}], "tools": [tool]}
        asyncio.run(vendors.chat(chat, body))
        responses = Sink({})
        body = {
            "model": "gpt-5-codex",
            "stream": True,
            "input": words,
            "tools": [{"type": "function", "name": "shell"}],
        }
        asyncio.run(vendors.responses(responses, body))
        for data in (chat.data, responses.data):
            # The vendors write JSON without spaces.
            lines = [
                b"data: " + json.dumps(json.loads(line[6:]), separators=(",", ":")).encode()
                if line[:7] == b"data: {"
                else line
                for line in data.split(b"\n")
            ]
            found.append(b"\n".join(lines))
    return found


def samples() -> list[bytes]:
    """What there is to learn from."""
    found, texts = [], []
    own = DICTIONARIES.parent.parent
    for number in range(40):
        conversation = Conversation(
            number, 3000, 2500, root=own, packages=("proxy", "sessions", "lunaroute_site", "tests")
        )
        for place, turn in enumerate(conversation.turns(20)):
            found.append(b"".join(turn.events))
            headers = [*REQUEST_HEADERS, ("content-length", str(len(turn.body)))]
            found += [json.dumps(pairs, separators=(",", ":")).encode() for pairs in (headers, answer_headers(place))]
        for message in conversation.messages:
            found.append(json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode())
            texts += [block["text"] for block in message["content"] if block["type"] == "text"]
    return found + openai_streams(texts[:300])


if __name__ == "__main__":
    random.seed(1)
    target = DICTIONARIES / f"{sys.argv[1]}.zdict"
    target.write_bytes(zstandard.train_dictionary(SIZE, samples(), level=3, steps=4).as_bytes())
    print(f"{target}: {target.stat().st_size} bytes")
