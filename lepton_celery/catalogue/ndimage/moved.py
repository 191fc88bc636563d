"""`scipy.ndimage.zoom`, `rotate`, `shift`, `affine_transform` and `map_coordinates`.

A pixel of the result may come from anywhere in the image, and the default order, 3, has spline coefficients that depend on
whole lines. Each runs as one block, in a stage of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, DType, Shape, Shapes
from lepton_celery.catalogue.declare import whole
from lepton_celery.catalogue.entries import Local
from lepton_celery.catalogue.geometry import Whole
from lepton_celery.catalogue.ndimage.checks import check_output_dtype
from lepton_celery.catalogue.signatures import resolve
from lepton_celery.catalogue.sizes import for_asking
from lepton_celery.errors import InputError


class Moved(Whole):
    """The whole image, from which an image of another shape is made."""

    def __init__(self, shape_of: Callable[[Shapes, Arguments], Shape]) -> None:
        self._shape_of = shape_of

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        return self._shape_of(images, arguments)


def _zoomed(images: Shapes, arguments: Arguments) -> Shape:
    factors = np.broadcast_to(arguments["zoom"], (len(images[0]),)).tolist()
    return tuple(round(n * factor) for n, factor in zip(images[0], factors, strict=True))


def _rotated(images: Shapes, arguments: Arguments) -> Shape:
    """The shape that `scipy.ndimage.rotate` computes."""
    from scipy.special import cosdg, sindg

    shape = list(images[0])
    if arguments["reshape"]:
        axes = sorted(int(axis) % len(shape) for axis in arguments["axes"])
        c, s = cosdg(arguments["angle"]), sindg(arguments["angle"])
        iy, ix = (shape[axis] for axis in axes)
        bounds = np.array([[c, s], [-s, c]]) @ [[0, 0, iy, iy], [0, ix, 0, ix]]
        for axis, length in zip(axes, (np.ptp(bounds, axis=1) + 0.5).astype(int).tolist(), strict=True):
            shape[axis] = length
    return tuple(shape)


def _given_shape(images: Shapes, arguments: Arguments) -> Shape:
    shape = arguments["output_shape"]
    return images[0] if shape is None else tuple(int(n) for n in shape)


def _dtype(arguments: Arguments) -> DType:
    output = arguments["output"]
    return arguments["input"].dtype if output is None else np.dtype(output)


_SHAPES: dict[str, Callable[[Shapes, Arguments], Shape]] = {
    "zoom": _zoomed,
    "rotate": _rotated,
    "shift": lambda images, arguments: images[0],
    "affine_transform": _given_shape,
    "map_coordinates": lambda images, arguments: images[1][1:],
}
"""The shape of each function's result."""


def _check(function: str) -> Callable[[Arguments], None]:
    def check(arguments: Arguments) -> None:
        """Refuse what SciPy refuses, found by calling it on a few pixels, and results without pixels."""
        check_output_dtype(arguments["output"])
        image = arguments["input"]
        few = {**arguments, "input": np.zeros((3,) * len(image.shape), image.dtype)}
        shift: Any = arguments.get("shift")
        if hasattr(shift, "gives"):
            _check_lazy_shift(shift.shape, image.shape)
            few["shift"] = 0.0
        shapes = [image.shape]
        if function == "map_coordinates":
            coordinates = arguments["coordinates"]
            shapes.append(coordinates.shape)
            few["coordinates"] = np.zeros((coordinates.shape[0], *(1 for _ in coordinates.shape[1:])))
        for name in ("zoom", "shift", "angle", "matrix", "offset", "cval"):
            given = np.asarray(few.get(name, 0))
            if given.dtype.kind not in "biuf" or not (np.isfinite(given).all() or name == "cval"):
                raise InputError(f"{name}={arguments[name]!r}; give finite real numbers")
        if (shape := arguments.get("output_shape")) is not None:
            if len(shape) != len(image.shape):
                raise InputError(
                    f"output_shape={shape!r} for an image of {len(image.shape)} axes; give a length per axis"
                )
            few["output_shape"] = (1,) * len(shape)
        if "zoom" in few:
            few["zoom"] = for_asking("zoom", few["zoom"])
        resolve(f"scipy.ndimage.{function}")(**few)
        if min(result := _SHAPES[function](shapes, arguments), default=0) < 1:
            raise InputError(f"{function} of an image of shape {image.shape} would have shape {result}, without pixels")

    return check


def _check_lazy_shift(shift: Shape, image: Shape) -> None:
    if shift not in ((), (len(image),)):
        raise InputError(f"shift of shape {shift} for an image of {len(image)} axes; give a number, or one per axis")


def _moved(function: str, images: tuple[str, ...] = ("input",), **options: Any) -> Local:
    return whole(
        f"ndimage.{function}", Moved(_SHAPES[function]), images=images, check=_check(function), dtype=_dtype, **options
    )


ENTRIES = (
    _moved("zoom", example={"zoom": 1.5}, cost_ns=300.0),
    _moved("rotate", example={"angle": 20.0}, ndims=(2, 3), cost_ns=300.0),
    _moved("shift", values=("shift",), example={"shift": 1.3}, cost_ns=300.0),
    _moved("affine_transform", example={"matrix": lambda ndim: np.eye(ndim) * 0.9 + 0.05}, cost_ns=300.0),
    _moved(
        "map_coordinates",
        ("input", "coordinates"),
        kinds_of={"coordinates": "iuf"},
        samples={"coordinates": "coordinates"},
        cost_ns=300.0,
    ),
)
