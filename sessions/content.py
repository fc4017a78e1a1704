"""Content by its hash: bytes go in once, however often they are sent."""

from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import blake2b

import zstandard
from django.db import connection

from sessions import bulk
from sessions.bulk import AT_ONCE
from sessions.models import Blob

STORED, ZSTD = 0, 1
LEVEL = 3
# Shorter content is stored as it is: a frame's header would eat what compression gains.
WORTH_COMPRESSING = 128
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


@cache
def _compressor() -> zstandard.ZstdCompressor:
    return zstandard.ZstdCompressor(level=LEVEL)


@cache
def _decompressor() -> zstandard.ZstdDecompressor:
    return zstandard.ZstdDecompressor()


def put(contents: Mapping[bytes, bytes]) -> None:
    """Store `contents` (by key), those that are not there yet."""
    known = bulk.known("blobs", "key", contents)
    bulk.insert_tuples("blobs", COLUMNS, [_row(key, data) for key, data in contents.items() if key not in known])


def _row(key: bytes, content: bytes) -> tuple[bytes, int, int, bytes]:
    codec, data = STORED, content
    if len(content) >= WORTH_COMPRESSING:
        packed = _compressor().compress(content)
        if len(packed) < len(content):
            codec, data = ZSTD, packed
    return key, len(content), codec, data


def put_many(contents: Iterable[bytes]) -> list[bytes]:
    """Store `contents`; gives their keys in order."""
    pairs = [(key_of(content), content) for content in contents]
    put(dict(pairs))
    return [key for key, _ in pairs]


def get_many(keys: Iterable[bytes]) -> dict[bytes, bytes]:
    """Read contents by key. Keys that are empty or unknown are left out."""
    wanted = list({bytes(key) for key in keys if key})
    found: dict[bytes, bytes] = {}
    for start in range(0, len(wanted), AT_ONCE):
        for blob in Blob.objects.filter(key__in=wanted[start : start + AT_ONCE]):
            found[bytes(blob.key)] = unpack(blob.codec, bytes(blob.data), blob.size)
    return found


def unpack(codec: int, data: bytes, size: int) -> bytes:
    """Give the bytes of a stored content of `size` bytes."""
    return data if codec == STORED else _decompressor().decompress(data, max_output_size=size)
