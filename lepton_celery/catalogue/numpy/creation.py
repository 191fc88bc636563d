"""NumPy's functions that make an image like another, and those that compare or add up neighbours along an axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Lazy
from lepton_celery.catalogue.entries import Build, Composite
from lepton_celery.catalogue.numpy.defaults import is_given
from lepton_celery.catalogue.numpy.rearrange import axis_of
from lepton_celery.errors import InputError


def _like(name: str, image: str, fill: Callable[[Arguments], Any], **options: Any) -> Composite:
    """The entry of a function that makes an image of one value, of the shape and the dtype of another image."""

    def expand(arguments: Arguments, build: Build) -> Lazy:
        given, dtype, shape = arguments[image], arguments["dtype"], arguments["shape"]
        shape = given.shape if shape is None else tuple(np.atleast_1d(shape).tolist())
        if not shape or min(shape) < 1:
            raise InputError(f"numpy.{name} of shape {shape} has no pixels; give a length of at least 1 per axis")
        name_of_dtype = given.dtype.name if dtype is None else np.dtype(dtype).name
        value = fill(arguments)
        if not hasattr(value, "gives"):
            value = np.full((), value, name_of_dtype)[()]  # raises if the dtype cannot hold it
        return build("lepton.full", value=value, shape=shape, dtype=name_of_dtype)

    return Composite(f"numpy.{name}", images=(image,), expand=expand, gives="image", **options)


MAX_DIFFERENCES = 256
"""Largest number of times that differences are taken, with three nodes of the graph each."""


def _expand_diff(arguments: Arguments, build: Build) -> Lazy:
    image: Lazy = arguments["a"]
    times = arguments["n"]
    axis = axis_of(arguments["axis"], image.ndim)
    if any(is_given("diff", name, arguments) for name in ("prepend", "append")):
        raise InputError("numpy.diff with prepend or append is not supported here; use numpy.concatenate first")
    if not 0 <= times < image.shape[axis]:
        raise InputError(
            f"numpy.diff with n={times} leaves no pixel of an axis of {image.shape[axis]}; give a smaller n"
        )
    if times > MAX_DIFFERENCES:
        raise InputError(
            f"numpy.diff with n={times}; at most {MAX_DIFFERENCES} differences are taken one after the other"
        )
    for _ in range(times):
        whole = [(0, n, 1) for n in image.shape]
        later, earlier = list(whole), list(whole)
        later[axis], earlier[axis] = (1, image.shape[axis], 1), (0, image.shape[axis] - 1, 1)
        pair = [build("lepton.select", image=image, index=tuple(index)) for index in (later, earlier)]
        image = build("numpy.not_equal" if image.dtype == bool else "numpy.subtract", x1=pair[0], x2=pair[1])
    return image


def _expand_cumsum(arguments: Arguments, build: Build) -> Lazy:
    image, axis, dtype = arguments["a"], arguments["axis"], arguments["dtype"]
    if axis is None and image.ndim > 1:
        raise InputError("numpy.cumsum without axis flattens the image, which is not supported here; give axis")
    dtype = np.cumsum(np.zeros(1, image.dtype), dtype=dtype).dtype.name
    return build(
        "lepton.cumulative_sum", image=image, axis=0 if axis is None else axis_of(axis, image.ndim), dtype=dtype
    )


ENTRIES = (
    _like("zeros_like", "a", lambda arguments: 0),
    _like("ones_like", "a", lambda arguments: 1),
    _like(
        "full_like",
        "a",
        lambda arguments: arguments["fill_value"],
        values=("fill_value",),
        example={"fill_value": 1},
    ),
    Composite("numpy.diff", images=("a",), expand=_expand_diff, gives="image"),
    Composite("numpy.cumsum", images=("a",), expand=_expand_cumsum, gives="image", example={"axis": 0}),
)
