"""Compares a result in blocks with the whole-image result, pixel by pixel."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.promise import IDENTICAL, Exactness, Promise
from lepton_celery.kernels import equal_pixels


def difference(result: Any, whole: Any, promise: Promise = IDENTICAL) -> str:
    """How `result` differs from `whole` by more than the promise allows, as text; empty if it does not.

    The columns, the number of results, the dtype and the shape must be equal for any promise. Identical means the same bits;
    a NaN equals any NaN.
    """
    if isinstance(whole, Mapping):
        if list(result) != list(whole):
            return f"columns are {list(result)} instead of {list(whole)}"
        return _first({f"column {name}": (result[name], whole[name]) for name in whole}, promise)
    if isinstance(whole, tuple | list):
        if len(result) != len(whole):
            return f"there are {len(result)} results instead of {len(whole)}"
        pairs = zip(result, whole, strict=True)
        return _first({f"result {number}": pair for number, pair in enumerate(pairs)}, promise)
    got, want = np.asarray(result), np.asarray(whole)
    if got.dtype != want.dtype or got.shape != want.shape:
        return f"the result is {got.dtype} {got.shape} instead of {want.dtype} {want.shape}"
    if promise.exactness is Exactness.APPROXIMATE:
        error = mean_error(got, want, promise.period)
        if error <= promise.bound:
            return ""
        return f"the mean error is {error:.3g} of the greatest value, more than the promised {promise.bound:g}"
    wrong = ~(_within_ulp(got, want, promise.ulp) if promise.exactness is Exactness.ULP else equal_pixels(got, want))
    if not wrong.any():
        return ""
    first = tuple(int(axis[0]) for axis in np.nonzero(np.atleast_1d(wrong)))
    values = f"{np.atleast_1d(got)[first]!r} instead of {np.atleast_1d(want)[first]!r}"
    place = f" at {first}" if want.ndim else ""
    return f"{int(wrong.sum())} of {want.size} values differ, the first{place}: {values}"


def _first(pairs: Mapping[str, tuple[Any, Any]], promise: Promise) -> str:
    """The first difference among several results, with its name."""
    found = ((name, difference(got, want, promise)) for name, (got, want) in pairs.items())
    return next((f"{name}: {what}" for name, what in found if what), "")


def _within_ulp(got: Array, want: Array, ulp: int) -> Array:
    scale = np.spacing(np.nanmax(np.abs(want), initial=0).astype(want.dtype))
    near: Array = (np.abs(got - want) <= ulp * scale) | (got == want) | (np.isnan(got) & np.isnan(want))
    return near


def mean_error(got: Array, want: Array, period: float = 0.0) -> float:
    """Mean absolute difference of two arrays of one shape, as a share of the greatest magnitude in `want`.

    Multiples of `period` do not count as differences.

    Positions where `want` is not finite are left out, because rounding may decide whether a value is finite.
    """
    finite = np.isfinite(want)
    differences = got[finite].astype(np.float64) - want[finite].astype(np.float64)
    if period:
        differences -= period * np.round(differences / period)
    error = float(np.abs(differences).sum())
    if not error:
        return 0.0
    greatest = float(np.abs(want[finite]).max())
    return error / (finite.sum() * greatest) if greatest and np.isfinite(error) else math.inf
