"""`skimage.filters`: a threshold for each pixel, by `threshold_local`, `threshold_niblack` and `threshold_sauvola`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Shape, Shapes
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Entry, Local
from lepton_celery.catalogue.geometry import Stencil
from lepton_celery.catalogue.shared.axes import integral
from lepton_celery.catalogue.shared.halos import check_mode
from lepton_celery.errors import InputError
from lepton_celery.grid import Region


def _lengths(arguments: Arguments, name: str) -> tuple[int, ...]:
    """The window's length along each axis."""
    ndim = len(arguments["image"].shape)
    return tuple(int(n) for n in np.broadcast_to(arguments[name], ndim))


# ------------------------------------------------------------------------------------------------ threshold_local


def _check_local(arguments: Arguments) -> None:
    check_mode(arguments)
    ndim, size = len(arguments["image"].shape), arguments["block_size"]
    if np.ndim(size) and len(size) != ndim:
        raise InputError(f"block_size {size} for an image of {ndim} axes; give one number, or one per axis")
    if any(n % 2 == 0 or n < 1 for n in _lengths(arguments, "block_size")):
        raise InputError(f"block_size {size} has even lengths; give odd ones")
    if arguments["method"] not in ("gaussian", "mean", "median"):
        raise InputError(
            f"method={arguments['method']!r} is not supported here; use 'gaussian', 'mean' or 'median', "
            "or lepton.map_blocks for a function of your own"
        )


_BLURS = {"mean": "ndimage.uniform_filter", "median": "ndimage.median_filter"}


@declare(Composite("filters.threshold_local", check=_check_local, gives="image"))
def _expand_local(arguments: Arguments, build: Build) -> Lazy:
    image, method, param = arguments["image"], arguments["method"], arguments["param"]
    size = _lengths(arguments, "block_size")
    edge = {"mode": arguments["mode"], "cval": arguments["cval"]}
    image = build("numpy.astype", x=image, dtype="float32" if image.dtype == np.float32 else "float64")
    if method == "gaussian":
        sigma = tuple((n - 1) / 6.0 for n in size) if param is None else param
        blurred = build("filters.gaussian", image=image, sigma=sigma, **edge)
    else:
        blurred = build(_BLURS[method], input=image, size=size, **edge)
    return build("numpy.subtract", x1=blurred, x2=arguments["offset"])


# ------------------------------------------------------------------------------------------------ niblack, sauvola


class SlidingWindows:
    """A pixel depends on integral images of the padded image, at the corners of the pixel's window.

    The window begins at the pixel's own position, and its corners lie `arguments["size"]` pixels apart.
    """

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        return tuple(n - size for n, size in zip(images[0], arguments["size"], strict=True))

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        stop = tuple(end + size for end, size in zip(region.stop, arguments["size"], strict=True))
        return [Region(region.start, stop) for _ in images]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result


@declare(Local("lepton.window_threshold", images=("sums", "squares"), geometry=SlidingWindows(), cost_ns=40.0))
def window_threshold(
    sums: Array, squares: Array, size: Sequence[int], k: float, r: float | None, single: bool
) -> Array:
    """`threshold_sauvola`, or `threshold_niblack` if `r` is None, from integral images of the padded image.

    The corners are added in scikit-image's order, which determines the rounding.
    """
    corners = list(product(*((0, n) for n in size)))

    def mean(sums: Array) -> Array:
        spans = [
            tuple(slice(start, start + n - s) for start, n, s in zip(corner, sums.shape, size, strict=True))
            for corner in corners
        ]
        signs = [(-1) ** (len(size) % 2 != sum(corner) % 2) for corner in corners]
        total: Array = signs[0] * sums[spans[0]]
        for sign, span in zip(signs[1:], spans[1:], strict=True):
            total += sign * sums[span]
        total = total.astype(np.float32 if single else np.float64, copy=False)
        total /= math.prod(size)
        return total

    m, g2 = mean(sums), mean(squares)
    s = np.sqrt(np.clip(g2 - m * m, 0, None))
    result: Array = m - k * s if r is None else m * (1 + k * ((s / r) - 1))
    return result


def _adds_up_exactly(image: Lazy, size: Sequence[int]) -> bool:
    """Whether float64 holds the sum of squares of the padded image exactly, so that each block can add up its own pixels."""
    bits = 1 if image.dtype == bool else 8 * image.dtype.itemsize
    pixels = math.prod(float(n + s) for n, s in zip(image.shape, size, strict=True))
    return bool(image.dtype.kind in "biu" and 4.0**bits * pixels < 2**53)


def _expand_window(name: str) -> Callable[[Arguments, Build], Lazy]:
    def expand(arguments: Arguments, build: Build) -> Lazy:
        from skimage.util.dtype import dtype_range

        image, size = arguments["image"], _lengths(arguments, "window_size")
        if _adds_up_exactly(image, size):
            return build(f"lepton.threshold_{name}", **{**arguments, "window_size": size})
        r = arguments.get("r")
        if name == "sauvola" and r is None:
            low, high = dtype_range[image.dtype.type]  # the values of `skimage.util.dtype.dtype_limits`
            r = 0.5 * (float(high) - float(low))
        single = image.dtype == np.float32
        image = build("numpy.astype", x=image, dtype="float32" if single else "float64")
        pairs = tuple((n // 2 + 1, n // 2) for n in size)
        image = build("numpy.pad", array=image, pad_width=pairs, mode="reflect")
        sums = integral(image, build)
        squares = integral(build("numpy.multiply", x1=image, x2=image), build)
        return build(
            "lepton.window_threshold", sums=sums, squares=squares, size=size, k=arguments["k"], r=r, single=single
        )

    return expand


def _check_window(arguments: Arguments) -> None:
    sizes = np.atleast_1d(arguments["window_size"])
    if any(n % 2 == 0 or n < 1 for n in sizes) or sizes.size not in (1, len(arguments["image"].shape)):
        raise InputError(f"window_size {arguments['window_size']}; give one odd number, or one per axis")


_EXACT = Stencil(lambda arguments: tuple(n // 2 + 1 for n in arguments["window_size"]), "window_size // 2 + 1")

ENTRIES: tuple[Entry, ...] = (
    *(
        Composite(f"filters.threshold_{name}", check=_check_window, expand=_expand_window(name), gives="image")
        for name in ("niblack", "sauvola")
    ),
    *(
        Local(
            f"lepton.threshold_{name}",
            source=f"skimage.filters.threshold_{name}",
            geometry=_EXACT,
            cost_ns=90.0,
        )
        for name in ("niblack", "sauvola")
    ),
)
