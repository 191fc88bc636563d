"""Gaussians of a block that filter no line of pixels in vain, for halos that are as wide as blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Array, Where
from lepton_celery.catalogue.shared.fastest import KERNELS, fastest
from lepton_celery.catalogue.shared.halos import gaussian_radius
from lepton_celery.grid import Region
from lepton_celery.kernels import Kernel
from lepton_celery.kernels.border import is_plain
from lepton_celery.kernels.trials import floats


def smooth_along(image: Array, sigma: float, axis: int, order: int) -> Array:
    """`scipy.ndimage.gaussian_filter1d` in mode 'reflect'."""
    from scipy.ndimage import gaussian_filter1d

    smooth: Array = gaussian_filter1d(image, sigma, axis, order)
    return smooth


def _trials() -> Iterator[dict[str, Any]]:
    for image in floats():
        for axis in range(image.ndim):
            for sigma, order in ((0.8, 0), (3.0, 2), (9.0, 0)):
                yield {"image": image, "sigma": sigma, "axis": axis, "order": order}


KERNELS[smooth_along] = Kernel(
    "lepton_celery.kernels.gaussian.smooth_along",
    lambda arguments: is_plain(arguments["image"]) and arguments["image"].dtype.kind == "f",
    _trials,
)


def smoothed(image: Array, sigmas: Sequence[float], orders: Sequence[int], where: Where, kernels: bool) -> Array:
    """`scipy.ndimage.gaussian_filter` of the pixels of `where.result`; `orders` are 0 or 2."""
    assert where.result is not None
    ndim = image.ndim
    wanted = Region(where.result.start[:ndim], where.result.stop[:ndim])
    read = wanted.expand([gaussian_radius(sigma) for sigma in sigmas], where.shape)
    pixels = image[read.within(where.region)]
    for axis, (sigma, order) in enumerate(zip(sigmas, orders, strict=True)):
        if sigma > 1e-15:  # SciPy skips axes with less
            arguments = {"image": np.ascontiguousarray(pixels), "sigma": float(sigma), "axis": axis, "order": order}
            pixels = fastest(smooth_along, arguments, kernels)
        kept = wanted.within(read)[axis]
        pixels = pixels[tuple(kept if other == axis else slice(None) for other in range(ndim))]
    return pixels
