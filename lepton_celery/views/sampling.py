"""Reads single pixels of an image, box by box, and says beforehand how much is read for them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lepton_celery.catalogue.arrays import Array
from lepton_celery.grid import Region
from lepton_celery.stores.base import ArrayReader

Indices = NDArray[np.int64]
"""The pixels that are read along an axis, in rising order."""

LEAST_BOX_BYTES = 1 << 16
"""What reading a box counts for at least: opening a file takes as long as reading some pixels. Pixels of a memory map that
are closer together are read with those between them."""


def sample(reader: ArrayReader, indices: Sequence[Indices]) -> Array:
    """The pixels at all combinations of indices along each axis. Memory holds them and one box."""
    out = np.empty(tuple(map(len, indices)), reader.dtype)
    if not out.size:
        return out
    for boxes in itertools.product(*(list(_boxes(reader, axis, along)) for axis, along in enumerate(indices))):
        within = [along[part] for along, part in zip(indices, boxes, strict=True)]
        region = Region(tuple(int(one[0]) for one in within), tuple(int(one[-1]) + 1 for one in within))
        pixels = reader.read(region)
        out[boxes] = pixels[np.ix_(*(one - one[0] for one in within))]
    return out


def sample_bytes(reader: ArrayReader, indices: Sequence[Indices]) -> int:
    """The number of bytes of pixels that are decoded or read for a sample, at most."""
    count, box = 1, reader.dtype.itemsize
    for axis, along in enumerate(indices):
        boxes = list(_boxes(reader, axis, along))
        count *= len(boxes)
        longest = max((int(along[part][-1] - along[part][0]) + 1 for part in boxes), default=0)
        box *= reader.chunks[axis] if reader.reads_whole_chunks else longest
    return count * max(box, LEAST_BOX_BYTES)


def _boxes(reader: ArrayReader, axis: int, along: Indices) -> Iterator[slice]:
    """The indices along an axis in pieces that are read at once: those in one chunk, or close together in a memory map."""
    if not len(along):
        return
    cuts = np.empty(0, np.int64)
    if reader.reads_whole_chunks:
        cuts = np.flatnonzero(np.diff(along // reader.chunks[axis])) + 1
    elif int(along[-1] - along[0]) * _step_bytes(reader, axis) >= LEAST_BOX_BYTES * (len(along) - 1):
        cuts = np.arange(1, len(along))
    yield from itertools.starmap(slice, itertools.pairwise([0, *cuts.tolist(), len(along)]))


def _step_bytes(reader: ArrayReader, axis: int) -> int:
    """Bytes from one pixel of a memory map to the next along an axis."""
    is_reversed = len(reader.shape) > 1 and reader.chunks[0] > 1  # in Fortran's order
    faster = reader.shape[:axis] if is_reversed else reader.shape[axis + 1 :]
    return math.prod(faster) * reader.dtype.itemsize


def spread(length: int, most: int) -> Indices:
    """Up to `most` positions along an axis, evenly spread, each in the middle of its share."""
    count = min(length, most)
    middles: Indices = (2 * np.arange(count, dtype=np.int64) + 1) * length // (2 * max(1, count))
    return middles
