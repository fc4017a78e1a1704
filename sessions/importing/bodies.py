"""Request bodies, put together again from a session's JSONL lines (docs/recording.md has their fields). Pure."""

from dataclasses import dataclass, field
from hashlib import blake2b, sha256
from typing import Any

import msgspec

from sessions.split import PARTS, WRAPPED, Parts, join

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_list = msgspec.json.Decoder(list[msgspec.Raw])


class Incomplete(ValueError):
    """The session's lines do not have all that a body needs."""


def _hash(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()


@dataclass(slots=True)
class Bodies:
    """What a session's lines have said so far: system prompts, tool lists, templates, and messages in their places."""

    contents: dict[str, bytes] = field(default_factory=dict)  # by their hash in hexadecimal
    places: dict[bytes, tuple[bytes, bytes, int]] = field(default_factory=dict)  # place → place before, message, depth

    def body(self, request_json: bytes, dialect: str, sha: str) -> tuple[bytes, bool]:
        """Give the body of a request, and whether it is byte for byte the one that was sent (by its SHA-256 `sha`).

        Where it cannot be put together, what the line has stands for it.
        """
        if sha == sha256(request_json).hexdigest():
            return request_json, True  # was not taken apart
        try:
            members = _object.decode(request_json)
            if set(members) == {"text"}:
                body = msgspec.json.decode(members["text"], type=str).encode()
            else:
                body = join(self._parts(members, dialect))
        except (ValueError, RecursionError, TypeError, KeyError, IndexError):
            return request_json, False
        return body, sha256(body).hexdigest() == sha

    def _parts(self, members: dict[str, msgspec.Raw], dialect: str) -> Parts:
        if dialect not in PARTS:
            raise Incomplete
        system, tools, messages = PARTS[dialect]
        hashes = msgspec.json.decode(members["hashes"], type=dict[str, str])
        if "template" in members:
            template = _bytes(msgspec.json.decode(members["template"]))
            self.contents[hashes["template"]] = msgspec.msgpack.encode(template)
        for part, name in (("system", system), ("tools", tools)):
            if part in hashes and name in members:
                self.contents[hashes[part]] = bytes(members[name])
        found = tuple(bytes(raw) for raw in _list.decode(members[messages])) if "leaf" in hashes else ()
        if found or "leaf" in hashes:
            first = msgspec.json.decode(members["messages_from"], type=int)
            found = (*self._before(first, found, bytes.fromhex(hashes["leaf"])), *found)
        patches = [
            (number, offset, mark.encode())
            for number, offset, mark in msgspec.json.decode(
                members.get("patches", b"[]"), type=list[tuple[int, int, str]]
            )
        ]
        wrapped = msgspec.json.decode(members.get("wrapped", b"[]"), type=list[int])
        return Parts(
            self._known(hashes, "template"), self._known(hashes, "system"), self._known(hashes, "tools"), found,
            (*patches, *((number, WRAPPED, b"") for number in wrapped)),
        )  # fmt: skip

    def _known(self, hashes: dict[str, str], part: str) -> bytes:
        if part not in hashes:
            return b""
        if hashes[part] not in self.contents:
            raise Incomplete
        return self.contents[hashes[part]]

    def _before(self, first: int, new: tuple[bytes, ...], leaf: bytes) -> list[bytes]:
        """Give the `first` messages that stand before `new`, such that the last of all has the place `leaf`."""
        starts = [b""] if not first else [place for place, (_, _, depth) in self.places.items() if depth == first]
        # The latest conversation is the likeliest.
        for start in reversed(starts):
            steps, place = [], start
            for message in new:
                before, place = place, _hash(place + _hash(message))
                steps.append((place, before, message))
            if place == leaf:
                for at, (key, before, message) in enumerate(steps, first + 1):
                    self.places[key] = (before, message, at)
                return self._path(start)
        raise Incomplete

    def _path(self, place: bytes) -> list[bytes]:
        found = []
        while place:
            place, message, _ = self.places[place]
            found.append(message)
        return found[::-1]


def _bytes(value: Any) -> Any:
    """A template's texts as bytes, in what is otherwise lists and numbers."""
    if isinstance(value, str):
        return value.encode()
    return [_bytes(item) for item in value] if isinstance(value, list) else value
