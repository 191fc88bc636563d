"""`numpy.average`, with weights of the image's shape."""

from __future__ import annotations

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Local
from lepton_celery.catalogue.geometry import BROADCAST
from lepton_celery.catalogue.numpy.defaults import is_given
from lepton_celery.catalogue.results import dtype_of
from lepton_celery.errors import InputError


@declare(
    Local(
        "lepton.weighted",
        images=("total", "weight"),
        values=("total", "weight"),
        geometry=BROADCAST,
        dtype=dtype_of("total"),
        cost_ns=2.0,
    )
)
def weighted(total: Array, weight: Array) -> Array:
    """The weighted sum divided by the sum of the weights."""
    if not np.all(weight):
        raise InputError("numpy.average: weights add up to 0; give weights of which some are above 0 on every line")
    mean: Array = total / weight
    return mean


def _check_weights(arguments: Arguments) -> None:
    weights = arguments["weights"]
    if weights is not None and tuple(weights.shape) != tuple(arguments["a"].shape):
        raise InputError(
            f"numpy.average: weights of shape {tuple(weights.shape)} for an image of shape {tuple(arguments['a'].shape)}; "
            "give weights of the image's shape: numpy.ones_like(image) * weights"
        )
    if arguments["returned"]:
        raise InputError("numpy.average with returned=True is not supported here; take the sum of the weights yourself")


@declare(Composite("numpy.average", images=("a", "weights"), check=_check_weights, gives=""))
def _expand_average(arguments: Arguments, build: Build) -> Lazy:
    image, weights = arguments["a"], arguments["weights"]
    form = {name: arguments[name] for name in ("axis", "keepdims") if is_given("average", name, arguments)}
    if weights is None:
        return build("numpy.mean", a=image, **form)
    floats = () if image.dtype.kind == "f" else (np.dtype(np.float64),)
    dtype = np.result_type(image.dtype, weights.dtype, *floats)
    operands = [
        one if one.dtype == dtype else build("numpy.astype", x=one, dtype=dtype.name) for one in (image, weights)
    ]
    total = build("numpy.sum", a=build("numpy.multiply", x1=operands[0], x2=operands[1]), **form)
    return build("lepton.weighted", total=total, weight=build("numpy.sum", a=weights, dtype=dtype.name, **form))
