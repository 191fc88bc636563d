"""`scipy.ndimage.binary_propagation`: a flood within a mask.

Only pixels of the mask are flooded, and the pixels of the image stay as they are. So the result is all components of the
image and the mask together that have a pixel of the image, if the structure joins neighbours in both directions. Other
structures are applied in rounds until no block changes.
"""

from __future__ import annotations

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, View, Where
from lepton_celery.catalogue.declare import declare, leave_out
from lepton_celery.catalogue.entries import Build, Composite, Iterated
from lepton_celery.catalogue.results import always
from lepton_celery.catalogue.shared.components import components_where, joins_neighbours
from lepton_celery.catalogue.shared.label_joining import neighbourhood
from lepton_celery.errors import InputError


def _structure_halo(ndim: int, structure: Array | None) -> tuple[int, ...]:
    """Twice the reach of the structure, because SciPy reads outside an image that is shorter than the structure."""
    return tuple(n - 1 for n in ((3,) * ndim if structure is None else np.shape(structure)))


@declare(
    Iterated(
        "lepton.propagated",
        images=("input", "mask"),
        halo=lambda arguments: _structure_halo(len(arguments["input"].shape), arguments["structure"]),
        dtype=always(bool),
        settles_whole=True,
        cost_ns=100.0,
    )
)
def propagated(
    input: View, structure: Array | None, mask: View | None, state: View | None, where: Where
) -> tuple[Array, bool]:
    """Run `scipy.ndimage.binary_propagation` on a block and its halo; also return whether the block changed."""
    from scipy.ndimage import binary_propagation

    wide = where.region.expand(_structure_halo(len(where.shape), structure), where.shape)
    inside = where.region.within(wide)
    before = (input if state is None else state).read(wide).astype(bool)
    limit = None if mask is None else mask.read(wide)
    after = binary_propagation(before, structure, limit)
    return after[inside], state is None or bool((after[inside] != before[inside]).any())


def _check(arguments: Arguments) -> None:
    leave_out(output="the result is returned", axes="all axes are flooded")(arguments)
    shape, structure, mask = tuple(arguments["input"].shape), arguments["structure"], arguments["mask"]
    if arguments["border_value"] != 0 or np.any(arguments["origin"]):
        raise InputError("only border_value=0 and origin=0 are supported here; leave them out")
    if mask is not None and tuple(mask.shape) != shape:
        raise InputError(f"mask of shape {mask.shape} does not match the image of shape {shape}; give one shape")
    if structure is None:
        return
    lengths = np.shape(structure)
    if len(lengths) != len(shape) or not all(n % 2 for n in lengths):
        raise InputError(f"structure of shape {lengths} for an image of {len(shape)} axes; give an odd length for each")
    if not np.asarray(structure)[tuple(n // 2 for n in lengths)]:
        raise InputError("structure is False at its centre, so floods would never end; set the centre to True")
    if any(n > max(3, size) for n, size in zip(lengths, shape, strict=True)):
        raise InputError(f"structure of shape {lengths} is larger than the image of shape {shape}; give a smaller one")


@declare(
    Composite(
        "ndimage.binary_propagation",
        images=("input", "mask"),
        samples={"mask": "mask"},
        check=_check,
        gives="image",
    )
)
def _expand(arguments: Arguments, build: Build) -> Lazy:
    names = ("input", "structure", "mask")
    image, structure, mask = (arguments[name] for name in names)
    ndim = len(image.shape)
    near = neighbourhood(1 if structure is None else np.asarray(structure), ndim)
    if joins_neighbours(near, ndim):
        other = build("numpy.logical_not", x=image) if mask is None else mask
        marker = build("numpy.not_equal", x1=image, x2=0)
        floodable = build("numpy.logical_or", x1=image, x2=other)
        return components_where(build, floodable, connectivity=1 if structure is None else near, marker=marker)
    rounds = build("lepton.propagated", **{name: arguments[name] for name in names})
    return build("lepton.after_rounds", image=rounds)
