"""`skimage.feature`: descriptors on a grid of patches (`hog`, `daisy`) and at every pixel (`multiscale_basic_features`)."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, DType, Lazy, Shape, Shapes, Where, float_dtype
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Local
from lepton_celery.catalogue.geometry import Stencil
from lepton_celery.catalogue.shared.axes import TrailingAxis, uncut
from lepton_celery.catalogue.shared.halos import gaussian_radius
from lepton_celery.catalogue.shared.select import split_channels
from lepton_celery.errors import InputError
from lepton_celery.grid import Region

# ------------------------------------------------------------------------------------------------ at every pixel


def _feature_count(images: Shapes, arguments: Arguments) -> int:
    count = arguments["num_sigma"]
    if count is None:
        count = int(np.log2(arguments["sigma_max"]) - np.log2(arguments["sigma_min"]) + 1)
    of_scale = bool(arguments["intensity"]) + bool(arguments["edges"]) + len(images[0]) * bool(arguments["texture"])
    return len(images) * int(count) * of_scale


def _features_halo(arguments: Arguments) -> int:
    widest = max(arguments["sigma_min"], arguments["sigma_max"])
    return gaussian_radius(widest * (1 + 1e-12)) + 2  # scikit-image computes the sigmas with logarithms, which round


@declare(
    Local(
        "lepton.features",
        images=(),
        sequences=("channels",),
        geometry=TrailingAxis(_feature_count, _features_halo),
        own_stage=uncut(1),
        cost_ns=55.0,
    )
)
def features(channels: Sequence[Array], **options: Any) -> Array:
    """`skimage.feature.multiscale_basic_features` of each channel, joined along the last axis."""
    from skimage.feature import multiscale_basic_features

    return np.concatenate([multiscale_basic_features(channel, **options) for channel in channels], axis=-1)


@declare(Composite("feature.multiscale_basic_features", gives="image"))
def _expand_features(arguments: Arguments, build: Build) -> Lazy:
    options = {name: arguments[name] for name in ("intensity", "edges", "texture")}
    scales = {name: arguments[name] for name in ("sigma_min", "sigma_max", "num_sigma")}
    # a worker process has one core
    return build("lepton.features", **_members(arguments, build), **options, **scales, workers=1)


def _members(arguments: Arguments, build: Build) -> dict[str, Lazy]:
    """The channels of an image, as the members of the sequence `channels`."""
    channels = split_channels(arguments["image"], arguments["channel_axis"], build)
    return {f"channels.{number}": channel for number, channel in enumerate(channels)}


# ------------------------------------------------------------------------------------------------ on a grid


@dataclass(frozen=True)
class Patches:
    """An array of numbers for each patch of `size` pixels; patches begin every `step` pixels, from the image's origin.

    A block also reads `margin` patches before and after its own, because results near the edge of the pixels read are wrong.
    The function drops the patches before the block with `without_margin`, because `trim` does not get the arguments.
    """

    step: Callable[[Arguments], tuple[int, int]]
    size: Callable[[Arguments], tuple[int, int]]
    numbers: Callable[[Arguments], Shape]
    """Shape of the numbers for one patch."""
    margin: Callable[[Arguments], tuple[int, int]]

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        shape = Stencil().result_shape(images, arguments)
        step, size = self.step(arguments), self.size(arguments)
        if any(n < k for n, k in zip(shape, size, strict=True)):
            raise InputError(f"an image of shape {shape} is smaller than one patch of {size} pixels; use smaller ones")
        patches = ((n - k) // s + 1 for n, k, s in zip(shape, size, step, strict=True))
        return (*patches, *self.numbers(arguments))

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        step, size, margin = self.step(arguments), self.size(arguments), self.margin(arguments)
        start, stop = region.start[:2], region.stop[:2]
        read = Region(
            tuple(max(0, a - m) * s for a, m, s in zip(start, margin, step, strict=True)),
            tuple(
                min(n, (z - 1 + m) * s + k) for z, m, s, k, n in zip(stop, margin, step, size, images[0], strict=True)
            ),
        )
        return [read for _ in images]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        before = [a if r == 0 else 0 for a, r in zip(region.start[:2], read[0].start, strict=True)]
        cut = [slice(b, b + n) for b, n in zip(before, region.shape[:2], strict=True)]
        return result[(*cut, *region.slices[2:])]


def without_margin(result: Array, margin: tuple[int, int], where: Where) -> Array:
    """The result without the margin's patches before the block, of which there are none at the image's edge."""
    return result[tuple(slice(m if a else 0, None) for m, a in zip(margin, where.region.start, strict=True))]


def _dtype(arguments: Arguments) -> DType:
    image = next(value for name, value in arguments.items() if name in ("image", "channels.0"))
    return float_dtype(image.dtype)


# ------------------------------------------------------------------------------------------------ hog

_CELLS = Patches(
    step=lambda arguments: tuple(arguments["pixels_per_cell"]),
    size=lambda arguments: tuple(
        c * b for c, b in zip(arguments["pixels_per_cell"], arguments["cells_per_block"], strict=True)
    ),
    numbers=lambda arguments: (*arguments["cells_per_block"], arguments["orientations"]),
    margin=lambda arguments: (1, 1),
)


@declare(
    Local(
        "lepton.hog",
        images=(),
        sequences=("channels",),
        geometry=_CELLS,
        wants_where=True,
        own_stage=uncut(3),
        dtype=_dtype,
        cost_ns=450.0,
    )
)
def hog(channels: Sequence[Array], coloured: bool, where: Where, **options: Any) -> Array:
    """`skimage.feature.hog` of the pixels read, without the margin before the block."""
    from skimage.feature import hog as whole_hog

    image, axis = (np.stack(channels, axis=-1), -1) if coloured else (channels[0], None)
    return without_margin(whole_hog(image, feature_vector=False, channel_axis=axis, **options), (1, 1), where)


class Ravel:
    """The flattened image, of which whole positions along the first axis are read."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        return (math.prod(images[0]),)

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        first, *others = images[0]
        row = math.prod(others)
        rows = region.start[0] // row, min(first, -(-region.stop[0] // row))
        return [Region((rows[0], *(0 for _ in others)), (rows[1], *others))]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        before = read[0].start[0] * math.prod(read[0].shape[1:])
        return result[region.start[0] - before : region.stop[0] - before]


