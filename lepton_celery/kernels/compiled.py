"""Compilation of kernels: without the GIL, cached on disk, and with IEEE arithmetic in the order of the code."""

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
    """Compile a function for kernels of its own module only; Numba's cache would not notice changes in another module."""
    return cast("F", numba.njit(**_OPTIONS)(function))


def kernel(*signatures: Any) -> Callable[[F], F]:
    """Compile a kernel for these signatures at its first call, or read it from the cache.

    The cache is beside the module or, if that folder is not writable, in the user's cache folder (`NUMBA_CACHE_DIR`). If
    neither is writable, every process compiles the kernel again.
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
    """Numba's type of an array that a kernel only reads."""
    return numba.types.Array(dtype, ndim, "C", readonly=True)


def writes(dtype: Any, ndim: int = 1) -> Any:
    """Numba's type of an array that a kernel writes."""
    return numba.types.Array(dtype, ndim, "C")


def grouped(*members: Any) -> Any:
    """Numba's type of a tuple of arguments."""
    return numba.types.Tuple(members)  # type: ignore[no-untyped-call]
