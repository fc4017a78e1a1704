"""Content codings undone, piece by piece and never beyond a limit (a gigabyte of zeros packs well)."""

import zlib

import brotli
import zstandard


class Overflow(Exception):
    """The decoded answer is longer than is kept."""


class Decoder:
    """Decodes an answer of at most `limit` bytes. ``feed`` raises Overflow, or ValueError on bytes that do not decode."""

    def __init__(self, coding: str, limit: int) -> None:
        self._left = limit
        self._stages = [_STAGES[name]() for name in reversed(_names(coding))]

    def feed(self, data: bytes) -> bytes:
        """Give what `data` decodes to, as far as it can be told yet."""
        for stage in self._stages:
            pieces, size = [], 0
            for piece in stage(data, self._left):
                size += len(piece)
                if size > self._left:
                    raise Overflow
                pieces.append(piece)
            data = b"".join(pieces)
        self._left -= len(data)
        if self._left < 0:
            raise Overflow
        return data


def is_known(coding: str) -> bool:
    """Tell whether every name of a Content-Encoding can be undone."""
    return all(name in _STAGES for name in _names(coding))


def _names(coding: str) -> list[str]:
    return [name for name in (part.strip().lower() for part in coding.split(",")) if name and name != "identity"]


STEP = 64 * 1024


def _zlib(wbits: int):
    decompressor = zlib.decompressobj(wbits)

    def stage(data: bytes, limit: int):
        nonlocal decompressor
        while data:
            try:
                yield decompressor.decompress(data, STEP)
            except zlib.error as error:
                raise ValueError(str(error)) from None
            data = decompressor.unconsumed_tail
            if decompressor.eof and decompressor.unused_data:  # another member follows (RFC 1952, section 2.2)
                data = decompressor.unused_data
                decompressor = zlib.decompressobj(wbits)

    return stage


def _brotli():
    decompressor = brotli.Decompressor()

    def stage(data: bytes, limit: int):
        try:
            yield decompressor.process(data, output_buffer_limit=STEP)
            while not decompressor.can_accept_more_data():
                yield decompressor.process(b"", output_buffer_limit=STEP)
        except brotli.error as error:
            raise ValueError(str(error)) from None

    return stage


def _zstd():
    decompressor = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True)

    def stage(data: bytes, limit: int):
        # It has no limit of its own; this many bytes cannot become more than some megabytes.
        for at in range(0, len(data), 64):
            try:
                yield decompressor.decompress(data[at : at + 64])
            except zstandard.ZstdError as error:
                raise ValueError(str(error)) from None

    return stage


_STAGES = {
    "gzip": lambda: _zlib(31),
    "x-gzip": lambda: _zlib(31),
    "deflate": lambda: _zlib(15),
    "br": _brotli,
    "zstd": _zstd,
}
