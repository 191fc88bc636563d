"""`skimage.measure`: Euler numbers and perimeters, from the patterns that small neighbourhoods of pixels form.

Blocks count the patterns, and scikit-image's own arithmetic turns the counts into a number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Partial, View, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Reduction, ValueFunction
from lepton_celery.catalogue.results import value_of
from lepton_celery.catalogue.shared.histograms import merge_counts
from lepton_celery.errors import InputError

_COUNTS: dict[str, Any] = {"merge": merge_counts, "result": value_of(np.int64, -1), "reads_itself": True}

# ------------------------------------------------------------------------------------------------ corners

_CORNERS = np.array([[1, 4], [2, 8]], np.uint8)
"""The weight of each pixel of a 2 × 2 neighbourhood in its pattern's number; in 3-D, times 16 for the plane before."""


@declare(Reduction("lepton.corner_counts", cost_ns=30.0, **_COUNTS))
def corner_counts(image: View, where: Where) -> Partial:
    """The count of each 2 × 2 (or 2 × 2 × 2) pattern of pixels above 0 that ends in the block; outside pixels are 0."""
    from scipy.ndimage import convolve

    ndim = len(where.shape)
    ends = list(zip(where.region.start, where.region.stop, where.shape, strict=True))
    pixels = image.read(where.region.expand((1,) * ndim, where.shape)) > 0
    # one more pixel on each side: the neighbouring block's, or 0 beyond the image's edge
    pixels = np.pad(pixels, [(int(a == 0), int(z == n)) for a, z, n in ends])
    config = np.zeros((3,) * ndim, np.uint8)
    config[(slice(1, None),) * ndim] = _CORNERS if ndim == 2 else np.stack([_CORNERS, 16 * _CORNERS])
    patterns = convolve(pixels.astype(np.uint8), config, mode="constant", cval=0)
    own = tuple(slice(int(a > 0), None if z == n else -1) for a, z, n in ends)
    return {"counts": np.bincount(patterns[own].ravel(), minlength=2 ** (2**ndim))}


@declare(ValueFunction("lepton.euler_of_squares", values=("counts",), result=value_of(np.int64)))
def euler_of_squares(counts: Array, connectivity: int | None) -> Any:
    """`skimage.measure.euler_number` of an image of two axes, from the counts of patterns."""
    from skimage.measure import _regionprops_utils as source

    return (source.EULER_COEFS2D_4 if connectivity == 1 else source.EULER_COEFS2D_8) @ counts


@declare(ValueFunction("lepton.euler_of_cubes", values=("counts",), result=value_of(np.int64), weak=True))
def euler_of_cubes(counts: Array, connectivity: int | None) -> int:
    """`skimage.measure.euler_number` of an image of three axes, from the counts of patterns."""
    from skimage.measure import _regionprops_utils as source

    coefficients = source.EULER_COEFS3D_26[::-1] if connectivity == 1 else source.EULER_COEFS3D_26
    return int(0.125 * coefficients @ counts)


def _check_euler(arguments: Arguments) -> None:
    ndim, connectivity = len(arguments["image"].shape), arguments["connectivity"]
    if connectivity is not None and (connectivity not in (1, ndim)):
        raise InputError(f"connectivity={connectivity} for an image of {ndim} axes; use 1 or {ndim}")


@declare(ValueFunction("lepton.crofton_of_counts", values=("counts",)))
def crofton_of_counts(counts: Array, directions: int) -> Any:
    """`skimage.measure.perimeter_crofton`, from the counts of patterns."""
    pi, slant = np.pi, np.sqrt(2)
    if directions == 2:
        half = pi / 2
        weights = [0, half, 0, 0, 0, half, 0, 0, half, pi, 0, 0, half, pi, 0, 0]
    else:
        one, side, both = pi / 4 * (1 + 1 / slant), pi / (4 * slant), pi / (2 * slant)
        weights = [0, one, side, both, 0, one, 0, side, pi / 4, pi / 2, side, side, pi / 4, pi / 2, 0, 0]
    return weights @ counts


# ------------------------------------------------------------------------------------------------ borders

_BORDER_PATTERNS = 50
"""The pattern numbers of a binary image's border are below this."""


@declare(Reduction("lepton.border_counts", cost_ns=50.0, **_COUNTS))
def border_counts(image: View, neighborhood: int, where: Where) -> Partial:
    """The count of each 3 × 3 pattern of border pixels whose middle is in the block, as in `perimeter`."""
    from scipy.ndimage import binary_erosion, convolve
    from skimage.measure._regionprops_utils import STREL_4, STREL_8

    read = where.region.expand((2, 2), where.shape)
    pixels = image.read(read).astype(np.uint8)
    border = pixels - binary_erosion(pixels, STREL_4 if neighborhood == 4 else STREL_8, border_value=0)
    patterns = convolve(border, np.array([[10, 2, 10], [2, 1, 2], [10, 2, 10]]), mode="constant", cval=0)
    counts = np.bincount(patterns[where.region.within(read)].ravel(), minlength=_BORDER_PATTERNS)
    if counts.size > _BORDER_PATTERNS:
        raise InputError("the perimeter needs a binary image, but this one has pixels above 1; compare it with 0 first")
    return {"counts": counts}


@declare(ValueFunction("lepton.length_of_counts", values=("counts",)))
def length_of_counts(counts: Array) -> Any:
    """`skimage.measure.perimeter`, from the counts of patterns."""
    weights = np.zeros(_BORDER_PATTERNS)
    weights[[5, 7, 15, 17, 25, 27]] = 1
    weights[[21, 33]] = math.sqrt(2)
    weights[[13, 23]] = (1 + math.sqrt(2)) / 2
    return counts @ weights


# ------------------------------------------------------------------------------------------------ entries


def _expand_euler(arguments: Arguments, build: Build) -> Lazy:
    image = arguments["image"]
    counts = build("lepton.corner_counts", image=image)
    name = "lepton.euler_of_squares" if image.ndim == 2 else "lepton.euler_of_cubes"
    return build(name, counts=counts, connectivity=arguments["connectivity"])


def _counted(
    counts: str, value: str, count_options: Sequence[str] = (), value_options: Sequence[str] = ()
) -> Callable[[Arguments, Build], Lazy]:
    """Expand to the entry `counts` and the entry `value` that uses its result, each with its own options."""

    def expand(arguments: Arguments, build: Build) -> Lazy:
        given = {name: arguments[name] for name in count_options}
        node = build(f"lepton.{counts}", image=arguments["image"], **given)
        return build(f"lepton.{value}", counts=node, **{name: arguments[name] for name in value_options})

    return expand


ENTRIES = (
    Composite(
        "measure.euler_number",
        expand=_expand_euler,
        check=_check_euler,
        ndims=(2, 3),
        gives="",
    ),
    Composite(
        "measure.perimeter_crofton",
        expand=_counted("corner_counts", "crofton_of_counts", value_options=("directions",)),
        ndims=(2,),
        gives="",
    ),
    Composite(
        "measure.perimeter",
        expand=_counted("border_counts", "length_of_counts", count_options=("neighborhood",)),
        choices={"neighborhood": (4, 8)},
        ndims=(2,),
        gives="",
    ),
)
