"""How kernels are compiled: without the interpreter's lock, kept on disk, and with IEEE arithmetic as it is written."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import Any, TypeVar, cast

import numba
from numpy.typing import NDArray

Pixels = NDArray[Any]
"""One after the other in memory, whatever shape the image has."""

F = TypeVar("F", bound=Callable[..., Any])

# no `fastmath` and no `parallel`: sums keep their order, products and sums are not contracted into one operation
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


def inlined(function: F) -> F:
    """A part of the kernels of its own module; parts of other modules would not be noticed when the cache is checked."""
    return cast("F", numba.njit(**_OPTIONS)(function))


def kernel(*signatures: Any) -> Callable[[F], F]:
    """A kernel, compiled for these signatures at its first call, or read from the cache where it was compiled before.

    The cache is beside the module or, where that cannot be written, in the user's cache folder (`NUMBA_CACHE_DIR`); where
    neither can be written it is compiled anew in every process.
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


def reads(dtype: Any) -> Any:
    """Pixels that a kernel only reads, one after the other; arrays that may be written are welcome too."""
    return numba.types.Array(dtype, 1, "C", readonly=True)


def writes(dtype: Any) -> Any:
    """Pixels that a kernel writes."""
    return numba.types.Array(dtype, 1, "C")
