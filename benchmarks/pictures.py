"""How long the pictures of a job take: `python -m benchmarks.pictures` prints the table of docs/flower.md.

An image of 20,000 × 20,000 uint16 in chunks of 1,024 × 1,024 (Zarr, LZ4), once alone and once with a pyramid, whose files
are in the cache of the disk. Times are processor times of one thread: they do not depend on who else works on the machine.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec

from lepton_celery import stores
from lepton_celery.jobs.rendering import eight_bits, png
from lepton_celery.views.deep_zoom import DeepZoom, Shown

SIDE_PX = 20_000
CHUNK_PX = 1024
_LEVELS = 7


def make(folder: Path, *, levels: int) -> Path:
    """Write an OME-Zarr image of cells on a noisy ground, as a pyramid of `levels` levels."""
    path = folder / f"levels-{levels}.zarr"
    rng = np.random.default_rng(0)
    tile = rng.poisson(200, (2048, 2048)).astype(np.uint16)
    for y, x in rng.integers(40, 2000, (300, 2)):
        tile[y - 20 : y + 20, x - 20 : x + 20] += 900
    times = -(-SIDE_PX // len(tile))
    image = np.tile(tile, (times, times))[:SIDE_PX, :SIDE_PX]
    group = zarr.open_group(path, mode="w", zarr_format=3)
    for level in range(levels):
        group.create_array(
            str(level),
            data=np.ascontiguousarray(image),
            chunks=(min(CHUNK_PX, len(image)),) * 2,
            compressors=BloscCodec(typesize=2, cname="lz4", clevel=5, shuffle="shuffle"),
        )
        image = image[::2, ::2]
    described = {"datasets": [{"path": str(level)} for level in range(levels)], "axes": [{"name": "y"}, {"name": "x"}]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [described]}
    return path


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call returns, and milliseconds of processor time."""
    began = time.process_time()
    found = call()
    return found, 1000 * (time.process_time() - began)


def drawn(image: DeepZoom, shown: Shown, level: int, column: int, row: int) -> bytes:
    """A square as it is sent to a browser."""
    return png(eight_bits(image.square(shown, level, column, row), shown.look, image.range_of(shown)), quick=True)


def rows(path: Path) -> Iterator[str]:
    """What is measured of an image, as texts."""

    def opened() -> tuple[DeepZoom, Shown]:
        image = DeepZoom(stores.open_levels(path))
        shown = image.shown()
        image.range_of(shown)
        return image, shown

    (image, shown), open_ms = timed(opened)
    coarsest = image.levels - 1
    counts = [-(-length // image.square_px) for length in image.level_size(coarsest)]
    _, first_ms = timed(lambda: drawn(image, shown, coarsest, 0, 0))
    _, all_ms = timed(
        lambda: [drawn(image, shown, coarsest, column, row) for row in range(counts[0]) for column in range(counts[1])]
    )
    _, fine_ms = timed(lambda: drawn(image, shown, 0, 17, 18))
    yield f"{open_ms:.0f} ms"
    yield f"{first_ms:.0f} ms"
    yield f"{all_ms:.0f} ms ({counts[0] * counts[1]})"
    yield f"{fine_ms:.0f} ms"


def main() -> None:
    """Print the table."""
    parent = sys.argv[1] if len(sys.argv) > 1 else None
    print("| image | description, with display range | first tile | whole image (tiles) | tile of full resolution |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        for name, levels in (("without a pyramid", 1), (f"with a pyramid of {_LEVELS} levels", _LEVELS)):
            path = make(Path(folder), levels=levels)
            list(rows(path))  # imports, and pages in memory
            print(f"| {name} | {' | '.join(rows(path))} |")


if __name__ == "__main__":
    main()
