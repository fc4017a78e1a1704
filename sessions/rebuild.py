"""Request bodies, byte for byte, from a session's JSONL lines alone."""

from base64 import b64decode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import msgspec

from sessions import saying
from sessions.dialects.parsing import loads
from sessions.split import PARTS, RULE, WRAPPED, Parts, join, place_after

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_list = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body. ``is_exact``: it has the SHA-256 that the line names; else it is as near as the lines allow."""

    request_id: str
    data: bytes
    is_exact: bool


@dataclass(slots=True)
class Rebuilder:
    """Takes the lines of one session in their order."""

    _parts: dict[str, bytes] = field(default_factory=dict)  # system prompts, tool lists, templates by hash
    _messages: dict[bytes, tuple[bytes, bytes]] = field(default_factory=dict)  # place → place before it, message
    _dialects: dict[str, str] = field(default_factory=dict)  # request id → dialect
    _said: dict[str, list[bytes]] = field(default_factory=dict)  # request id → messages that its answer became
    _hashes: dict[str, str] = field(default_factory=dict)  # of the latest request
    _mark: str = ""  # the latest cache mark

    def feed(self, line: bytes) -> Body | None:
        """Take a line, without or with its end. Gives the body of a ``request_recorded``; raises ValueError for what
        is no line of a session, or names what no line before it has."""
        members = {name: bytes(value) for name, value in _members.decode(line).items()}
        kind, request_id = loads(members.get("type", b"null")), loads(members.get("request_id", b"null"))
        if not isinstance(kind, str) or not isinstance(request_id, str):
            raise ValueError("no line of a session: it has no type, or no request_id")
        if kind == "response_recorded" and request_id in self._dialects:
            answer = loads(members.get("response_json", b"null"))
            self._said[request_id] = saying.messages(self._dialects[request_id], answer)
        if kind != "request_recorded":
            return None
        digest = loads(members.get("body_sha256", b"null"))
        self._dialects[request_id] = loads(members.get("dialect", b'""'))
        try:
            data = self._split(members) if loads(members.get("is_split", b"true")) else _whole(members, digest)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ValueError(f"the body of {request_id} cannot be put together: {error!r}") from None
        return Body(request_id, data, sha256(data).hexdigest() == digest)

    def _split(self, line: dict[str, bytes]) -> bytes:
        names = PARTS[loads(line["dialect"])]
        members = {name: bytes(value) for name, value in _members.decode(line["request_json"]).items()}
        hashes, exact = self._named(loads(members["hashes"])), loads(members.get("exact", b"{}"))
        for part, name in (("system", names[0]), ("tools", names[1])):
            if part in hashes and name in members:
                self._parts[hashes[part]] = exact[part].encode() if part in exact else members[name]
        if "template" in members:
            self._parts[hashes["template"]] = msgspec.msgpack.encode(_bytes(loads(members["template"])))
        patches = [self._patch(*patch) for patch in loads(members.get("patches", b"[]"))]
        for entry in loads(members.get("wrapped", b"[]")):
            patches.append((RULE, WRAPPED, entry.encode()) if isinstance(entry, str) else (entry, WRAPPED, b""))
        if hashes.get("leaf") or (hashes.get("same") and "messages_from" in members):
            hashes["leaf"] = self._take_messages(members, names[2], hashes, exact)
        return join(Parts(
            template=self._parts[hashes["template"]],
            system=self._parts[hashes["system"]] if hashes.get("system") else b"",
            tools=self._parts[hashes["tools"]] if hashes.get("tools") else b"",
            messages=self._chain(bytes.fromhex(hashes.get("leaf", ""))),
            patches=tuple(patches),
        ))  # fmt: skip

    def _named(self, hashes: dict[str, Any]) -> dict[str, str]:
        """Add to what a line names what it has as the request before it."""
        if hashes.get("same"):
            before = self._hashes
            hashes = {**before, "after": before.get("leaf", ""), "leaf": "", **hashes}
        self._hashes = hashes
        return hashes

    def _patch(self, number: int, offset: int, mark: str | None = None) -> tuple[int, int, bytes]:
        self._mark = self._mark if mark is None else mark
        return number, offset, self._mark.encode()

    def _take_messages(self, members: dict[str, bytes], name: str, hashes: dict, exact: dict[str, str]) -> str:
        """Note a request's new messages, each at its place. Gives the place of its last message."""
        spelled = _list.decode(members[name])
        said = {number: self._said[request_id][form] for number, request_id, form in loads(members.get("said", b"[]"))}
        first, place = loads(members["messages_from"]), bytes.fromhex(hashes.get("after", ""))
        remaining = iter(spelled)
        for number in range(first, first + len(spelled) + len(said)):
            message = said[number] if number in said else bytes(next(remaining))
            if str(number) in exact:
                message = exact[str(number)].encode()
            before, place = place, place_after(place, message)[1]
            self._messages[place] = (before, message)
        return place.hex()

    def _chain(self, place: bytes) -> tuple[bytes, ...]:
        found = []
        while place:
            place, message = self._messages[place]
            found.append(message)
        return tuple(found[::-1])


def _whole(line: dict[str, bytes], digest: object) -> bytes:
    if encoded := loads(line.get("body_base64", b"null")):
        return b64decode(encoded)
    request = line["request_json"]
    return b"" if request == b"null" and digest == sha256(b"").hexdigest() else request


def _bytes(value: Any) -> Any:
    """Text as bytes, in what is otherwise lists and numbers."""
    if isinstance(value, str):
        return value.encode()
    return [_bytes(item) for item in value] if isinstance(value, list) else value


def bodies(lines: Iterable[bytes]) -> Iterator[Body]:
    """Give the request bodies of a session's lines, in their order."""
    rebuilder = Rebuilder()
    for line in lines:
        body = rebuilder.feed(line)
        if body is not None:
            yield body