def _check_hog(arguments: Arguments) -> None:
    if arguments["visualize"]:
        raise InputError("hog with visualize=True is not supported here; draw the cells of the result on a crop")
    cell, block, axis = (arguments[name] for name in ("pixels_per_cell", "cells_per_block", "channel_axis"))
    shape = list(arguments["image"].shape)
    if axis is not None:
        del shape[axis]
    least = tuple(int(c) * int(b) for c, b in zip(cell, block, strict=True))
    if any(n < m for n, m in zip(shape, least, strict=False)):
        raise InputError(
            "The input image is too small given the values of pixels_per_cell and cells_per_block parameters: it has "
            f"{tuple(shape)} pixels, and these need at least {least}"
        )


@declare(
    Composite(
        "feature.hog",
        check=_check_hog,
        choices={"block_norm": ("L1", "L1-sqrt", "L2", "L2-Hys")},
        least={"orientations": 1},
        ndims=(2,),
        gives="image",
        example={"pixels_per_cell": (3, 3), "cells_per_block": (1, 1), "feature_vector": False},
    )
)
def _expand_hog(arguments: Arguments, build: Build) -> Lazy:
    options = {name: arguments[name] for name in ("orientations", "block_norm", "transform_sqrt")}
    cells = {name: tuple(map(int, arguments[name])) for name in ("pixels_per_cell", "cells_per_block")}
    coloured = arguments["channel_axis"] is not None
    blocks = build("lepton.hog", **_members(arguments, build), coloured=coloured, **options, **cells)
    return build("lepton.ravel", a=blocks) if arguments["feature_vector"] else blocks


# ------------------------------------------------------------------------------------------------ daisy


def _rings(arguments: Arguments) -> tuple[int, float, int]:
    """Radius of a DAISY descriptor, its widest sigma, and the number of its rings."""
    radius, rings, sigmas = arguments["radius"], arguments["rings"], arguments["sigmas"]
    if arguments["ring_radii"] is not None:
        rings, radius = len(arguments["ring_radii"]), arguments["ring_radii"][-1]
    if sigmas is not None:
        return radius, max(sigmas), len(sigmas) - 1
    return radius, radius / 2, rings


def _daisy_margin(arguments: Arguments) -> tuple[int, int]:
    reach = gaussian_radius(_rings(arguments)[1]) + 1
    margin = max(1, -(-reach // arguments["step"]))
    return margin, margin


def _daisy_numbers(arguments: Arguments) -> Shape:
    return ((_rings(arguments)[2] * arguments["histograms"] + 1) * arguments["orientations"],)


def _daisy_size(arguments: Arguments) -> tuple[int, int]:
    size = 2 * _rings(arguments)[0] + 1
    return size, size


def _check_daisy(arguments: Arguments) -> None:
    if arguments["visualize"]:
        raise InputError("daisy with visualize=True is not supported here; draw the descriptors of a crop")


@declare(
    Local(
        "feature.daisy",
        geometry=Patches(lambda arguments: (arguments["step"],) * 2, _daisy_size, _daisy_numbers, _daisy_margin),
        wants_where=True,
        check=_check_daisy,
        choices={"normalization": ("l1", "l2", "daisy", "off")},
        least={"step": 1, "radius": 1, "rings": 1, "histograms": 1, "orientations": 1},
        ndims=(2,),
        example={"step": 2, "radius": 2, "rings": 1, "histograms": 4, "orientations": 4},
        own_stage=uncut(1),
        dtype=_dtype,
        cost_ns=1200.0,
    )
)
def daisy(image: Array, where: Where, **options: Any) -> Array:
    """`skimage.feature.daisy` of the pixels read, without the margin before the block."""
    from skimage.feature import daisy as whole_daisy

    defaults = {name: parameter.default for name, parameter in inspect.signature(whole_daisy).parameters.items()}
    given: dict[str, Any] = {**defaults, **options}
    del given["image"]
    for name in ("sigmas", "ring_radii"):
        given[name] = None if given[name] is None else list(given[name])
    return without_margin(whole_daisy(image, **given), _daisy_margin(given), where)


ENTRIES = (
    Local("lepton.ravel", source="numpy.ravel", images=("a",), function=np.ravel, geometry=Ravel(), cost_ns=1.0),
)
