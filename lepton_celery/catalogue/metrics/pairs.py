"""What all comparisons of two images check and look up."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from lepton_celery.catalogue.arrays import Arguments
from lepton_celery.errors import InputError


def dtype_range(dtype: DTypeLike) -> tuple[Any, Any]:
    """The range of a dtype, as scikit-image has it."""
    from skimage.util.dtype import dtype_range as ranges

    low, high = ranges[np.dtype(dtype).type]
    return low, high


def check_pair(arguments: Arguments) -> None:
    """Refuse images of different shapes."""
    shapes = {name: tuple(value.shape) for name, value in arguments.items() if name.startswith("im")}
    if len(set(shapes.values())) > 1:
        raise InputError(f"images of shapes {shapes} do not match; both images need the same shape")
