"""How kernels are compiled: without the interpreter's lock, cached on disk, with IEEE arithmetic in the order written."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import Any, TypeVar, cast

import numba
from numpy.typing import NDArray

Pixels = NDArray[Any]
"""The pixels of an image in one dimension, contiguous in memory."""

Volume = NDArray[Any]
"""An image of three axes, contiguous in memory."""

F = TypeVar("F", bound=Callable[..., Any])

# without `fastmath` and `parallel`, sums keep their order, and products and sums are not contracted into one operation
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


def inlined(function: F) -> F:
    """A function that the kernels of its own module call. Numba's cache would not notice changes in other modules."""
    return cast("F", numba.njit(**_OPTIONS)(function))


def kernel(*signatures: Any) -> Callable[[F], F]:
    """A kernel, compiled for these signatures at its first call, or read from the cache if it was compiled before.

    The cache is beside the module or, if that folder cannot be written, in the user's cache folder (`NUMBA_CACHE_DIR`). If
    neither can be written, every process compiles the kernel anew.
    """

    def decorate(function: F) -> F:
        @cache
        def ready() -> Any:
            try:
                return numba.njit(list(signatures), cache=True, **_OPTIONS)(function)
            except RuntimeError as error:
                if "cannot cache" not in str(error):
                    raise
                return numba.njit(list(signatures), **_OPTIONS)(function)

        @wraps(function)
        def call(*arguments: Any) -> Any:
            return ready()(*arguments)

        return cast("F", call)

    return decorate


def reads(dtype: Any, ndim: int = 1) -> Any:
    """Pixels that a kernel only reads; the array may be writeable or not."""
    return numba.types.Array(dtype, ndim, "C", readonly=True)


def writes(dtype: Any, ndim: int = 1) -> Any:
    """Pixels that a kernel writes."""
    return numba.types.Array(dtype, ndim, "C")


def grouped(*members: Any) -> Any:
    """Several arguments that a kernel takes as one tuple."""
    return numba.types.Tuple(members)  # type: ignore[no-untyped-call]
