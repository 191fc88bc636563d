"""`skimage.metrics.structural_similarity`: means over windows around each pixel, then a map, then its mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Local, ValueFunction
from lepton_celery.catalogue.metrics.pairs import check_pair, dtype_range
from lepton_celery.catalogue.shared.axes import TrailingAxis, WithoutTrailing
from lepton_celery.catalogue.shared.buffers import crop_sum
from lepton_celery.catalogue.shared.select import split_channels
from lepton_celery.errors import InputError

_PRODUCTS = 5

_HIDDEN: Mapping[str, Any] = {"K1": 0.01, "K2": 0.03, "sigma": 1.5, "use_sample_covariance": True}
"""Parameters that scikit-image takes by `**kwargs`, with its defaults."""


def _option(arguments: Arguments, name: str) -> Any:
    return arguments.get(name, _HIDDEN[name])


@declare(
    Local(
        "lepton.products",
        images=("im1", "im2"),
        geometry=TrailingAxis(lambda images, arguments: _PRODUCTS),
        cost_ns=12.0,
    )
)
def products(im1: Array, im2: Array, dtype: str) -> Array:
    """Both images, their squares and their product, as numbers of each pixel."""
    x, y = im1.astype(dtype, copy=False), im2.astype(dtype, copy=False)
    return np.stack([x, y, x * x, y * y, x * y], axis=-1)


@declare(Local("lepton.similarity", images=("means",), dtype_kinds="f", geometry=WithoutTrailing(), cost_ns=40.0))
def similarity(means: Array, norm: float, data_range: float, K1: float, K2: float) -> Array:  # noqa: N803
    """Source: `skimage.metrics.structural_similarity`, from the windows' means."""
    ux, uy, uxx, uyy, uxy = (means[..., number] for number in range(_PRODUCTS))
    vx, vy, vxy = norm * (uxx - ux * ux), norm * (uyy - uy * uy), norm * (uxy - ux * uy)
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    a1, a2 = 2 * ux * uy + c1, 2 * vxy + c2
    b1, b2 = ux**2 + uy**2 + c1, vx + vy + c2
    result: Array = a1 * a2 / (b1 * b2)
    return result


@declare(ValueFunction("lepton.mean_of_channels", result=lambda arguments: ((), np.dtype(arguments["dtype"]))))
def mean_of_channels(dtype: str, **means: Any) -> Any:
    """The mean of the channels' means."""
    return np.array(list(means.values()), dtype).mean()


def _window(arguments: Arguments) -> int:
    """Pixels of the window along each axis."""
    size = arguments["win_size"]
    if size is not None:
        return int(size)
    return 2 * int(3.5 * _option(arguments, "sigma") + 0.5) + 1 if arguments["gaussian_weights"] else 7


_PARAMETERS = frozenset(
    "im1 im2 win_size gradient data_range channel_axis gaussian_weights full kwargs result_index".split()
)
"""The arguments of a node, apart from those that `structural_similarity` hides behind `**kwargs`."""


def _check(arguments: Arguments) -> None:
    check_pair(arguments)
    for name in set(arguments) - _PARAMETERS - set(_HIDDEN):
        raise InputError(
            f"structural_similarity has no parameter {name!r}; beside its own there are {', '.join(_HIDDEN)}"
        )
    if arguments["gradient"]:
        raise InputError("gradient=True is not supported here; leave it out")
    for name in ("K1", "K2", "sigma"):
        if _option(arguments, name) < 0:
            raise InputError(f"{name}={arguments[name]}; give a number of 0 or more")
    kinds = {arguments[name].dtype.kind for name in ("im1", "im2")}
    if arguments["data_range"] is None and "f" in kinds:
        raise InputError("the range of float images is not known; give data_range, for instance 1.0")
    if _window(arguments) == 1 and _option(arguments, "use_sample_covariance"):
        raise InputError("a window of one pixel has no sample covariance; give a larger win_size")
    size, axis, shape = _window(arguments), arguments["channel_axis"], arguments["im1"].shape
    spatial = [n for other, n in enumerate(shape) if axis is None or other != axis % len(shape)]
    if size % 2 == 0 or size < 1 or size > min(spatial):
        raise InputError(f"a window of {size} pixels for an image of {spatial}; give an odd win_size that fits in")


@declare(
    Composite(
        "metrics.structural_similarity",
        images=("im1", "im2"),
        check=_check,
        returns=lambda arguments: 2 if arguments["full"] else 0,
        gives="",
    )
)
def _expand(arguments: Arguments, build: Build) -> Lazy:
    axis, dtype = arguments["channel_axis"], "float32" if arguments["im1"].dtype == np.float32 else "float64"
    pairs = zip(*(split_channels(arguments[name], axis, build) for name in ("im1", "im2")), strict=True)
    maps = [_similarity_map(arguments, x, y, dtype, build) for x, y in pairs]
    if arguments.get("result_index") == 1:
        if axis is None:
            return maps[0]
        members = {f"arrays.{number}": of_channel for number, of_channel in enumerate(maps)}
        whole = build("numpy.stack", **members, axis=axis)
        return whole if whole.dtype == dtype else build("numpy.astype", x=whole, dtype=dtype)
    pad = (_window(arguments) - 1) // 2
    crop = [(pad, n - pad) for n in maps[0].shape]
    count = math.prod(stop - start for start, stop in crop)
    means = [
        build("lepton.mean_of", total=crop_sum(of_channel, crop, "float64", build), count=count) for of_channel in maps
    ]
    if axis is None:
        return means[0]
    return build("lepton.mean_of_channels", **{f"mean{number}": mean for number, mean in enumerate(means)}, dtype=dtype)


def _similarity_map(arguments: Arguments, im1: Lazy, im2: Lazy, dtype: str, build: Build) -> Lazy:
    size, ndim = _window(arguments), len(im1.shape)
    pixels = build("lepton.products", im1=im1, im2=im2, dtype=dtype)
    if arguments["gaussian_weights"]:
        window = {"sigma": _option(arguments, "sigma"), "truncate": 3.5, "mode": "reflect", "channel_axis": -1}
        means = build("filters.gaussian", image=pixels, **window)
    else:
        means = build("ndimage.uniform_filter", input=pixels, size=(size,) * ndim, axes=tuple(range(ndim)))
    data_range = arguments["data_range"]
    if data_range is None:
        low, high = dtype_range(im1.dtype)
        data_range = high - low
    number = size**ndim
    norm = number / (number - 1) if _option(arguments, "use_sample_covariance") else 1.0
    constants = {name: _option(arguments, name) for name in ("K1", "K2")}
    return build("lepton.similarity", means=means, norm=norm, data_range=data_range, **constants)
