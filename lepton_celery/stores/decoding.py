"""Decoders of compressed chunks that take no more memory than the chunk's pixels need, whatever the bytes decode to."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numcodecs.lz4 import LZ4
from numcodecs.zstd import Zstd

from lepton_celery.stores.blosc_rows import Buffer

Decode = Callable[[Buffer, int], Buffer]
"""Decodes the bytes of a file into this many bytes of pixels; ValueError if they decode to more."""

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


class _Decompressor(Protocol):
    def decompress(self, data: Buffer, max_length: int) -> bytes: ...


def _by_steps(make: Callable[[], _Decompressor]) -> Decode:
    """A decoder by a decompressor that stops at a given length. Further members or streams are decoded too."""

    def decode(data: Buffer, nbytes: int) -> bytes:
        pieces, rest, left = [], data, nbytes
        while len(rest):
            decompressor: Any = make()
            piece = decompressor.decompress(rest, left + 1)
            if len(piece) > left:
                raise ValueError(f"a chunk decodes to more than its {nbytes:,} bytes of pixels")
            if not decompressor.eof:
                raise ValueError("a chunk ends in the middle of its compressed pixels")
            pieces.append(piece)
            rest, left = decompressor.unused_data.lstrip(b"\0"), left - len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    return decode


def _zstd(data: Buffer, nbytes: int) -> Buffer:
    size = _zstd_content(bytes(memoryview(data)[:18]))
    if size is not None and size != nbytes:
        raise ValueError(f"a chunk decodes to {size:,} bytes instead of {nbytes:,}")
    return Zstd().decode(data, None if size else np.empty(nbytes, np.uint8))


def _zstd_content(head: bytes) -> int | None:
    """The size that the first frame's header gives; None if it gives none.

    https://datatracker.ietf.org/doc/html/rfc8878#section-3.1.1.1
    """
    if head[:4] != _ZSTD_MAGIC or len(head) < 6:
        raise ValueError("a chunk is not compressed by zstd")
    descriptor = head[4]
    is_single, width = descriptor & 0x20, (0, 2, 4, 8)[descriptor >> 6]
    width = width or (1 if is_single else 0)
    start = 5 + (0 if is_single else 1) + (0, 1, 2, 4)[descriptor & 3]
    if not width:
        return None
    return int.from_bytes(head[start : start + width], "little") + (256 if width == 2 else 0)


def _lz4(data: Buffer, nbytes: int) -> Buffer:
    size = int.from_bytes(bytes(memoryview(data)[:4]), "little")
    if size != nbytes:
        raise ValueError(f"a chunk decodes to {size:,} bytes instead of {nbytes:,}")
    return LZ4().decode(data)


DECODERS: dict[str, Decode] = {
    "zstd": _zstd,
    "gzip": _by_steps(lambda: zlib.decompressobj(wbits=31)),
    "zlib": _by_steps(zlib.decompressobj),
    "bz2": _by_steps(bz2.BZ2Decompressor),
    "lzma": _by_steps(lzma.LZMADecompressor),
    "lz4": _lz4,
}
"""numcodecs' names of the codecs that decode to the plain bytes of the pixels."""
