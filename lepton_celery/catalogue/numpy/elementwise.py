"""NumPy's elementwise functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Local
from lepton_celery.catalogue.geometry import BROADCAST
from lepton_celery.catalogue.promise import IDENTICAL, Promise, within
from lepton_celery.errors import InputError

_LIGHT = (
    "add subtract multiply divide true_divide floor_divide remainder mod fmod negative positive absolute abs fabs sign "
    "equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor logical_not "
    "bitwise_and bitwise_or bitwise_xor left_shift right_shift invert minimum maximum fmin fmax sqrt square reciprocal "
    "deg2rad rad2deg degrees radians floor ceil rint trunc isfinite isinf isnan signbit copysign nextafter spacing "
    "heaviside gcd lcm"
).split()
_HEAVY = (
    "power float_power cbrt exp exp2 expm1 log log2 log10 log1p logaddexp logaddexp2 hypot sin cos tan arcsin arccos "
    "arctan arctan2 sinh cosh tanh arcsinh arccosh arctanh"
).split()


def _kinds_of(ufunc: np.ufunc) -> str:
    """The dtype kinds for which the ufunc has a loop."""
    return "".join(
        kind for kind, dtype in (("b", "?"), ("i", "b"), ("u", "B"), ("f", "f"), ("e", "e")) if _takes(ufunc, dtype)
    )


def _takes(ufunc: np.ufunc, dtype: str) -> bool:
    try:
        ufunc.resolve_dtypes((*[np.dtype(dtype)] * ufunc.nin, *[None] * ufunc.nout))
    except TypeError:
        return False
    return True


def _ufunc(name: str, cost_ns: float) -> Local:
    ufunc: np.ufunc = getattr(np, name)
    parameters = ("x1", "x2") if ufunc.nin == 2 else ("x",)
    mixed = name == "subtract"  # has no loop for two masks, but one for a mask and numbers
    return _numpy(
        name,
        *parameters,
        dtype_kinds="biufe" if mixed else _kinds_of(ufunc),
        samples={"x2": "labels"} if mixed else {},
        promise=_promise_of_zeros if name in ("fmin", "fmax") else IDENTICAL,
        cost_ns=cost_ns,
    )


def _promise_of_zeros(arguments: Arguments) -> Promise:
    """In NumPy 2.4, fmin and fmax of 0.0 and -0.0 depend on a pixel's position in a vector register."""
    if any(np.result_type(getattr(operand, "dtype", operand)).kind == "f" for operand in arguments.values()):
        return within(1, "NumPy's fmin and fmax return either of 0.0 and -0.0")
    return IDENTICAL


@declare(
    Local("numpy.astype", images=("x",), values=("x",), dtype_kinds="biufe", example={"dtype": "uint8"}, cost_ns=1.0)
)
def _astype(x: Array, dtype: str) -> Array:
    # NumPy's result for a float out of the integer dtype's range is undefined; for uint32 it depends on the position
    result: Array = x.astype(dtype)
    return result


def _check_where(arguments: Arguments) -> None:
    if arguments["x"] is None or arguments["y"] is None:
        raise InputError(
            "numpy.where of a condition alone gives positions, not an image; give x and y, or compute it first"
        )


@declare(
    Local(
        "numpy.where",
        dtype_kinds="biufe",
        images=("condition", "x", "y"),
        values=("condition", "x", "y"),
        geometry=BROADCAST,
        check=_check_where,
        samples={"condition": "mask", "x": "image", "y": "image"},
        cost_ns=2.0,
    )
)
def _where(condition: Array, x: Array, y: Array) -> Array:
    picked: Array = np.where(condition, x, y)
    return picked


def _check_clip(arguments: Arguments) -> None:
    known = {"a", "a_min", "a_max", "min", "max"}
    if more := sorted(set(arguments) - known):
        raise InputError(f"numpy.clip: {', '.join(more)} is not supported here; use .astype for another dtype")


def _check_copy(arguments: Arguments) -> None:
    if not arguments["copy"]:
        raise InputError("numpy.nan_to_num with copy=False would change its input; leave copy as it is")


def _numpy(name: str, *images: str, **options: Any) -> Local:
    """The entry of a NumPy function whose images may also be whole-image values."""
    more: tuple[str, ...] = options.pop("values", ())
    return Local(f"numpy.{name}", images=images, values=(*images, *more), geometry=BROADCAST, **options)


ENTRIES = (
    *(_ufunc(name, 0.8) for name in _LIGHT),
    *(_ufunc(name, 12.0) for name in _HEAVY),
    _numpy(
        "clip",
        *("a", "a_min", "a_max", "min", "max"),
        check=_check_clip,
        dtype_kinds="iuf",
        example={"a_min": 0, "a_max": 1},
        cost_ns=1.5,
    ),
    _numpy("round", "a", cost_ns=1.5),
    _numpy("nan_to_num", "x", check=_check_copy, cost_ns=8.0),
    _numpy("isclose", "a", "b", cost_ns=12.0),
    _numpy("digitize", "x", values=("bins",), example={"bins": (0.25, 0.5)}, cost_ns=20.0),
    _numpy("interp", "x", values=("xp", "fp"), example={"xp": (0.0, 1.0), "fp": (0.0, 2.0)}, cost_ns=30.0),
    _numpy("isin", "element", values=("test_elements",), example={"test_elements": (0, 1, 7)}, cost_ns=30.0),
)
