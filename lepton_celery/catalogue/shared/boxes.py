"""Images reduced box by box: `skimage.measure.block_reduce` and `skimage.transform.downscale_local_mean`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, DType, Lazy, Shape, Shapes, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Local
from lepton_celery.errors import InputError
from lepton_celery.grid import Region


class Boxes:
    """A pixel of the result depends on a box of `arguments["block_size"]` pixels, counted from the image's origin."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        return tuple(-(-n // size) for n, size in zip(images[0], arguments["block_size"], strict=True))

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        axes = zip(region.start, region.stop, arguments["block_size"], images[0], strict=True)
        return [Region(*zip(*((start * size, min(n, stop * size)) for start, stop, size, n in axes), strict=True))]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result


def _dtype(arguments: Arguments) -> DType:
    options = {} if arguments["dtype"] is None else {"dtype": np.dtype(arguments["dtype"])}
    sample = np.ones((1, 1), arguments["image"].dtype)
    dtype: DType = getattr(np, arguments["func"])(sample, axis=(1,), **options).dtype
    return dtype


@declare(Local("lepton.reduce_boxes", geometry=Boxes(), wants_where=True, dtype=_dtype, cost_ns=60.0))
def reduce_boxes(
    image: Array, block_size: Sequence[int], func: str, cval: float, dtype: str | None, where: Where
) -> Array:
    """Run `skimage.measure.block_reduce` on a block.

    NumPy adds up a single box along an axis in another order than several boxes. If the whole image has several boxes along
    an axis, a block with one box is padded to two.
    """
    from skimage.measure import block_reduce

    counts = [-(-n // size) for n, size in zip(image.shape, block_size, strict=True)]
    missing = [
        (0, (2 if count == 1 and whole > size else count) * size - n)
        for n, count, whole, size in zip(image.shape, counts, where.shape, block_size, strict=True)
    ]
    if any(after for _, after in missing):
        image = np.pad(image, missing, mode="constant", constant_values=cval)
    options = {} if dtype is None else {"dtype": np.dtype(dtype)}
    reduced: Array = block_reduce(image, tuple(block_size), getattr(np, func), cval, options)
    return reduced[tuple(slice(count) for count in counts)]


def boxes(image: Lazy, name: str, sizes: Any, func: str, cval: float, dtype: Any, build: Build) -> Lazy:
    """The node of an image reduced box by box with the NumPy function `func`; `name` is the user's parameter for `sizes`."""
    per_axis = list(sizes) if np.ndim(sizes) else [sizes] * image.ndim
    if len(per_axis) != image.ndim or not all(isinstance(n, int | np.integer) and n >= 1 for n in per_axis):
        raise InputError(
            f"{name} {sizes!r} for an image of shape {image.shape}; give a whole number of at least 1 per axis"
        )
    block_size = tuple(int(n) for n in per_axis)
    dtype_name = None if dtype is None else np.dtype(dtype).name
    return build("lepton.reduce_boxes", image=image, block_size=block_size, func=func, cval=cval, dtype=dtype_name)
