"""`skimage.registration.phase_cross_correlation`: its spectra are those of whole images, so it runs as one block."""

from __future__ import annotations

from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Partial, Partials, Shape, View, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Reduction, ValueFunction
from lepton_celery.catalogue.results import ValueType
from lepton_celery.catalogue.shared.first_block import in_first_block, of_first_block
from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid

MAX_UPSAMPLE = 10_000
"""Largest `upsample_factor`; its cube, in bytes, is about the memory that it takes."""
_FEW_STEPS = 2
"""The `upsample_factor` with which shapes and dtypes are found."""

_IMAGES = ("reference_image", "moving_image", "reference_mask", "moving_mask")


def merge_results(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Array:
    """The results, which the first block computed."""
    return of_first_block(partials)


@declare(
    Reduction(
        "lepton.registered",
        images=_IMAGES,
        merge=merge_results,
        result=lambda arguments: ((len(arguments["reference_image"].shape) + 2,), np.dtype(np.float64)),
        reads_itself=True,
        scratch_bytes=96,
        cost_ns=400.0,
    )
)
def registered(
    reference_image: View,
    moving_image: View,
    reference_mask: View | None,
    moving_mask: View | None,
    where: Where,
    **options: Any,
) -> Partial:
    """The first block registers the whole images: the shift for each axis, the error and the difference of phase.

    float64 holds each of them exactly.
    """

    def register(*whole: Array | None) -> Array:
        shift, error, phase = _results(**dict(zip(_IMAGES, whole, strict=True)), **options)
        return np.array([*shift, error, phase], np.float64)

    return in_first_block(where, register, reference_image, moving_image, reference_mask, moving_mask)


def _results(reference_image: Any, moving_image: Any, **options: Any) -> tuple[Array, Array, Array]:
    from skimage.registration import phase_cross_correlation

    shift, error, phase = phase_cross_correlation(reference_image, moving_image, **options)
    return np.asarray(shift), np.asarray(error), np.asarray(phase)


@declare(
    ValueFunction(
        "lepton.registered_item",
        values=("results",),
        result=lambda arguments: (tuple(arguments["shape"]), np.dtype(arguments["dtype"])),
    )
)
def registered_item(results: Array, result_index: int, shape: Shape, dtype: str) -> Any:
    """One of the results in its own shape and dtype."""
    found = results[:-2] if result_index == 0 else results[result_index - 3]
    return found.astype(dtype)


def _types(arguments: Arguments) -> list[ValueType]:
    """Shapes and dtypes of the results, found by registering a few pixels."""
    few = dict(arguments)
    few.pop("result_index", None)
    few["upsample_factor"] = min(few["upsample_factor"], _FEW_STEPS)  # it takes memory, and no dtype depends on it
    for name in _IMAGES:
        if few[name] is not None:
            pixels = np.arange(4 ** len(few[name].shape)).reshape((4,) * len(few[name].shape)) % 7
            few[name] = np.ones(pixels.shape, bool) if name.endswith("mask") else pixels.astype(few[name].dtype)
    with np.errstate(all="ignore"):
        return [(result.shape, result.dtype) for result in _results(**few)]


def _check(arguments: Arguments) -> None:
    if str(arguments["space"]).lower() != "real":
        raise InputError(f"space={arguments['space']!r} takes complex images, which cannot be opened; give real images")
    if not 0 < arguments["upsample_factor"] <= MAX_UPSAMPLE:
        raise InputError(
            f"upsample_factor={arguments['upsample_factor']!r} is not between 0 and {MAX_UPSAMPLE:,}; a factor of n "
            "finds the shift to 1/n of a pixel, with matrices of about 1.5 n lines"
        )
    shapes = {name: tuple(arguments[name].shape) for name in _IMAGES if arguments[name] is not None}
    masked = len(shapes) > 2
    for name, shape in shapes.items():
        like = shapes["moving_image" if name == "moving_mask" else "reference_image"]
        if shape != like and not (masked and name == "moving_image" and len(shape) == len(like)):
            raise InputError(f"{name} of shape {shape} does not match the shape {like}; give images of the same shape")
    _types(arguments)


@declare(
    Composite(
        "registration.phase_cross_correlation",
        images=_IMAGES,
        kinds_of={"reference_mask": "biuf", "moving_mask": "biuf"},
        returns=3,
        check=_check,
        result=lambda arguments: _types(arguments)[arguments["result_index"]],
        needs_finite=True,
    )
)
def _expand(arguments: Arguments, build: Build) -> Lazy:
    given = dict(arguments)
    index = given.pop("result_index")
    shape, dtype = _types(arguments)[index]
    return build(
        "lepton.registered_item",
        results=build("lepton.registered", **given),
        result_index=index,
        shape=shape,
        dtype=dtype.name,
    )
