"""Writes TIFF files: workers encode the tiles, and the publisher joins them.

Compression is nearly all of the work of writing a TIFF, so each block is encoded by the worker that computed it, into a file
of its own in the part's folder. Compressing 175 MB of tiles takes four seconds, joining them a third of a second.

The file of a block has the number of its tiles, the offsets of their ends, and the tiles in the order (page, row, column).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from functools import lru_cache
from itertools import accumulate, product
from pathlib import Path

import numpy as np
import tifffile

from lepton_celery.errors import InputError, StoreError
from lepton_celery.grid import BlockGrid, BlockIndex, Region
from lepton_celery.stores.base import AnyArray, Target, check_block
from lepton_celery.stores.documents import write_atomically
from lepton_celery.stores.failures import writing
from lepton_celery.stores.publish import FileOutput, publish_part
from lepton_celery.stores.tiff_axes import described

LONGEST_TILE_SIDE = 256
"""Longest side of a tile, in pixels."""

BIG_TIFF_BYTES = 2**31
"""Files with more bytes of pixels are BigTIFFs: a plain TIFF is limited to 4 GiB, and some readers to 2 GiB."""


class TiffOutput(FileOutput):
    """A tiled deflate TIFF of `(y, x)`, colours `(y, x, 3 or 4)` or pages `(z, y, x)`; booleans have one bit a pixel.

    Raises:
        InputError: the blocks cannot be cut into tiles, whose sides are multiples of 16.
    """

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        shape, blocks = target.shape, target.block_shape
        self._colours = len(shape) == 3 and shape[2] in (3, 4) and blocks[2] >= shape[2]
        if not (len(shape) == 2 or self._colours or (len(shape) == 3 and shape[1] > 1 and shape[2] > 1)):
            raise InputError(
                f"TIFF output {target.path} of shape {shape} in blocks {blocks} is neither (y, x), nor (y, x, 3 or 4) "
                "with all colours in each block, nor (z, y, x) of pages; write .zarr or .npy instead"
            )
        # the grid of tiles has the axes (pages, rows, columns) for every image
        lead = (1,) if len(shape) == 2 or self._colours else ()
        pixels = slice(0, 2) if self._colours else slice(None)
        self._grid = BlockGrid(lead + shape[pixels], lead + blocks[pixels])
        self._tile = tuple(
            _tile_length(n, b, target) for n, b in zip(self._grid.shape[1:], self._grid.block_shape[1:], strict=True)
        )
        self._stored = target.native.newbyteorder("<")

    def create(self) -> None:
        with writing(self.target.part):
            self.target.part.mkdir(exist_ok=True)

    def write(self, region: Region, pixels: AnyArray) -> None:
        check_block(self.target, region, pixels)
        # a block has the same index in both grids
        for index in self.target.grid.overlapping(region):
            own = self.target.grid.region(index)
            tiles = [_deflate(tile) for tile in self._cut(pixels[own.within(region)])]
            head = np.array([len(tiles), *accumulate(map(len, tiles))], "<u8").tobytes()
            write_atomically(self._block_file(index), head, *tiles)

    def publish(self) -> None:
        publish_part(self.target, self._join)

    def _block_file(self, index: BlockIndex) -> Path:
        return self.target.part / f"{index}.tiles"

    def _cut(self, pixels: AnyArray) -> Iterator[bytes]:
        """The tiles of a block, uncompressed; tiles at its far edges are padded with zeros."""
        pages = pixels.astype(self._stored, copy=False)
        pages = pages[None] if pages.ndim == 2 or self._colours else pages
        rows, columns = self._tile
        for page, y, x in product(pages, range(0, pages.shape[1], rows), range(0, pages.shape[2], columns)):
            piece = page[y : y + rows, x : x + columns]
            if piece.shape[:2] != (rows, columns):
                whole = np.zeros((rows, columns, *piece.shape[2:]), self._stored)
                whole[: piece.shape[0], : piece.shape[1]] = piece
                piece = whole
            # a row of bits fills whole bytes, because tiles are multiples of 16 pixels wide
            yield (np.packbits(piece) if piece.dtype == bool else piece).tobytes()

    def _join(self, path: Path) -> None:
        shape = self.target.shape
        with closing(self._tiles()) as tiles:  # its file would stay open if the disk is full, and keep its space
            tifffile.imwrite(
                path,
                tiles,
                shape=shape,
                dtype=self._stored,
                tile=self._tile,
                compression="adobe_deflate",
                byteorder="<",
                bigtiff=math.prod(shape) * self._stored.itemsize > BIG_TIFF_BYTES,
                photometric="rgb" if self._colours else "minisblack",
                extrasamples=["unassalpha"] if self._colours and shape[2] == 4 else None,
                **described(self.target, colours=self._colours),
            )

    def _tiles(self) -> Generator[bytes, None, None]:
        """All encoded tiles in the order of the file; memory holds one row of tiles of one block at a time."""
        (pages, height, _), (deep, high, _) = self._grid.shape, self._grid.block_shape
        columns = self._grid.counts[2]
        ends_of = lru_cache(maxsize=max(2 * columns, 64))(self._ends)
        for page, y in product(range(pages), range(0, height, self._tile[0])):
            for column in range(columns):
                index = self._grid.index((page // deep, y // high, column))
                box = self._grid.region(index)
                rows, across = (-(-n // t) for n, t in zip(box.shape[1:], self._tile, strict=True))
                first = (page % deep * rows + y % high // self._tile[0]) * across
                ends = ends_of(index)
                with self._block_file(index).open("rb") as file:
                    file.seek(ends[first])
                    for tile in range(first, first + across):
                        yield file.read(ends[tile + 1] - ends[tile])

    def _ends(self, index: BlockIndex) -> Sequence[int]:
        """The offset of the first tile in a block's file, and the end offset of each of its tiles."""
        path = self._block_file(index)
        try:
            with path.open("rb") as file:
                count = int(np.frombuffer(file.read(8), "<u8")[0])
                ends = np.frombuffer(file.read(8 * count), "<u8")
        except FileNotFoundError as error:
            raise StoreError(
                f"{self.target.final} cannot be published: block {index} was not written; run it again"
            ) from error
        base = 8 * (count + 1)
        return [base, *(base + int(end) for end in ends)]


def _tile_length(length: int, block_length: int, target: Target) -> int:
    if block_length >= length:
        return min(LONGEST_TILE_SIDE, -(-length // 16) * 16)
    if tile := next((n for n in range(LONGEST_TILE_SIDE, 0, -16) if block_length % n == 0), 0):
        return tile
    raise InputError(
        f"TIFF output {target.path} in blocks {target.block_shape}: tiles have sides that are multiples of 16 and must "
        f"not cross blocks; use a multiple of 16 in place of {block_length}, or write .zarr"
    )


def _deflate(data: bytes) -> bytes:
    try:
        import imagecodecs
    except ImportError:
        return zlib.compress(data, 1)
    # libdeflate is about three times as fast as zlib, and its output is plain deflate
    return bytes(imagecodecs.deflate_encode(data, level=1))
