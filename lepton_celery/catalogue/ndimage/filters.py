"""`scipy.ndimage`: linear filters, rank filters and morphology, with SciPy's own signatures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array
from lepton_celery.catalogue.entries import Entry, Local, resolve
from lepton_celery.catalogue.geometry import HaloRule, Stencil
from lepton_celery.catalogue.ndimage.checks import check_binary, check_filter, check_hit_or_miss
from lepton_celery.catalogue.ndimage.kernels import KERNELS
from lepton_celery.catalogue.ndimage.windows import (
    WINDOW,
    along_axis,
    gaussian_gradient_halo,
    gaussian_halo,
    gaussian_laplace_halo,
    hit_or_miss_halo,
    per_axis,
    size_halo,
    structure_halo,
    weights_halo,
    window_halo,
    window_shape,
)
from lepton_celery.catalogue.promise import IDENTICAL, Promise, within
from lepton_celery.errors import InputError

# ------------------------------------------------------------------------------------------------ running minima, ranks


def _runs_along_lines(name: str, arguments: Arguments) -> bool:
    """Whether SciPy computes the minimum, maximum or rank at a pixel from that at the previous pixel."""
    if name in _RANKS and len(arguments["input"].shape) == 1:
        return True
    footprint = arguments.get("footprint")
    is_box = arguments.get("structure") is None and (footprint is None or bool(np.all(footprint)))
    if not is_box or name not in _RANKS:
        return is_box
    size = math.prod(per_axis(window_shape({"size": None, **arguments}), arguments, "size", 1))
    if name == "percentile_filter":
        rank = int(size * (float(arguments["percentile"]) % 100) / 100)
    else:
        rank = size // 2 if name == "median_filter" else int(arguments["rank"]) % size
    return rank in (0, size - 1)


def _without_nan(name: str) -> Callable[..., Array]:
    """`scipy.ndimage.{name}`, with an error for NaN if SciPy would propagate NaN along whole lines."""

    def function(**arguments: Any) -> Array:
        image = arguments["input"]
        if image.dtype.kind == "f" and _runs_along_lines(name, arguments) and np.isnan(image).any():
            raise InputError(
                f"the image has NaN, which SciPy's ndimage.{name} with a box propagates along whole lines; "
                "fill it first, for instance with numpy.nan_to_num"
            )
        result: Array = resolve(f"scipy.ndimage.{name}")(**arguments)
        return result

    return function


def _rank_promise(arguments: Arguments) -> Promise:
    if len(arguments["input"].shape) == 1 and arguments["input"].dtype.kind == "f":
        return within(1, "SciPy's rank filters of one axis return either of 0.0 and -0.0")
    return IDENTICAL


# ------------------------------------------------------------------------------------------------ entries

_WEIGHTS = "weights.shape // 2 + |origin|"
_WEIGHTS_1D = "len(weights) // 2 + |origin| along axis"
_LINEAR: Mapping[str, tuple[int | HaloRule, str, float, float]] = {
    "gaussian_filter": (gaussian_halo, "int(truncate * sigma + 0.5) or radius, per axis", 4.0, 0.33),
    "gaussian_filter1d": (along_axis(gaussian_halo), "int(truncate * sigma + 0.5) or radius, along axis", 1.0, 0.2),
    "gaussian_laplace": (gaussian_laplace_halo, "as gaussian_filter", 10.0, 0.66),
    "gaussian_gradient_magnitude": (gaussian_gradient_halo, "as gaussian_filter, on all axes", 12.0, 0.66),
    "laplace": (1, "1", 15.0, 0.0),
    "sobel": (1, "1", 8.0, 0.0),
    "prewitt": (1, "1", 8.0, 0.0),
    "correlate": (weights_halo, _WEIGHTS, 10.0, 0.0),
    "convolve": (weights_halo, _WEIGHTS, 10.0, 0.0),
    "correlate1d": (along_axis(weights_halo), _WEIGHTS_1D, 2.0, 0.0),
    "convolve1d": (along_axis(weights_halo), _WEIGHTS_1D, 2.0, 0.0),
}
"""Halo, its formula, nanoseconds per pixel, and nanoseconds per pixel and tap."""

_RANKS = {"median_filter": 160.0, "percentile_filter": 80.0, "rank_filter": 80.0}
_EXTREMA = {"minimum_filter": 30.0, "maximum_filter": 30.0, "grey_erosion": 30.0, "grey_dilation": 30.0}
_GREY = {
    **{name: (1, cost) for name, cost in (_RANKS | _EXTREMA).items()},
    "grey_opening": (2, 60.0),
    "grey_closing": (2, 60.0),
    "white_tophat": (2, 62.0),
    "black_tophat": (2, 62.0),
    "morphological_gradient": (1, 62.0),
    "morphological_laplace": (1, 65.0),
}
"""Number of passes over the image, and nanoseconds per pixel with a small window."""
_BINARY = {"binary_erosion": 1, "binary_dilation": 1, "binary_opening": 2, "binary_closing": 2}
"""Number of passes over the image in each iteration."""

_EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    **{name: {"sigma": 1.0} for name in _LINEAR if name.startswith("gaussian")},
    **{
        name: {"weights": lambda ndim: np.arange(1.0, 4.0).reshape((1,) * (ndim - 1) + (3,))}
        for name in ("correlate", "convolve")
    },
    **{name: {"weights": np.array([1.0, 2.0, 1.0])} for name in ("correlate1d", "convolve1d")},
    **{name: {"size": 3} for name in _GREY},
    **{name: {"size": 3} for name in ("minimum_filter1d", "maximum_filter1d")},
    "percentile_filter": {"size": 3, "percentile": 30},
    "rank_filter": {"size": 3, "rank": 2},
}


def _filter(name: str, halo: int | HaloRule, formula: str, **options: Any) -> Local:
    options.setdefault("images", ("input",))
    options.setdefault("check", check_filter)
    return Local(
        f"ndimage.{name}",
        geometry=Stencil(halo, formula),
        example=_EXAMPLES.get(name, {}),
        kernel=KERNELS.get(name),
        **options,
    )


def _grey(name: str, passes: int, cost_ns: float) -> Local:
    return _filter(
        name,
        window_halo(passes),
        f"{passes} * ({WINDOW})" if passes > 1 else WINDOW,
        function=_without_nan(name),
        promise=_rank_promise if name in _RANKS else IDENTICAL,
        dtype_kinds="iuf" if name.startswith("morphological") else "biuf",
        cost_ns=cost_ns,
    )


ENTRIES: tuple[Entry, ...] = (
    *(_filter(name, halo, formula, cost_ns=cost, tap_ns=tap) for name, (halo, formula, cost, tap) in _LINEAR.items()),
    *(_grey(name, passes, cost) for name, (passes, cost) in _GREY.items()),
    *(
        _filter(
            f"{name}_filter1d",
            along_axis(size_halo),
            "size // 2 + |origin| along axis",
            function=_without_nan(f"{name}_filter1d"),
            cost_ns=7.0,
        )
        for name in ("minimum", "maximum")
    ),
    *(
        _filter(
            name,
            structure_halo(passes),
            f"{passes} * iterations * (structure.shape // 2 + |origin|)",
            images=("input", "mask"),
            samples={"input": "mask", "mask": "mask"},
            check=check_binary,
            cost_ns=20.0 * passes,
        )
        for name, passes in _BINARY.items()
    ),
    _filter(
        "binary_hit_or_miss",
        hit_or_miss_halo,
        "structure.shape // 2 + |origin| of the larger structure",
        samples={"input": "mask"},
        check=check_hit_or_miss,
        cost_ns=40.0,
    ),
)
