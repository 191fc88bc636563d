"""Reads regions of TIFF files (tiled, striped, of several pages, compressed) without loading the files.

The first series at full resolution is read: `(y, x)`, `(y, x, s)` for colours, and `(z, y, x)` or more axes for pages. The
axes are those of tifffile, except that 3 or 4 colours that are stored one after the other come last, as in
`skimage.io.imread`.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator
from operator import add
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import tifffile

from lepton_celery.errors import StoreError
from lepton_celery.grid import BlockGrid, Region
from lepton_celery.stores.base import AnyArray, ArrayReader, check_region, check_whole
from lepton_celery.stores.failures import reading
from lepton_celery.stores.memory import MappedReader
from lepton_celery.stores.ome import opened
from lepton_celery.stores.roots import Roots, open_binary, open_file
from lepton_celery.stores.tiff_axes import read_axes
from lepton_celery.stores.tiff_segments import checked

T = TypeVar("T")

_Segments = tuple[tuple[int, ...], tuple[int, ...], bytes | None]
"""The offsets and the sizes of the tiles or strips of a page, and the JPEG tables that they share."""


class TiffReader(ArrayReader):
    """The first series of a TIFF file, at full resolution or as one of its smaller copies.

    Uncompressed contiguous pixels are memory-mapped. In other files the tiles or strips that a region touches are
    decoded one after the other, so memory is bounded by the region and one tile.
    """

    def __init__(self, path: Path, roots: Roots = (), level: int = 0) -> None:
        self.url = str(path)
        self._path, self._roots = path, roots
        self._mapped: MappedReader | None = None
        with reading(path), opened(path, roots) as tif:
            if not tif.series:
                raise StoreError(f"{path} holds no image; check that it was written completely")
            series = tif.series[0].levels[level]
            page = series.keyframe
            if page.dtype is None or series.dtype.kind not in "biufc":
                raise StoreError(f"{path} holds {page.bitspersample}-bit pixels, which have no dtype; convert it")
            self._stored, self.dtype = tuple(series.shape), series.dtype.newbyteorder("=")
            self._take_pages(tif, series, page)
            axes = read_axes(tif, series)
        self._moves_colours = (
            series.axes[-3:-2] == "S" and self._stored[-3] in (3, 4) and self._stored[-1] not in (3, 4)
        )
        self.shape = self._colours_last(self._stored)
        self.axes = self._colours_last(axes)
        self.chunks: tuple[int, ...] = self._colours_last(self._stored_chunks)
        self.reads_whole_chunks = self._mapped is None

    def _colours_last(self, items: tuple[T, ...]) -> tuple[T, ...]:
        """What is in the order of the file's axes, in the order of the reader's axes."""
        return (*items[:-3], *items[-2:], items[-3]) if self._moves_colours and items else items

    def read(self, region: Region) -> AnyArray:
        check_region(self.url, self.shape, region)
        if not self._moves_colours:
            return self._read(region)
        start, stop = ((*ends[:-3], ends[-1], *ends[-3:-1]) for ends in (region.start, region.stop))
        return np.ascontiguousarray(np.moveaxis(self._read(Region(start, stop)), -3, -1))

    def _take_pages(self, tif: tifffile.TiffFile, series: Any, page: Any) -> None:
        """Map the pixels, or note where the pages and their tiles or strips are."""
        size = tif.filehandle.size
        if series.dataoffset is not None:
            on_disk = self.dtype.newbyteorder(tif.byteorder)
            if series.dataoffset + math.prod(self._stored) * on_disk.itemsize > size:
                raise StoreError(f"{self._path} ends in the middle of its pixels; copy or write it again")
            with open_binary(self._path, self._roots) as file:
                pixels = np.memmap(file, on_disk, "r", series.dataoffset, self._stored)
            self._mapped = MappedReader(pixels, self.url)
            self._stored_chunks = self._mapped.chunks
            return
        self._take_layout(series, page)
        check_whole(self._path, "tile or strip", self._segment_bytes)
        # all offsets are read now: later reads need neither the file object nor its position, which a forked process
        # would share
        pages: list[Any] = list(series.pages)
        if None in pages:
            missing = pages.count(None)
            raise StoreError(
                f"{self._path} lacks {missing} of its {len(pages)} pages; write it again, or as a plain TIFF"
            )
        self._segments: list[_Segments] = [(p.dataoffsets, p.databytecounts, p.jpegtables) for p in pages]
        for number, (offsets, counts, _) in enumerate(self._segments):
            if max(map(add, offsets, counts), default=0) > size:
                raise StoreError(f"{self._path} ends in the middle of page {number}; copy or write it again")

    def _read(self, region: Region) -> AnyArray:
        """The pixels of a region in the order of the file's axes."""
        if self._mapped is not None:
            return self._mapped.read(region)
        out = np.empty(region.shape, self.dtype)
        if not out.size:
            return out
        # axes of length 1 are left out from here on: series and pages may disagree about them
        start = [a for a, n in zip(region.start, self._stored, strict=True) if n > 1]
        stop = [b for b, n in zip(region.stop, self._stored, strict=True) if n > 1]
        lead = len(self._lead)
        page_start, page_stop = [0] * len(self._page.shape), [1] * len(self._page.shape)
        for axis, a, b in zip(self._page_axes, start[lead:], stop[lead:], strict=True):
            page_start[axis], page_stop[axis] = a, b
        wanted = Region(tuple(page_start), tuple(page_stop))
        pages = out.reshape(tuple(b - a for a, b in zip(start[:lead], stop[:lead], strict=True)) + wanted.shape)
        with reading(self._path):
            fd = open_file(self._path, self._roots)
            try:
                for position in itertools.product(*map(range, start[:lead], stop[:lead])):
                    number = int(np.ravel_multi_index(position, self._lead)) if lead else 0
                    page = pages[tuple(p - a for p, a in zip(position, start, strict=False))]
                    self._read_page(fd, self._segments[number], wanted, page)
            finally:
                os.close(fd)
        return out

    def _take_layout(self, series: Any, page: Any) -> None:
        self._decode = page.decode
        self._nodata = page.nodata
        self._compression = int(page.compression)
        self._volumetric = page.tiledepth > 1 or page.imagedepth > 1
        self._has_samples = page.planarconfig == 1 and page.samplesperpixel > 1
        separate = page.planarconfig != 1 and page.samplesperpixel > 1
        chunks = (1,) * separate + (1,) * (page.imagedepth > 1 and page.tiledepth == 1) + tuple(page.chunks)
        shape = tuple(page.shape)
        self._page_axes = [axis for axis, n in enumerate(shape) if n > 1]
        squeezed = [n for n in self._stored if n > 1]
        split = len(squeezed) - len(self._page_axes)
        self._lead = tuple(squeezed[: max(split, 0)])
        if (
            len(chunks) != len(shape)
            or split < 0
            or squeezed[split:] != [shape[axis] for axis in self._page_axes]
            or math.prod(self._lead) != len(series.pages)
        ):
            raise StoreError(
                f"{self._path} arranges its pages of {shape} as {self._stored} in a way that cannot be read by regions; "
                "save it as a plain TIFF or .zarr first"
            )
        self._page = BlockGrid(shape, tuple(min(c, n) for c, n in zip(chunks, shape, strict=True)))
        whole = chunks if page.is_tiled else self._page.block_shape  # tiles at the edges are whole, strips are not
        self._segment_bytes = math.prod(whole) * self.dtype.itemsize
        lengths = [self._page.block_shape[axis] for axis in self._page_axes]
        rest = iter([1] * len(self._lead) + lengths)
        self._stored_chunks = tuple(next(rest) if n > 1 else 1 for n in self._stored)

    def _read_page(self, fd: int, segments: _Segments, wanted: Region, into: AnyArray) -> None:
        offsets, counts, tables = segments
        for index in self._page.overlapping(wanted):
            box = self._page.region(index)
            shared = Region(tuple(map(max, box.start, wanted.start)), tuple(map(min, box.stop, wanted.stop)))
            if not counts[index]:
                # a sparse file omits empty tiles
                into[shared.within(wanted)] = self._nodata
                continue
            data = os.pread(fd, counts[index], offsets[index])
            if len(data) < counts[index]:
                raise StoreError(f"{self._path} ends in the middle of tile or strip {index}; copy or write it again")
            safe = checked(self._compression, data, self._segment_bytes)
            decoded = self._decode(safe, index, jpegtables=tables)[0]
            into[shared.within(wanted)] = self._as_page(decoded)[shared.within(box)]

    def _as_page(self, decoded: AnyArray) -> AnyArray:
        """A decoded tile or strip of shape `(depth, length, width, samples)` with the axes of a page."""
        if not self._volumetric:
            decoded = decoded[0]
        if not self._has_samples:
            decoded = decoded[..., 0]
        return decoded[(None,) * (len(self._page.shape) - decoded.ndim)]


def smaller_copies(path: Path, roots: Roots = ()) -> Iterator[ArrayReader]:
    """The smaller copies of the first series, such as sub-IFDs, from the largest to the smallest."""
    with reading(path), opened(path, roots) as tif:
        levels = len(tif.series[0].levels) if tif.series else 0
    for level in range(1, levels):
        yield TiffReader(path, roots, level)
