"""A sample of the pixels of an image, from everywhere in it, which decides how the image is shown."""

from __future__ import annotations

import numpy as np

from lepton_celery.catalogue.arrays import Array
from lepton_celery.stores.base import ArrayReader
from lepton_celery.views.image_axes import ImageAxes
from lepton_celery.views.sampling import Indices, sample, sample_bytes, spread

MOST_SAMPLE_BYTES = 32 << 20
"""Largest number of bytes of pixels that are read or decoded for a sample, unless a single chunk has more."""
_COLUMNS = 512
"""Largest number of columns of a sample."""
_SIZES = ((3, 8, 256), (3, 4, 256), (1, 8, 256), (1, 4, 128), (1, 2, 32), (1, 1, 4), (1, 1, 1))
"""Planes, chunks and rows along each axis: the first that do not cost too much are taken."""


def pixels_of(reader: ArrayReader, axes: ImageAxes, channel: int | None) -> Array:
    """Pixels of a channel, or of all for None, `(pixels, channels)`; the same ones each time."""
    found = _chosen(reader, axes, channel)
    pixels = sample(reader, found)
    if axes.channels is None:
        return pixels.reshape(-1, 1)
    return np.moveaxis(pixels, axes.channels, -1).reshape(-1, len(found[axes.channels]))


def neighbours_of(reader: ArrayReader, axes: ImageAxes, channel: int | None) -> Array:
    """Pixels beside each other in their rows, `(pixels, 2)`; none if the image is one pixel wide."""
    if axes.columns is None or reader.shape[axes.columns] < 2:
        return np.empty((0, 2), reader.dtype)
    pixels = sample(reader, _chosen(reader, axes, channel))
    return np.moveaxis(pixels, axes.columns, -1).reshape(-1, 2)


def _chosen(reader: ArrayReader, axes: ImageAxes, channel: int | None) -> list[Indices]:
    """Positions along each axis, of as many chunks as a sample may cost; columns are pairs of neighbours."""
    found = [np.zeros(1, np.int64)] * len(reader.shape)
    if axes.channels is not None:
        every = np.arange(reader.shape[axes.channels], dtype=np.int64)
        found[axes.channels] = every if channel is None else every[channel : channel + 1]
    for planes, chunks, rows in _SIZES:
        for axis in axes.planes:
            found[axis] = spread(reader.shape[axis], planes)
        if axes.rows is not None and reader.shape[axes.rows] > 1:
            found[axes.rows] = _pairs(reader, axes.rows, chunks, 2 * rows)[::2]
        if axes.columns is not None and reader.shape[axes.columns] > 1:
            found[axes.columns] = _pairs(reader, axes.columns, chunks, _COLUMNS)
        if sample_bytes(reader, found) <= MOST_SAMPLE_BYTES:
            break
    return found


def _pairs(reader: ArrayReader, axis: int, chunks: int, most: int) -> Indices:
    """Pairs of neighbouring pixels along an axis, up to `most` pixels in all, of `chunks` chunks that are evenly spread."""
    length = reader.shape[axis]
    chunk = reader.chunks[axis] if reader.reads_whole_chunks else length
    chosen = spread(-(-length // chunk), chunks)
    each = max(1, most // (2 * len(chosen)))
    firsts = np.concatenate(
        [
            number * chunk + 2 * spread((min(length, (number + 1) * chunk) - number * chunk) // 2, each)
            for number in chosen
        ]
    )
    if not len(firsts):  # chunks of one pixel
        firsts = spread(length - 1, max(1, min(most // 2, chunks)))
    return np.stack([firsts, firsts + 1], axis=-1).ravel()
