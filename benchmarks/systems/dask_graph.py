"""The workloads as dask.array graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
from dask.base import compute as dask_compute
from dask_image import ndmeasure
from skimage import filters

from benchmarks import arrays
from benchmarks.cases import Task
from benchmarks.workloads import Filter, opened, workload_of


def compute(task: Task) -> None:
    """Do a task with the scheduler that is configured."""
    workload = workload_of(task)
    image = _read(task.source, task.case.block)
    if isinstance(workload, Filter):
        dask_compute(_written(task, "pixels", _filtered(image, workload, len(task.case.shape))))
    else:
        _label(task, image)


def _read(path: Path, block: tuple[int, ...]) -> Any:
    """A lazy array of a file, with a chunk for each block. The graph holds the path, not the pixels."""
    if path.suffix == ".zarr":
        return da.from_zarr(str(path))
    like = arrays.opened(path)
    blank = da.empty(like.shape, chunks=(*block, *like.shape[len(block) :]), dtype=like.dtype)
    none = np.empty((0,) * like.ndim, like.dtype)
    return da.map_blocks(_read_block, chunks=blank.chunks, dtype=like.dtype, path=path, meta=none)


def _read_block(path: Path, block_info: Any = None) -> Any:
    region = tuple(slice(start, stop) for start, stop in block_info[None]["array-location"])
    return np.ascontiguousarray(opened(path)[region])


def _filtered(image: Any, workload: Filter, ndim: int) -> Any:
    if not workload.halo:
        return image.map_blocks(workload.function, dtype=workload.dtype)
    # map_overlap cannot trim a result that has fewer axes than the image, so overlap and trim here
    depth = dict.fromkeys(range(ndim), workload.halo)
    channels = list(range(ndim, image.ndim))
    wide = da.overlap.overlap(image, depth=depth | dict.fromkeys(channels, 0), boundary="none", allow_rechunk=False)
    found = wide.map_blocks(_contiguous, workload.function, dtype=workload.dtype, drop_axis=channels)
    return da.overlap.trim_internal(found, depth, boundary="none")


def _contiguous(pixels: Any, function: Any) -> Any:
    return function(np.ascontiguousarray(pixels))


def _written(task: Task, name: str, image: Any) -> Any:
    """A graph that writes the image to its file."""
    path = task.output(name)
    arrays.create(path, image.shape, image.dtype, task.case.block)
    if task.case.format == "zarr":
        return da.store(image, arrays.opened(path, writable=True), lock=False, compute=False)
    one = tuple((1,) * n for n in image.numblocks)
    return image.map_blocks(
        _write_block, dtype=np.uint8, chunks=one, path=path, meta=np.empty((0,) * image.ndim, np.uint8)
    )


def _write_block(pixels: Any, path: Path, block_info: Any = None) -> Any:
    region = tuple(slice(start, stop) for start, stop in block_info[0]["array-location"])
    opened(path, writable=True)[region] = pixels
    return np.zeros((1,) * pixels.ndim, np.uint8)


def _label(task: Task, image: Any) -> None:
    counts = da.histogram(image, bins=256, range=(-0.5, 255.5))[0].compute()
    (levels,) = np.nonzero(counts)
    seen = np.arange(levels[0], levels[-1] + 1)
    threshold = filters.threshold_otsu(hist=(counts[seen], seen))
    labels, count = ndmeasure.label(image > threshold)
    _, objects = dask_compute(_written(task, "labels", labels.astype(np.int32)), count)
    stored = _read(task.output("labels"), task.case.block)
    area = da.bincount(stored.ravel(), minlength=int(objects) + 1).compute()[1:]
    arrays.write_table(task.out / "table", {"label": np.arange(1, len(area) + 1), "area": area})
