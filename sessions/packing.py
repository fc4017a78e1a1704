"""How bytes are packed for the database: zstd, with a dictionary of what the vendors' JSON and event streams repeat.

``bench/dictionary.py`` makes dictionaries. What is stored stays readable: a codec never changes its meaning.
"""

from functools import cache
from pathlib import Path
from typing import Any

import orjson
import zstandard
from django.db import models

# As it is; zstd; zstd with the first dictionary. (3 is sessions.content's.)
STORED, ZSTD, ZSTD_1 = 0, 1, 2
LEVEL = 3
# Shorter content is stored as it is: a frame's header would eat what compression gains.
WORTH_COMPRESSING = 32
DICTIONARIES = Path(__file__).parent / "dictionaries"
# Bytes that a packed field may unpack to.
MAX_FIELD = 16 << 20


@cache
def _dictionary(number: int) -> zstandard.ZstdCompressionDict:
    dictionary = zstandard.ZstdCompressionDict((DICTIONARIES / f"{number}.zdict").read_bytes())
    dictionary.precompute_compress(level=LEVEL)
    return dictionary


@cache
def _compressor() -> zstandard.ZstdCompressor:
    # The size stands beside it, the dictionary in the codec.
    return zstandard.ZstdCompressor(
        level=LEVEL, dict_data=_dictionary(1), write_content_size=False, write_dict_id=False
    )


@cache
def _decompressor(codec: int) -> zstandard.ZstdDecompressor:
    return zstandard.ZstdDecompressor(dict_data=_dictionary(1) if codec == ZSTD_1 else None)


def pack(content: bytes) -> tuple[int, bytes]:
    """Give (codec, bytes) as which `content` is stored."""
    if len(content) >= WORTH_COMPRESSING:
        packed = _compressor().compress(content)
        if len(packed) < len(content):
            return ZSTD_1, packed
    return STORED, content


def unpack(codec: int, data: bytes, size: int) -> bytes:
    """Give the bytes of a stored content of `size` bytes."""
    return data if codec == STORED else _decompressor(codec).decompress(data, max_output_size=size)


def pack_field(content: bytes) -> bytes:
    """Give the codec in a byte, then the data: for a column that has no others for its codec and size."""
    codec, data = pack(content)
    return bytes((codec,)) + data


def unpack_field(data: bytes) -> bytes:
    """Give what ``pack_field`` was given, up to `MAX_FIELD` bytes."""
    return unpack(data[0], data[1:], MAX_FIELD)


class PackedJSONField(models.BinaryField):
    """JSON that nobody searches in, packed. Reads what a JSONField wrote, too."""

    def from_db_value(self, value: Any, expression: object, connection: object) -> Any:
        if isinstance(value, str):
            return orjson.loads(value)
        if value is None or isinstance(value, list | dict):
            return value
        data = bytes(value)
        if data[:1] in (b"[", b"{"):
            return orjson.loads(data)
        return orjson.loads(unpack_field(data))

    def get_db_prep_value(self, value: Any, connection: object, prepared: bool = False) -> bytes:
        return pack_field(orjson.dumps(value))

    def to_python(self, value: Any) -> Any:
        return value
