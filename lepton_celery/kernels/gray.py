"""Luminance of RGB images with 8 bits per channel.

scikit-image scales the channels to [0, 1] in float64, and BLAS multiplies them by the three coefficients. On processors with
fused multiply-add, OpenBLAS begins with green and adds red, then blue, each with one rounding, at every position in a row.
Another BLAS may add them in another order; a process then does not use the kernel, because its trials fail.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numba import float64, uint8, void
from numba.extending import intrinsic
from numpy.typing import NDArray
from skimage.util import img_as_float64

from lepton_celery.kernels.compiled import Pixels, kernel, reads, writes

_RED, _GREEN, _BLUE = 0.2125, 0.7154, 0.0721
"""The coefficients of `skimage.color.rgb2gray`."""


@intrinsic
def _rounded_once(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """`a * b + c`, rounded once."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.fma(*values)

    return float64(float64, float64, float64), generate


_fused = cast("Callable[[float, float, float], float]", _rounded_once)


@kernel(void(reads(uint8), reads(float64), reads(float64), writes(float64)))
def _gray(channels: Pixels, scaled: Pixels, green: Pixels, result: Pixels) -> None:
    for j in range(result.size):
        r, g, b = channels[3 * j], channels[3 * j + 1], channels[3 * j + 2]
        result[j] = _fused(scaled[b], _BLUE, _fused(scaled[r], _RED, green[g]))


_SCALED: NDArray[np.float64] = img_as_float64(np.arange(256, dtype=np.uint8))
_SCALED_GREEN = _SCALED * _GREEN


def rgb2gray(rgb: NDArray[Any], *, channel_axis: int) -> NDArray[Any]:
    """`skimage.color.rgb2gray` of a uint8 image with its channels on the last axis."""
    result = np.empty(rgb.shape[:-1])
    _gray(rgb.reshape(-1), _SCALED, _SCALED_GREEN, result.reshape(-1))
    return result
