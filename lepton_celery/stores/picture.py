"""PNG and JPEG through Pillow. They are read and written whole, since neither format gives access to a region."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from lepton_celery.errors import StoreError
from lepton_celery.grid import Region
from lepton_celery.stores.base import AnyArray, ArrayReader, check_region, check_whole
from lepton_celery.stores.failures import reading
from lepton_celery.stores.npy import NpyOutput
from lepton_celery.stores.publish import publish_part
from lepton_celery.stores.roots import BufferedFile, Roots, open_binary

_DTYPES: dict[str, tuple[type[np.generic], int]] = {
    "1": (np.bool_, 0),
    "L": (np.uint8, 0),
    "I;16": (np.uint16, 0),
    "LA": (np.uint8, 2),
    "RGB": (np.uint8, 3),
    "RGBA": (np.uint8, 4),
    "CMYK": (np.uint8, 4),
}
"""The dtype of each of Pillow's modes, and the length of its colour axis; 0 for no such axis."""


_BAND_PX = 1 << 22
"""Pixels of a picture that are copied at a time."""

_PIXELS_PER_BYTE = {"PNG": 8 * 1032, "JPEG": 8 * 64}
"""The most pixels that a byte of a file can hold. Deflate makes data at most 1032 times smaller, and a pixel of a PNG has at
least one bit; a JPEG has at least one bit for each 8 × 8 pixels."""


class PictureReader(ArrayReader):
    """A PNG or JPEG file. The first `read` decodes the whole picture and keeps it in memory.

    The pixels are those of `skimage.io.imread`: palettes become colours, and neither EXIF rotation nor a transparent colour
    is applied. Two kinds are refused: 16-bit colours, which would be reduced to 8 bits without a warning, and animations.
    """

    def __init__(self, path: Path, roots: Roots = ()) -> None:
        self.url = str(path)
        self._path, self._roots = path, roots
        self._decoded: Image.Image | None = None
        self._lock, self._pid = threading.Lock(), os.getpid()
        with reading(path), _opened(path, roots) as image:
            self._mode = _mode(path, image, roots)
            dtype, colours = _DTYPES[self._mode]
            self.shape: tuple[int, ...] = (image.height, image.width, *((colours,) if colours else ()))
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.chunks = self.shape
        check_whole(path, "picture", math.prod(self.shape) * self.dtype.itemsize)

    def read(self, region: Region) -> AnyArray:
        check_region(self.url, self.shape, region)
        if self._pid != os.getpid():
            # a fork may have copied the lock while a thread of the parent held it, and no thread here would release it
            self._lock, self._pid = threading.Lock(), os.getpid()
        with self._lock:
            if self._decoded is None:
                with reading(self._path), _opened(self._path, self._roots) as image:
                    if (image.height, image.width) != self.shape[:2]:
                        raise StoreError(
                            f"{self._path} was changed while it was read; write new images under new names"
                        )
                    if self._mode == "RGB":
                        image.info.pop("transparency", None)  # a transparent colour would only make Pillow warn
                    image.load()
                    self._decoded = image if image.mode in (self._mode, "I") else image.convert(self._mode)
        out = np.empty(region.shape, self.dtype)
        (top, left), (bottom, right) = region.start[:2], region.stop[:2]
        # some rows at a time: an array of the whole picture would take its memory once more, and Pillow warns of large crops
        rows = max(1, min(_BAND_PX, Image.MAX_IMAGE_PIXELS or _BAND_PX) // max(1, right - left))
        for first in range(top, bottom if out.size else top, rows):
            last = min(bottom, first + rows)
            band = np.asarray(self._decoded.crop((left, first, right, last)))
            out[first - top : last - top] = band[(slice(None), slice(None), *region.slices[2:])]
        return out


class PictureOutput(NpyOutput):
    """A PNG, or a JPEG of quality 95. Its part is a .npy file, which `publish` encodes."""

    def publish(self) -> None:
        publish_part(self.target, self._encode)
        self._map = None

    def _encode(self, path: Path) -> None:
        image = Image.fromarray(np.asarray(self._open()))
        if self.target.final.suffix.lower() == ".png":
            # level 3 is twice as fast as Pillow's default, and the file is a few per cent larger
            image.save(path, "PNG", compress_level=3)
        else:
            image.save(path, "JPEG", quality=95)


@contextmanager
def _opened(path: Path, roots: Roots) -> Iterator[Image.Image]:
    # not Image.open, which also tries other decoders, and warns about large pictures; they are refused here
    kind = PngImageFile if path.suffix.lower() == ".png" else JpegImageFile
    with BufferedFile(path, roots) as file, kind(file) as image:
        yield image


def _mode(path: Path, image: Image.Image, roots: Roots) -> str:
    """Pillow's mode in which `image` is read; StoreError if no mode keeps all of it, or its file cannot hold its pixels."""
    with open_binary(path, roots) as file:
        size = os.fstat(file.fileno()).st_size
    if image.width * image.height > _PIXELS_PER_BYTE[image.format or ""] * size:
        raise StoreError(
            f"{path} says that it has {image.height} × {image.width} pixels, which its {size:,} bytes cannot hold; "
            "it is damaged, or was made to fill the memory"
        )
    if image.format == "PNG":
        # bytes 24 and 25 of every PNG: bits per sample, and the colour type (0 grey, 2 and 6 colours, 4 grey and alpha)
        with open_binary(path, roots) as file:
            depth, kind = file.read(26)[24:26]
        if depth == 16 and kind != 0:
            raise StoreError(
                f"{path} is a PNG of 16-bit colours, which Pillow reduces to 8 bits; convert it to .tif first"
            )
        if depth == 16:
            return "I;16"
    if (frames := getattr(image, "n_frames", 1)) > 1:
        raise StoreError(f"{path} is an animation of {frames} pictures; save them as the pages of a .tif first")
    if image.mode == "P" and image.palette is not None:
        return image.palette.mode
    if image.mode not in _DTYPES:
        raise StoreError(f"{path} has Pillow's mode {image.mode}, which is not read; convert it to grey or RGB first")
    return image.mode
