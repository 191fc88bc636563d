"""`scipy.ndimage`: `label` and `binary_fill_holes`."""

from __future__ import annotations

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Lazy
from lepton_celery.catalogue.declare import declare, whole
from lepton_celery.catalogue.entries import Build, Composite
from lepton_celery.catalogue.ndimage.checks import no_output
from lepton_celery.catalogue.results import always
from lepton_celery.catalogue.shared.components import components_where, joins_neighbours
from lepton_celery.catalogue.shared.label_joining import neighbourhood
from lepton_celery.catalogue.shared.labels import LABELS, label_dtype, numbered
from lepton_celery.errors import InputError


def _check_label(arguments: Arguments) -> None:
    no_output(arguments)
    ndim, structure = len(arguments["input"].shape), arguments["structure"]
    if structure is not None and not joins_neighbours(np.asarray(structure, bool), ndim):
        raise InputError(
            f"structure of shape {np.shape(structure)} for an image of {ndim} axes; give one of shape {(3,) * ndim} "
            "that is True at its centre and symmetric about it"
        )


@declare(Composite("ndimage.label", images=("input",), check=_check_label, returns=2, gives=""))
def _expand_label(arguments: Arguments, build: Build) -> Lazy:
    image, structure = arguments["input"], arguments["structure"]
    mask = build("numpy.not_equal", x1=image, x2=0)
    near = neighbourhood(1, len(image.shape)) if structure is None else np.asarray(structure, bool)
    blocks = build(LABELS, image=mask, background=0, connectivity=near)
    return numbered(build, blocks, label_dtype(mask), arguments.get("result_index", 0))


def _check_fill_holes(arguments: Arguments) -> None:
    no_output(arguments)
    shape, structure = arguments["input"].shape, arguments["structure"]
    if np.any(arguments["origin"]):
        raise InputError("origin is not supported here, since SciPy 1.17 can crash; shift the structure instead")
    size = (3,) * len(shape) if structure is None else np.shape(structure)
    if len(size) != len(shape) or any(n > max(3, length) for n, length in zip(size, shape, strict=True)):
        raise InputError(
            f"structure of shape {size} for an image of shape {shape}; give one with the same number of axes that is "
            "not larger than the image, since SciPy 1.17 can crash otherwise"
        )


@declare(Composite("ndimage.binary_fill_holes", images=("input",), check=_check_fill_holes, gives="image"))
def _expand_fill_holes(arguments: Arguments, build: Build) -> Lazy:
    image, structure = arguments["input"], arguments["structure"]
    ndim = len(image.shape)
    structure = neighbourhood(1, ndim) if structure is None else np.asarray(structure, bool)
    if arguments["axes"] is not None or not joins_neighbours(structure, ndim):
        return build("lepton.fill_holes_whole", **arguments)
    # the outside includes the image's edges on the axes along which the structure has neighbours
    widths = tuple(int(structure.take(0, axis).any()) for axis in range(ndim))
    background = build("numpy.logical_not", x=image)
    at_edge = build("lepton.near_edge", image=image, widths=widths)
    outside = components_where(
        build, background, connectivity=structure, marker=build("numpy.logical_and", x1=background, x2=at_edge)
    )
    return build("numpy.logical_not", x=outside)


ENTRIES = (
    whole(
        "lepton.fill_holes_whole",
        source="scipy.ndimage.binary_fill_holes",
        images=("input",),
        dtype=always(bool),  # declared, because SciPy could crash on the few pixels of a test image
        cost_ns=100.0,
    ),
)
