"""`skimage.filters.rank`: filters computed from the histogram of each pixel's neighbourhood."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Entry, Local, resolve
from lepton_celery.catalogue.geometry import Stencil
from lepton_celery.catalogue.shared.axes import TrailingAxis
from lepton_celery.catalogue.shared.halos import footprint_halo
from lepton_celery.catalogue.shared.values import Extent
from lepton_celery.errors import InputError

_SHIFTS = {2: ("shift_y", "shift_x"), 3: ("shift_x", "shift_y", "shift_z")}
"""The shift parameter of each axis, by the number of axes; scikit-image orders them differently in 2-D and in 3-D."""

DTYPES = ("uint8", "uint16", "int8", "float32", "float64")
"""Dtypes that scikit-image converts to uint8 or uint16 pixel by pixel. It scales wider integers by the image's maximum."""

_SOLID_NS = {
    "autolevel": 45.0,
    "entropy": 900.0,
    "enhance_contrast": 40.0,
    "equalize": 65.0,
    "geometric_mean": 500.0,
    "gradient": 40.0,
    "majority": 120.0,
    "maximum": 30.0,
    "mean": 110.0,
    "median": 220.0,
    "minimum": 30.0,
    "modal": 120.0,
    "noise_filter": 50.0,
    "otsu": 500.0,
    "pop": 20.0,
    "subtract_mean": 110.0,
    "sum": 110.0,
    "threshold": 110.0,
}
"""Costs of functions of 2-D and 3-D images: nanoseconds per uint8 pixel, for footprints of 9 to 80 pixels."""
_FLAT_NS = {
    **dict.fromkeys(("mean_bilateral", "pop_bilateral", "sum_bilateral"), 160.0),
    **dict.fromkeys(("mean_percentile", "pop_percentile", "subtract_mean_percentile", "sum_percentile"), 210.0),
    **dict.fromkeys(("autolevel_percentile", "enhance_contrast_percentile"), 60.0),
    **dict.fromkeys(("gradient_percentile", "percentile", "threshold_percentile"), 30.0),
}
"""The same costs, for functions of 2-D images only."""
SOLID = tuple(_SOLID_NS)
FLAT = tuple(_FLAT_NS)
_BY_RANGE = (
    *("autolevel", "equalize", "noise_filter", "subtract_mean"),
    *("autolevel_percentile", "gradient_percentile", "subtract_mean_percentile", "threshold_percentile"),
)
"""Functions whose result for uint16 depends on the number of bins, which is the whole image's maximum plus one."""


def halo(arguments: Arguments) -> tuple[int, ...]:
    """How far the shifted footprint reaches."""
    ndim = len(arguments["image"].shape)
    shifts = (arguments.get(name, 0) for name in _SHIFTS.get(ndim, ()))
    return tuple(
        h + ceil(abs(shift)) for h, shift in zip(footprint_halo(arguments["footprint"], ndim), shifts, strict=True)
    )


_FORMULA = "footprint // 2 + |shift| per axis"
_STENCIL = Stencil(halo, _FORMULA)
_EXAMPLE = {"footprint": lambda ndim: np.ones((3,) * ndim, np.uint8)}


def _check(arguments: Arguments) -> None:
    lengths, mask = np.shape(arguments["footprint"]), arguments["mask"]
    for length, name in zip(lengths, _SHIFTS.get(len(lengths), ()), strict=False):
        shift = arguments.get(name, 0)
        if not 0 <= length // 2 + shift < length:
            raise InputError(
                f"{name}={shift} moves the centre out of a footprint of shape {lengths}; give a smaller one"
            )
    if mask is not None and mask.dtype.kind in "iu" and mask.dtype.itemsize > 1:
        raise InputError(f"mask is {mask.dtype}, which scikit-image scales by its maximum; give mask > 0")


def _check_bins(arguments: Arguments) -> None:
    _check(arguments)
    bins, most = arguments["n_bins"], 65536 if arguments["image"].dtype == np.uint16 else 256
    if not isinstance(bins, int | np.integer) or not 1 <= bins <= most:
        raise InputError(
            f"n_bins is {bins!r}, and by default the image's maximum would decide the result's shape; "
            f"give a whole number from 1 to {most}"
        )


def _with_value(image: Array, mask: Array | None, value: int) -> tuple[Array, Array]:
    """The image with a row of `value` after its last row, and a mask that leaves the new row out of every histogram."""
    mask = np.ones(image.shape, bool) if mask is None else mask
    row = np.full((1, *image.shape[1:]), value, image.dtype)
    return np.concatenate([image, row]), np.concatenate([mask, np.zeros_like(mask[:1], shape=row.shape)])


@declare(Local("lepton.ranked", images=("image", "mask"), values=("extent",), geometry=_STENCIL, cost_ns=60.0))
def ranked(
    image: Array,
    method: str,
    footprint: Array,
    mask: Array | None = None,
    extent: Extent | None = None,
    **options: Any,
) -> Array:
    """`skimage.filters.rank.{method}` of a block; `extent` is the whole image's extent if the image is uint16."""
    function = resolve(f"skimage.filters.rank.{method}")
    if extent is None:
        return np.asarray(function(image, footprint, mask=mask, **options))
    image, mask = _with_value(image, mask, extent[1])
    return np.asarray(function(image, footprint, mask=mask, **options)[:-1])


def _expand(method: str) -> Callable[[Arguments, Build], Lazy]:
    def expand(arguments: Arguments, build: Build) -> Lazy:
        image = arguments["image"]
        extent = build("lepton.extent", image=image) if image.dtype == np.uint16 else None
        return build("lepton.ranked", method=method, extent=extent, **arguments)

    return expand


def _options(name: str, cost_ns: float) -> dict[str, Any]:
    return {
        "images": ("image", "mask"),
        "samples": {"mask": "mask"},
        "dtypes": ("bool", *DTYPES) if name in SOLID else DTYPES,
        "ndims": (2, 3) if name in SOLID else (2,),
        "check": _check,
        "example": _EXAMPLE,
        "cost_ns": cost_ns,
    }


def _entry(name: str, cost_ns: float) -> Entry:
    if name in _BY_RANGE:
        return Composite(f"filters.rank.{name}", expand=_expand(name), gives="image", **_options(name, cost_ns))
    return Local(f"filters.rank.{name}", geometry=_STENCIL, **_options(name, cost_ns))


@declare(
    Local(
        "filters.rank.windowed_histogram",
        geometry=TrailingAxis(lambda images, arguments: int(arguments["n_bins"]), halo, _FORMULA),
        **_options("windowed_histogram", 500.0) | {"check": _check_bins, "example": {**_EXAMPLE, "n_bins": 16}},
    )
)
def windowed_histogram(
    image: Array, footprint: Array, mask: Array | None = None, shift_x: int = 0, shift_y: int = 0, n_bins: int = 1
) -> Array:
    """`skimage.filters.rank.windowed_histogram` of a block. For uint16 a masked row ensures that there are `n_bins` bins."""
    from skimage.filters import rank

    options = {"shift_x": shift_x, "shift_y": shift_y, "n_bins": n_bins}
    if image.dtype != np.uint16:
        return np.asarray(rank.windowed_histogram(image, footprint, mask=mask, **options))
    image, mask = _with_value(image, mask, n_bins - 1)
    return np.asarray(rank.windowed_histogram(image, footprint, mask=mask, **options)[:-1])


ENTRIES = tuple(_entry(name, cost) for name, cost in (_SOLID_NS | _FLAT_NS).items())
