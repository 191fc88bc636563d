"""Compiled functions that give the same bytes as scikit-image, faster.

A catalogue entry names its kernel and a predicate, which decides without importing Numba whether the kernel covers the
arguments. If it does not, if Numba is not installed, or if the setting `kernels` is off, scikit-image computes the result.

May import: nothing of the package.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

_log = logging.getLogger(__name__)
_loading = Lock()
_loaded: dict[str, Callable[..., NDArray[Any]] | None] = {}


@dataclass(frozen=True)
class Kernel:
    """A compiled function, and the arguments that it covers."""

    path: str
    """Import path of a function that takes the source's arguments by name; its module imports Numba."""
    covers: Callable[[Mapping[str, Any]], bool]
    """Whether the kernel can compute the result for these complete arguments, images as arrays."""
    trials: Callable[[], Iterable[dict[str, Any]]]
    """Arguments for which the kernel must give the source's bytes before a process uses it."""


def installed() -> bool:
    """Whether kernels can be compiled here."""
    return find_spec("numba") is not None


def loaded() -> bool:
    """Whether this process has loaded kernels already."""
    return bool(_loaded)


def load(kernel: Kernel, source: Callable[..., Any]) -> Callable[..., NDArray[Any]] | None:
    """The kernel, ready to be called; None if it cannot be used in this process.

    The first call in a process compiles the kernel or reads it from the cache, and compares its results with those of
    `source`, because another processor or another build of the libraries may add up in another order.
    """
    if kernel.path not in _loaded:
        with _loading:
            if kernel.path not in _loaded:
                _loaded[kernel.path] = _load(kernel, source) if installed() else None
    return _loaded[kernel.path]


def _load(kernel: Kernel, source: Callable[..., Any]) -> Callable[..., NDArray[Any]] | None:
    module, _, name = kernel.path.rpartition(".")
    function: Callable[..., NDArray[Any]] = getattr(import_module(module), name)
    for arguments in kernel.trials():
        if not kernel.covers(arguments):
            raise AssertionError(f"{kernel.path} does not cover its own trial")
        with np.errstate(all="ignore"):
            same = same_bytes(function(**arguments), np.asarray(source(**arguments)))
        if not same:
            _log.warning("%s differs from scikit-image on this machine; scikit-image is used", kernel.path)
            return None
    return function


def same_bytes(got: NDArray[Any], want: NDArray[Any]) -> bool:
    """Whether two arrays are the same bit by bit; NaNs count as one value."""
    return got.dtype == want.dtype and got.shape == want.shape and bool(equal_pixels(got, want).all())


def equal_pixels(got: NDArray[Any], want: NDArray[Any]) -> NDArray[np.bool_]:
    """Which pixels of two arrays of one shape and dtype are the same bit by bit; NaNs count as one value."""
    unsigned = f"u{want.dtype.itemsize}"
    equal = np.ascontiguousarray(got).view(unsigned) == np.ascontiguousarray(want).view(unsigned)
    if want.dtype.kind == "f":
        equal |= np.isnan(got) & np.isnan(want)
    result: NDArray[np.bool_] = equal.reshape(want.shape)
    return result
