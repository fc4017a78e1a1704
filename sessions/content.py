"""Content by its hash: bytes go in once, however often they are sent."""

from collections.abc import Iterable, Mapping
from hashlib import blake2b

import msgspec
from django.db import connection

from sessions import bulk
from sessions.bulk import AT_ONCE
from sessions.dialects.messages import parse_message
from sessions.models import Blob
from sessions.packing import pack, unpack

# Beside the codecs of sessions.packing: the text of a tool's result, which stands in a message that is stored.
RESULT = 3
# A result's text that is shorter is stored as it is: to say where it stands would take as much.
WORTH_NAMING = 128
COLUMNS = ("key", "size", "codec", "data")
# PostgreSQL's advisory lock for contents: any number that nobody else takes.
LOCK = 0x4C756E61


def key_of(content: bytes) -> bytes:
    """The key of `content`: BLAKE2b-128."""
    return blake2b(content, digest_size=16).digest()


def keep_others_out(shared: bool = False) -> None:
    """Until the transaction ends: nobody deletes content while others (`shared`) rely on what is there.

    SQLite's transactions exclude each other anyway.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT pg_advisory_xact_lock{'_shared' if shared else ''}(%s)", [LOCK])


def put(contents: Mapping[bytes, bytes]) -> None:
    """Store `contents` (by key), those that are not there yet."""
    known = bulk.known("blobs", "key", contents)
    rows = [(key, len(data), *pack(data)) for key, data in contents.items() if key not in known]
    bulk.insert_tuples(Blob, COLUMNS, rows)


def put_results(places: Mapping[bytes, tuple[int, bytes]]) -> None:
    """Store where results stand: key → (size of the text, what `result_place` gave)."""
    bulk.insert_tuples(Blob, COLUMNS, [(key, size, RESULT, data) for key, (size, data) in places.items()])


def result_place(message: bytes, dialect: str, call_id: str) -> tuple[bytes, bytes]:
    """Name the text of a tool's result in the message of that key. Gives the name's own key, and what is stored of it.

    Whoever has such a result has the message too: the two come and go together.
    """
    data = msgspec.msgpack.encode((message, dialect, call_id))
    return key_of(data), data


def put_many(contents: Iterable[bytes]) -> list[bytes]:
    """Store `contents`; gives their keys in order."""
    pairs = [(key_of(content), content) for content in contents]
    put(dict(pairs))
    return [key for key, _ in pairs]


def get_many(keys: Iterable[bytes]) -> dict[bytes, bytes]:
    """Read contents by key. Keys that are empty or unknown are left out."""
    wanted = list({bytes(key) for key in keys if key})
    found: dict[bytes, bytes] = {}
    results: dict[bytes, tuple[bytes, str, str]] = {}
    for start in range(0, len(wanted), AT_ONCE):
        for key, size, codec, data in Blob.objects.filter(key__in=wanted[start : start + AT_ONCE]).values_list(
            *COLUMNS
        ):
            if codec == RESULT:
                results[bytes(key)] = msgspec.msgpack.decode(bytes(data), type=tuple[bytes, str, str])
            else:
                found[bytes(key)] = unpack(codec, bytes(data), size)
    if results:
        messages = get_many(message for message, _, _ in results.values())
        found.update((key, _result(messages.get(place[0], b""), *place[1:])) for key, place in results.items())
    return found


def _result(message: bytes, dialect: str, call_id: str) -> bytes:
    blocks = parse_message(dialect, message).blocks if message else ()
    return next((b.text for b in blocks if b.kind == "tool_result" and b.id == call_id), "").encode("utf-8", "replace")
