"""Rules by which entries declare the shape and dtype of their results."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import DTypeLike

from lepton_celery.catalogue.arrays import Arguments, DType, Shape

ValueType = tuple[Shape, DType]
"""Shape and dtype of a whole-image value. A length of -1 becomes known with the value."""
ResultRule = Callable[[Arguments], ValueType]
DTypeRule = Callable[[Arguments], DType]


def value_of(dtype: DTypeLike = np.float64, *shape: int) -> ResultRule:
    """A value of this dtype and shape."""
    return lambda arguments: (shape, np.dtype(dtype))


A_NUMBER = value_of()
"""A number in float64."""


def value_like(name: str, *shape: int) -> ResultRule:
    """A value of this shape and of the dtype of the argument `name`."""
    return lambda arguments: (shape, arguments[name].dtype)


def always(dtype: DTypeLike) -> DTypeRule:
    """This dtype, whatever the arguments are."""
    return lambda arguments: np.dtype(dtype)


def dtype_of(name: str) -> DTypeRule:
    """The dtype of the argument `name`, an image."""
    return lambda arguments: arguments[name].dtype


def given_dtype(arguments: Arguments) -> DType:
    """The dtype that the argument `dtype` names."""
    return np.dtype(arguments["dtype"])
