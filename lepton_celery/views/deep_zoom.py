"""An image in levels of rising scale, in squares of pixels, as viewers of large pictures ask for them.

Level 0 is the image itself, and each further level has every second pixel of the one before along both sides. A level comes
from the smallest stored copy of the image that has enough pixels (the pyramid of an OME-Zarr or a TIFF file). Where there is
none, it has every n-th pixel of the image. A level for which a square would cost too much is left out, and so are those
above it: then nobody can see the whole image at once, but whoever zooms in sees true pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from threading import Lock

import numpy as np

from lepton_celery.catalogue.arrays import Array
from lepton_celery.errors import InputError, StoreError
from lepton_celery.jobs.rendering import DisplayRange, Look, are_labels, display_range
from lepton_celery.planning.explain import size as size_text
from lepton_celery.stores.base import ArrayReader
from lepton_celery.views.image_axes import ImageAxes, axes_of
from lepton_celery.views.image_sample import neighbours_of, pixels_of
from lepton_celery.views.sampling import Indices, sample, sample_bytes, spread

SQUARE_PX = (512, 256, 128)
"""Sides of the squares: the first for which level 0 costs little enough."""
MOST_SQUARE_BYTES = 128 << 20
"""Largest number of bytes of pixels that are read or decoded for a square."""
MOST_WHOLE_BYTES = 256 << 20
"""Largest size of an image that can only be decoded whole, such as a PNG file."""
MOST_LEVELS = 24
_SAMPLED_PX = 256
"""Least length of the longer side of a copy from which the display range is found."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Which pixels of an image of several planes and channels are shown, and how."""

    planes: tuple[int, ...]
    """The position along each axis of planes."""
    channel: int | None
    """None for all channels as colours, or an image without channels."""
    look: Look


