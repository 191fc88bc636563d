"""Tiles and strips of TIFF files, made safe for tifffile's own decoders, which serve where imagecodecs is not installed.

Those decoders take as much memory as the data unpack to, a thousand times their size; imagecodecs stops at the tile's size.
"""

from __future__ import annotations

import lzma
import zlib
from functools import cache

_DEFLATE = (8, 32946)
_LZMA = 34925


def checked(compression: int, data: bytes, nbytes: int) -> bytes:
    """The data of a tile or strip, in the same compression, that unpack to `nbytes` at most.

    Raises:
        ValueError, zlib.error, lzma.LZMAError: they unpack to more, or are damaged.
    """
    if compression not in (*_DEFLATE, _LZMA) or _has_imagecodecs():
        return data
    decompressor = lzma.LZMADecompressor() if compression == _LZMA else zlib.decompressobj()
    plain = decompressor.decompress(data, nbytes + 1)
    if len(plain) > nbytes:
        raise ValueError(f"a tile or strip unpacks to more than its {nbytes:,} bytes of pixels")
    if compression == _LZMA or not decompressor.eof:
        return data
    return zlib.compress(plain, 0)  # stored as it is, so that tifffile need not unpack it again


@cache
def _has_imagecodecs() -> bool:
    try:
        import imagecodecs  # noqa: F401
    except ImportError:
        return False
    return True
