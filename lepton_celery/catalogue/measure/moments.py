"""`skimage.measure`: moments and centroids.

scikit-image computes the sums with BLAS, so results differ from the whole image's by rounding errors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, DType, Lazy, Partial, Partials, Shape, Shapes, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Local, Reduction, ValueFunction
from lepton_celery.catalogue.geometry import Whole
from lepton_celery.catalogue.promise import Promise, approximate, within
from lepton_celery.catalogue.results import ValueType
from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid

BLAS = "scikit-image leaves these sums of floats to BLAS, which adds them in an order of its own"


def _blas_promise(factor: int) -> Callable[[Arguments], Promise]:
    """A bound in ulp that grows with the image's lengths, or a measured bound if pixels may be negative and cancel out."""

    def promise(arguments: Arguments) -> Promise:
        image = arguments["image"]
        if image.dtype.kind in "bu":
            return within(factor * (sum(image.shape) + 8), BLAS)
        return approximate(BLAS, bound=1e-5)  # 3e-7 was measured for float32

    return promise


def _ndim(arguments: Arguments) -> int:
    return len(arguments["image"].shape)


def _float(arguments: Arguments) -> DType:
    return np.dtype(np.float32 if np.dtype(arguments["image"].dtype) == np.float32 else np.float64)


def merge_moments(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Array:
    """The sum of all blocks' moments."""
    return np.asarray(sum(partial["moments"] for _, partial in partials), _float(arguments))


@declare(
    Reduction(
        "lepton.moments",
        merge=merge_moments,
        result=lambda arguments: ((arguments["order"] + 1,) * _ndim(arguments), _float(arguments)),
        wants_where=True,
        cost_ns=10.0,
    )
)
def moments_partial(
    image: Array, center: Sequence[float], order: int, spacing: Sequence[float], where: Where
) -> Partial:
    """The moments of a block's pixels about `center`, in float64."""
    from skimage.measure import moments_central

    shifted = [c - a * s for c, a, s in zip(center, where.region.start, spacing, strict=True)]
    return {"moments": moments_central(image.astype(np.float64), shifted, order, spacing=spacing)}


def _moments(arguments: Arguments, build: Build, center: Any, order: int) -> Lazy:
    ndim, spacing = _ndim(arguments), arguments["spacing"]
    steps = [1.0 if spacing is None else float(spacing[axis]) for axis in range(ndim)]
    center = [float(c) for c in center]
    if len(center) != ndim:
        raise InputError(f"center={center} for an image of {ndim} axes; give one coordinate per axis")
    return build("lepton.moments", image=arguments["image"], center=center, order=int(order), spacing=steps)


@declare(Composite("measure.moments", least={"order": 0}, promise=_blas_promise(1), gives=""))
def _expand_moments(arguments: Arguments, build: Build) -> Lazy:
    return _moments(arguments, build, (0.0,) * _ndim(arguments), arguments["order"])


def _like_moments(arguments: Arguments) -> ValueType:
    return tuple(arguments["moments"].shape), arguments["moments"].dtype


@declare(ValueFunction("lepton.central_of_raw", values=("moments",), result=_like_moments))
def central_of_raw(moments: Array) -> Array:
    """Central moments, from raw ones."""
    from skimage.measure._moments_analytical import moments_raw_to_central

    central: Array = moments_raw_to_central(moments)
    return central


@declare(Composite("measure.moments_central", least={"order": 0}, promise=approximate(BLAS, bound=1e-3), gives=""))
def _expand_central(arguments: Arguments, build: Build) -> Lazy:
    if arguments["center"] is not None:
        return _moments(arguments, build, arguments["center"], arguments["order"])
    return build("lepton.central_of_raw", moments=_expand_moments(arguments, build))


@declare(
    ValueFunction(
        "lepton.centroid_of_moments",
        values=("moments",),
        result=lambda arguments: ((len(arguments["moments"].shape),), arguments["moments"].dtype),
    )
)
def centroid_of_moments(moments: Array) -> Array:
    """`skimage.measure.centroid`, from the moments."""
    centroid: Array = moments[tuple(np.eye(moments.ndim, dtype=int))] / moments[(0,) * moments.ndim]
    return centroid


@declare(Composite("measure.centroid", promise=_blas_promise(2), gives=""))
def _expand_centroid(arguments: Arguments, build: Build) -> Lazy:
    moments = _moments(arguments, build, (0.0,) * _ndim(arguments), 1)
    return build("lepton.centroid_of_moments", moments=moments)


class Seven(Whole):
    """Seven numbers for the whole image."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        return (7,)


ENTRIES = (
    Local("measure.moments_normalized", images=("mu",), values=("mu",), dtype_kinds="f", geometry=Whole()),
    Local("measure.moments_hu", images=("nu",), values=("nu",), dtype_kinds="f", geometry=Seven()),
)