class DeepZoom:
    """An image in levels. It may be used in several threads."""

    def __init__(self, levels: Sequence[ArrayReader], *, is_finished: bool = True) -> None:
        """Take an image.

        Args:
            levels: the image, and its smaller stored copies.
            is_finished: whether all its blocks are written; if not, pixels that are 0 say nothing about its display range.

        Raises:
            StoreError: a square of the image would cost too much, or the image has no pixels.
        """
        self.full = levels[0]
        self.axes: ImageAxes = axes_of(self.full.shape, self.full.axes)
        self.height, self.width = self.axes.size(self.full.shape)
        self._stored = list(levels)
        self._is_finished = is_finished
        self._ranges: dict[tuple[int | None, Look], DisplayRange] = {}
        self._lock = Lock()
        if 0 in self.full.shape:
            raise StoreError(f"{self.full.url} has the shape {self.full.shape}, which has no pixels to show")
        self.square_px = next((side for side in SQUARE_PX if self._is_affordable(0, side)), 0)
        if not self.square_px:
            raise StoreError(self._too_much())
        self.levels = 1
        while not self._is_one_square(self.levels - 1) and self._is_affordable(self.levels, self.square_px):
            self.levels += 1

    @property
    def stored_levels(self) -> int:
        """Number of the image's copies in its file, with the image itself."""
        return len(self._stored)

    @property
    def has_colours(self) -> bool:
        """Whether the image can be shown in its own colours."""
        return self.axes.has_colours(self.full.shape)

    @property
    def channels(self) -> int:
        """Number of channels; 0 for an image without any."""
        return 0 if self.axes.channels is None else self.full.shape[self.axes.channels]

    @cached_property
    def look(self) -> Look:
        """How the image is shown unless somebody chooses another way."""
        if self.has_colours:
            return "colours"
        # smaller copies may have mixed labels
        pairs = neighbours_of(self.full, self.axes, 0 if self.channels else None)
        return "labels" if are_labels(pairs) else "grey"

    def shown(self, planes: Sequence[int] = (), channel: int | None = None, look: Look | None = None) -> Shown:
        """What is shown, with the middle planes, the first channel, and the image's own look where nothing is chosen.

        Raises:
            InputError: there is no such plane or channel, or the image cannot be shown so.
        """
        lengths = [self.full.shape[axis] for axis in self.axes.planes]
        planes = tuple(planes) or tuple(n // 2 for n in lengths)
        if len(planes) != len(lengths):
            raise InputError(
                f"plane is given {len(planes)} times; give it once for each of the {len(lengths)} other axes"
            )
        for plane, length in zip(planes, lengths, strict=True):
            if not 0 <= plane < length:
                raise InputError(f"plane is {plane}; this axis has the planes 0 to {length - 1}")
        if channel is not None and not 0 <= channel < self.channels:
            raise InputError(f"channel is {channel}; the image has {self.channels} channels, counted from 0")
        if look is None:
            look = "grey" if channel is not None and self.has_colours else self.look
        if look == "colours" and not self.has_colours:
            raise InputError("look is 'colours'; only images whose last axis has 3 or 4 channels have colours")
        if look == "labels" and self.full.dtype.kind not in "biu":
            raise InputError(f"look is 'labels'; labels are whole numbers, and these pixels are {self.full.dtype}")
        if look == "colours":
            channel = None
        elif self.channels and channel is None:
            channel = 0
        return Shown(planes, channel, look)

    def level_size(self, level: int) -> tuple[int, int]:
        """Height and width of a level."""
        return _shorter(self.height, level), _shorter(self.width, level)

    def square(self, shown: Shown, level: int, column: int, row: int) -> Array:
        """The pixels of a square, `(y, x)` or `(y, x, colours)`; those at the far edges are smaller.

        Raises:
            InputError: there is no such level, column or row.
            StoreError: the file is damaged there.
        """
        if not 0 <= level < self.levels:
            raise InputError(f"level is {level}; this picture has the levels 0 to {self.levels - 1}")
        counts = [-(-length // self.square_px) for length in self.level_size(level)]
        for name, index, count in (("row", row, counts[0]), ("column", column, counts[1])):
            if not 0 <= index < count:
                raise InputError(f"{name} is {index}; level {level} has the {name}s 0 to {count - 1}")
        reader = self._reader(level)
        return self._read(reader, shown, *self._positions(reader, level, self.square_px, row, column))

    def overview(self, shown: Shown, longest_px: int, most_bytes: int) -> Array | None:
        """The whole image with at most `longest_px` pixels along its longer side; None if that costs too much."""
        factor = max(1.0, max(self.height, self.width) / longest_px)
        height, width = (max(1, int(length / factor)) for length in (self.height, self.width))
        level = min(int(math.log2(factor)), MOST_LEVELS)
        reader = self._reader(level)
        rows, columns = (spread(n, most) for n, most in zip(self.axes.size(reader.shape), (height, width), strict=True))
        if sample_bytes(reader, self._indices(reader, shown, rows, columns)) > most_bytes:
            return None
        return self._read(reader, shown, rows, columns)

    def middle(self, shown: Shown, longest_px: int) -> Array:
        """The middle of the image, with every pixel."""
        rows, columns = (
            np.arange(start := max(0, (length - longest_px) // 2), min(length, start + longest_px), dtype=np.int64)
            for length in (self.height, self.width)
        )
        return self._read(self.full, shown, rows, columns)

    def range_of(self, shown: Shown) -> DisplayRange:
        """The display range, which is the same for all squares of all planes, so that no seams appear."""
        if shown.look == "labels" or (shown.look == "colours" and self.full.dtype == np.uint8):
            return DisplayRange(0, 255)
        key = (shown.channel, shown.look)
        with self._lock:
            if key not in self._ranges:
                smallest = next(
                    (copy for copy in reversed(self._stored) if max(self.axes.size(copy.shape)) >= _SAMPLED_PX),
                    self.full,
                )
                pixels = pixels_of(smallest, self.axes, shown.channel)[..., :3]
                self._ranges[key] = display_range(pixels if self._is_finished else pixels[pixels != 0])
            return self._ranges[key]

    def _is_one_square(self, level: int) -> bool:
        return max(self.level_size(level)) <= self.square_px or level + 1 >= MOST_LEVELS

    def _is_affordable(self, level: int, side: int) -> bool:
        reader = self._reader(level)
        limit = MOST_WHOLE_BYTES if reader.chunks == reader.shape else MOST_SQUARE_BYTES
        planes = tuple(self.full.shape[axis] // 2 for axis in self.axes.planes)
        shown = Shown(planes, 0 if self.channels and not self.has_colours else None, "grey")
        height, width = self.level_size(level)
        worst = 0
        for row in {0, (height - 1) // side // 2, (height - 1) // side}:
            for column in {0, (width - 1) // side // 2, (width - 1) // side}:
                places = self._positions(reader, level, side, row, column)
                worst = max(worst, sample_bytes(reader, self._indices(reader, shown, *places)))
        return worst <= limit

    def _too_much(self) -> str:
        chunk = math.prod(self.full.chunks) * self.full.dtype.itemsize
        return (
            f"{self.full.url} can only be read in pieces of {' × '.join(map(str, self.full.chunks))} pixels "
            f"({size_text(chunk)}), which is too much for a picture; write .zarr or a TIFF of tiles to see it here"
        )

    def _reader(self, level: int) -> ArrayReader:
        """The smallest stored copy that has enough pixels for a level."""
        wanted = [max(1, n >> level) for n in (self.height, self.width)]
        enough = [
            reader
            for reader in self._stored
            if all(n >= least for n, least in zip(self.axes.size(reader.shape), wanted, strict=True))
        ]
        return enough[-1] if enough else self.full

    def _positions(self, reader: ArrayReader, level: int, side: int, row: int, column: int) -> tuple[Indices, Indices]:
        """The rows and columns of a stored copy that a square of a level shows."""
        rows, columns = (
            self._along(number, side, level, length, stored)
            for number, length, stored in zip(
                (row, column), (self.height, self.width), self.axes.size(reader.shape), strict=True
            )
        )
        return rows, columns

    @staticmethod
    def _along(number: int, side: int, level: int, length: int, stored: int) -> Indices:
        """The pixels of a stored copy along an axis; those of a level lie in the middles of their shares."""
        first, last = number * side, min(_shorter(length, level), (number + 1) * side)
        middles = (2 * np.arange(first, last, dtype=np.int64) + 1) * (1 << level)
        along: Indices = np.minimum(middles * stored // (2 * length), stored - 1)
        return along

    def _indices(self, reader: ArrayReader, shown: Shown, rows: Indices, columns: Indices) -> list[Indices]:
        """The pixels that are shown along each axis of a stored copy."""
        found = [np.zeros(1, np.int64)] * len(reader.shape)
        for axis, plane in zip(self.axes.planes, shown.planes, strict=True):
            stored, length = reader.shape[axis], self.full.shape[axis]
            found[axis] = np.array([min(stored - 1, (2 * plane + 1) * stored // (2 * length))], np.int64)
        for along, positions in ((self.axes.rows, rows), (self.axes.columns, columns)):
            if along is not None:
                found[along] = positions
        if (channels := self.axes.channels) is not None:
            every = np.arange(reader.shape[channels], dtype=np.int64)
            found[channels] = every if shown.channel is None else every[shown.channel : shown.channel + 1]
        return found

    def _read(self, reader: ArrayReader, shown: Shown, rows: Indices, columns: Indices) -> Array:
        """The pixels at all combinations of rows and columns, `(y, x)`, or `(y, x, colours)`."""
        pixels = sample(reader, self._indices(reader, shown, rows, columns))
        order = [axis for axis in (self.axes.rows, self.axes.columns) if axis is not None]
        others = [axis for axis in range(pixels.ndim) if axis not in order and axis != self.axes.channels]
        channels = [] if self.axes.channels is None else [self.axes.channels]
        arranged = pixels.transpose(*order, *others, *channels)
        return arranged.reshape(len(rows), len(columns), *((-1,) if shown.look == "colours" else ()))


def _shorter(length: int, level: int) -> int:
    """The length of a side in a level."""
    return -(-length // (1 << level))
