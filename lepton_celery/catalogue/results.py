"""Rules by which entries declare the shape and dtype of their results."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import DTypeLike

from lepton_celery.catalogue.arrays import Arguments, Array, DType, Shape

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


UNKNOWN = (2, 3)
"""Two lengths that stand for an unknown one, to see which lengths of a result depend on it."""


def sample_of(shape: Shape, dtype: DType, unknown: int) -> Array:
    """Ones in the shape of a value, with this length in place of unknown ones."""
    return np.ones([unknown if n < 0 else n for n in shape], dtype)


def type_from(results: Sequence[Array]) -> ValueType:
    """The type of a result from its results for both lengths of `UNKNOWN`."""
    two, three = results
    return tuple(-1 if n != m else n for n, m in zip(two.shape, three.shape, strict=True)), two.dtype


def always(dtype: DTypeLike) -> DTypeRule:
    """This dtype, whatever the arguments are."""
    return lambda arguments: np.dtype(dtype)


def dtype_of(name: str) -> DTypeRule:
    """The dtype of the argument `name`, an image."""
    return lambda arguments: arguments[name].dtype


def given_dtype(arguments: Arguments) -> DType:
    """The dtype that the argument `dtype` names."""
    return np.dtype(arguments["dtype"])
