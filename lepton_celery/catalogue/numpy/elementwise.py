"""NumPy's element-wise functions, slicing and stacking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lepton_celery.catalogue import geometry
from lepton_celery.catalogue.arrays import Arguments, Array
from lepton_celery.catalogue.entries import Entry, Local
from lepton_celery.catalogue.promise import IDENTICAL, Promise, within
from lepton_celery.errors import InputError
from lepton_celery.grid import Region

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
    """The kinds of dtype for which NumPy has a loop."""
    return "".join(kind for kind, dtype in (("b", "?"), ("i", "b"), ("u", "B"), ("f", "f")) if _takes(ufunc, dtype))


def _takes(ufunc: np.ufunc, dtype: str) -> bool:
    try:
        with np.errstate(all="ignore"):
            ufunc(*[np.ones(1, dtype)] * ufunc.nin)
    except TypeError:
        return False
    return True


def _ufunc(name: str, cost_ns: float) -> Local:
    ufunc: np.ufunc = getattr(np, name)
    parameters = ("x1", "x2") if ufunc.nin == 2 else ("x",)
    mixed = name == "subtract"  # takes a mask and numbers, but not two masks
    return Local(
        name=f"numpy.{name}",
        source=f"numpy.{name}",
        images=parameters,
        values=parameters,
        dtype_kinds="biuf" if mixed else _kinds_of(ufunc),
        samples={"x2": "labels"} if mixed else {},
        promise=_zeros_promise if name in ("fmin", "fmax") else IDENTICAL,
        cost_ns=cost_ns,
    )


def _zeros_promise(arguments: Arguments) -> Promise:
    """Measured with NumPy 2.4: fmin and fmax of 0.0 and -0.0 give the one or the other by the place in a vector."""
    if any(np.result_type(getattr(operand, "dtype", operand)).kind == "f" for operand in arguments.values()):
        return within(1, "of 0.0 and -0.0, NumPy's fmin and fmax give now the one and now the other")
    return IDENTICAL


def _astype(x: Array, dtype: str) -> Array:
    # a float that the integer dtype cannot hold has no defined result in NumPy: for uint32 it depends on its place
    result: Array = x.astype(dtype)
    return result


def _where(condition: Any, x: Any, y: Any) -> Array:
    picked: Array = np.where(condition, x, y)
    return picked


def _check_where(arguments: Arguments) -> None:
    if arguments["x"] is None or arguments["y"] is None:
        raise InputError(
            "numpy.where of a condition alone gives places, not an image; give x and y, or compute it first"
        )


def _check_clip(arguments: Arguments) -> None:
    known = {"a", "a_min", "a_max", "min", "max"}
    if more := sorted(set(arguments) - known):
        raise InputError(f"numpy.clip: {', '.join(more)} is not supported here; use .astype for another dtype")


def _check_copy(arguments: Arguments) -> None:
    if not arguments["copy"]:
        raise InputError("numpy.nan_to_num with copy=False would change its input; leave copy as it is")


@dataclass(frozen=True)
class Stack:
    """Images of one shape, one behind the other on a new axis `arguments["axis"]`."""

    def result_shape(self, images: Sequence[tuple[int, ...]], arguments: Arguments) -> tuple[int, ...]:
        first = images[0]
        if any(shape != first for shape in images):
            raise InputError(
                f"images of shapes {' and '.join(map(str, images))} do not match; stack those of one shape"
            )
        axis = self._axis(images, arguments)
        return (*first[:axis], len(images), *first[axis:])

    def reads(self, region: Region, images: Sequence[tuple[int, ...]], arguments: Arguments) -> list[Region]:
        axis = self._axis(images, arguments)
        start, stop = (ends[:axis] + ends[axis + 1 :] for ends in (region.start, region.stop))
        return [Region(start, stop)] * len(images)

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        # only along the new axis can there be more than the region
        ends = zip(region.start, region.stop, result.shape, strict=True)
        return result[tuple(slice(None) if n == stop - start else slice(start, stop) for start, stop, n in ends)]

    def _axis(self, images: Sequence[tuple[int, ...]], arguments: Arguments) -> int:
        axis, ndim = int(arguments["axis"]), len(images[0]) + 1
        if not -ndim <= axis < ndim:
            raise InputError(f"axis={axis} for images of {ndim - 1} axes; give one from {-ndim} to {ndim - 1}")
        return axis % ndim


def _check_stack(arguments: Arguments) -> None:
    members = [value for name, value in arguments.items() if name.startswith("arrays.")]
    if not members or not all(hasattr(member, "shape") for member in members):
        raise InputError("numpy.stack wants a sequence of images; give lepton.open(…), arrays or results of functions")


def _numpy(name: str, *images: str, **options: Any) -> Local:
    options.setdefault("values", images)
    return Local(name=f"numpy.{name}", source=f"numpy.{name}", images=images, **options)


def entries() -> list[Entry]:
    """NumPy's functions of one pixel at a time."""
    return [
        *[_ufunc(name, 1.5) for name in _LIGHT],
        *[_ufunc(name, 12.0) for name in _HEAVY],
        _numpy("astype", "x", function=_astype, example={"dtype": "uint8"}, cost_ns=1.0),
        _numpy(
            "where",
            "condition",
            "x",
            "y",
            function=_where,
            check=_check_where,
            samples={"condition": "mask", "x": "image", "y": "image"},
            cost_ns=2.0,
        ),
        _numpy(
            "clip",
            "a",
            "a_min",
            "a_max",
            "min",
            "max",
            check=_check_clip,
            dtype_kinds="iuf",
            example={"a_min": 0, "a_max": 1},
            cost_ns=1.5,
        ),
        _numpy("round", "a", cost_ns=1.5),
        _numpy("nan_to_num", "x", check=_check_copy, cost_ns=8.0),
        _numpy("isclose", "a", "b", cost_ns=12.0),
        _numpy("digitize", "x", example={"bins": (0.25, 0.5)}, cost_ns=20.0),
        _numpy("interp", "x", example={"xp": (0.0, 1.0), "fp": (0.0, 2.0)}, cost_ns=30.0),
        Local(
            name="numpy.stack",
            source="numpy.stack",
            images=(),
            sequences=("arrays",),
            geometry=Stack(),
            check=_check_stack,
            cost_ns=1.0,
        ),
        Local(
            name="lepton.select",
            source="lepton_celery.catalogue.geometry.select",
            geometry=geometry.Select(),
            check=geometry.check_index,
            cost_ns=0.5,
        ),
    ]
