"""Floods from many seeds: `skimage.segmentation.watershed` and `scipy.ndimage.binary_propagation`.

The watershed of a block is found with a halo around it and checked. scikit-image floods pixels in the order of (height,
time), where the height of a pixel is the least that a path from a marker has to climb, and a pixel gets the label of the
neighbour that was flooded first: one of its lowest, here called its parents. So

- heights found in a part of the image, with floods from all of its cut faces, are never too great;
- where no ancestor of a pixel is on a cut face, its ancestors and their heights are those of the whole image;
- where moreover all parents of each ancestor have its label, so has the pixel, whatever came first.

Otherwise the halo is doubled. Where labels meet at equal heights, time decides, and that runs over the whole image: such a
block takes its labels from scikit-image's result for the whole image, which each process finds once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary, ref

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, View, Where
from lepton_celery.catalogue.entries import Build, Composite, Entry, Iterated, Local
from lepton_celery.catalogue.geometry import Stencil, any_block
from lepton_celery.catalogue.shared.halos import constant, leave_out, whole
from lepton_celery.errors import InputError
from lepton_celery.grid import Region

FIRST_PX = 64
"""How far a block looks at first."""
WHOLE_PX = 1 << 26
"""Most pixels that are flooded at once."""
_FACE = np.iinfo(np.int64).min
"""The label of what comes in over cut faces."""


def basins(image: View, markers: View, connectivity: Any, mask: View | None, where: Where) -> Array:
    """The labels of one block.

    Source: `skimage.segmentation.watershed`, run on the block and as much around it as decides.
    """
    region, shape = where.region, where.shape
    footprint = _footprint(connectivity, len(shape))
    reach = tuple(n // 2 for n in footprint.shape)
    halo = FIRST_PX
    while not (wide := region.expand((halo,) * len(shape), shape)).contains(Region.whole(shape)):
        _check_size(wide)
        flood = _flooded(_Part.read(image, markers, mask, wide), _faces(wide, shape, reach), footprint)
        inside = region.within(wide)
        open_to_faces = flood.from_faces[inside]
        if not open_to_faces.any() and not flood.contested[inside].any():
            return flood.labels[inside].astype(markers.dtype)
        if (flood.contested[inside] & ~open_to_faces).any():
            break  # no halo settles what is contested among markers
        halo *= 2
    return _whole_labels(image, markers, mask, footprint)[region.slices]


@dataclass(frozen=True)
class _Part:
    """The images in a part of the whole."""

    heights: Array
    markers: Array
    mask: Array

    @classmethod
    def read(cls, image: View, markers: View, mask: View | None, region: Region) -> _Part:
        heights = image.read(region)
        if heights.dtype.kind == "f" and np.isnan(heights).any():
            raise InputError("the image has NaN, which is neither higher nor lower than other pixels; fill them first")
        inside = np.ones(region.shape, bool) if mask is None else mask.read(region).astype(bool)
        return cls(heights, markers.read(region) * inside, inside)


@dataclass(frozen=True)
class _Flood:
    labels: Array
    from_faces: Array
    """Pixels with an ancestor on a cut face."""
    contested: Array
    """Pixels with an ancestor whose parents have more labels than one."""


def _flooded(part: _Part, faces: Array, footprint: Array) -> _Flood:
    """A part flooded from its markers and from the cut faces."""
    from skimage.morphology import reconstruction
    from skimage.segmentation import watershed

    faces = faces & part.mask
    markers = np.where(faces, _FACE, part.markers.astype(np.int64))
    # in the order of the float64 that scikit-image compares
    values, ranks = np.unique(part.heights.astype(np.float64), return_inverse=True)
    dry = len(values) + 1
    heights = np.where(faces, 0, np.where(part.mask, ranks.reshape(part.heights.shape) + 1, dry))
    labels = watershed(heights, markers, footprint, mask=part.mask)
    sources = markers != 0
    flooded = reconstruction(np.where(sources, heights, dry), heights, "erosion", footprint)
    child, parent = _parents(flooded, ~sources & (labels != 0), footprint)
    flat = labels.ravel()
    contested = np.zeros(flat.shape, bool)
    contested[child[flat[child] != flat[parent]]] = True
    below = [_descendants(start, child, parent).reshape(labels.shape) for start in (faces.ravel(), contested)]
    return _Flood(labels, *below)


def _parents(flooded: Array, wanted: Array, footprint: Array) -> tuple[Array, Array]:
    """Pixels and their lowest neighbours, as pairs of places in the ravelled image."""
    from scipy.ndimage import minimum_filter

    around = footprint.copy()
    around[tuple(n // 2 for n in footprint.shape)] = False
    lowest = minimum_filter(flooded, footprint=around, mode="constant", cval=np.inf)
    places = np.arange(flooded.size).reshape(flooded.shape)
    pairs = [(places.ravel()[:0],) * 2]
    for here, there in _neighbours(around, flooded.shape):
        chosen = wanted[here] & (flooded[there] == lowest[here])
        pairs.append((places[here][chosen], places[there][chosen]))
    child, parent = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return child, parent


def _neighbours(around: Array, shape: tuple[int, ...]) -> Iterator[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    """For each neighbour of a footprint, the pixels of an image that have it, and theirs."""
    for at in zip(*np.nonzero(around), strict=True):
        steps = [int(a) - n // 2 for a, n in zip(at, around.shape, strict=True)]
        here = tuple(slice(max(0, -s), max(0, n - max(0, s))) for s, n in zip(steps, shape, strict=True))
        there = tuple(slice(max(0, s), max(0, n - max(0, -s))) for s, n in zip(steps, shape, strict=True))
        if all(abs(s) < n for s, n in zip(steps, shape, strict=True)):
            yield here, there


def _descendants(start: Array, child: Array, parent: Array) -> Array:
    """Which pixels have one of `start` among their ancestors, or are one."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order

    found = np.zeros(start.size + 1, bool)
    begins = np.flatnonzero(start)
    if begins.size:
        origin = start.size  # one more node, the parent of all that it starts from
        rows = np.concatenate([parent, np.full(begins.size, origin)])
        columns = np.concatenate([child, begins])
        graph = csr_array((np.ones(rows.size, np.int8), (rows, columns)), shape=(found.size, found.size))
        found[breadth_first_order(graph, origin, return_predecessors=False)] = True
    return found[:-1]


def _faces(region: Region, shape: tuple[int, ...], reach: tuple[int, ...]) -> Array:
    """The pixels of a region that have neighbours beyond it in the image."""
    faces = np.zeros(region.shape, bool)
    for axis, thick in enumerate(reach):
        along = np.moveaxis(faces, axis, 0)
        if region.start[axis] > 0:
            along[:thick] = True
        if thick and region.stop[axis] < shape[axis]:
            along[-thick:] = True
    return faces


# ------------------------------------------------------------------------------------------------ the whole image

_KEPT: WeakKeyDictionary[View, tuple[Any, ...]] = WeakKeyDictionary()
_ONE_AT_A_TIME = Lock()


def _whole_labels(image: View, markers: View, mask: View | None, footprint: Array) -> Array:
    """scikit-image's own result, kept for the next block as long as the markers are open."""
    from skimage.segmentation import watershed

    _check_size(Region.whole(image.shape))
    given = (ref(image), None if mask is None else ref(mask), footprint.tobytes(), footprint.shape)
    with _ONE_AT_A_TIME:
        kept = _KEPT.get(markers)
        if kept is None or kept[:-1] != given:
            part = _Part.read(image, markers, mask, Region.whole(image.shape))
            kept = (*given, watershed(part.heights, part.markers, footprint, mask=part.mask))
            _KEPT[markers] = kept
    labels: Array = kept[-1]
    return labels


def _check_size(region: Region) -> None:
    if region.size > WHOLE_PX:
        raise InputError(
            f"basins of this image can only be told apart by flooding {region.size:,} pixels at once, more than "
            f"{WHOLE_PX:,}; give more markers, or an image with fewer equal pixels, such as a smoothed float one"
        )


# ------------------------------------------------------------------------------------------------ watershed's arguments


def _footprint(connectivity: Any, ndim: int) -> Array:
    from skimage.morphology._util import _validate_connectivity

    footprint: Array = _validate_connectivity(ndim, connectivity, None)[0]
    return footprint


def _is_split(arguments: Arguments) -> bool:
    """Whether the certificate holds for these arguments; otherwise one worker floods the whole image."""
    footprint = np.asarray(arguments["connectivity"])
    symmetric = footprint.ndim == 0 or (
        all(n % 2 for n in footprint.shape)
        and bool(footprint[tuple(n // 2 for n in footprint.shape)])
        and np.array_equal(footprint.astype(bool), np.flip(footprint.astype(bool)))
        and np.count_nonzero(footprint) > 1
    )
    plain = arguments["compactness"] <= 0 and not arguments["watershed_line"] and arguments["offset"] is None
    return bool(symmetric and plain) and hasattr(arguments["markers"], "shape")


def _check(arguments: Arguments) -> None:
    shape = tuple(arguments["image"].shape)
    for name in ("markers", "mask"):
        given = arguments[name]
        if hasattr(given, "shape") and tuple(given.shape) != shape:
            raise InputError(f"{name} of shape {given.shape} do not match the image of shape {shape}; give one shape")
    markers = arguments["markers"]
    if hasattr(markers, "dtype") and markers.dtype.kind not in "biu":
        raise InputError(f"markers have dtype {markers.dtype}; give whole numbers, 0 where there is none")
    if arguments["connectivity"] is not None and np.ndim(arguments["connectivity"]) not in (0, len(shape)):
        raise InputError(f"connectivity has {np.ndim(arguments['connectivity'])} axes, the image {len(shape)}")
    if arguments["offset"] is not None:
        _check_offset(np.shape(arguments["connectivity"]) or (3,) * len(shape), arguments["offset"])


def _check_offset(lengths: tuple[int, ...], offset: Any) -> None:
    """scikit-image pads the image by the offset, and past that its flood reads and writes other memory."""
    if np.shape(offset) != (len(lengths),) or any(n - 1 - o > o for n, o in zip(lengths, offset, strict=True)):
        raise InputError(
            f"offset {offset!r} leaves more of a connectivity of shape {lengths} behind it than before it, "
            "and scikit-image would flood past the image; give for each axis at least (length - 1) / 2"
        )


def _expand(arguments: Arguments, build: Build) -> Any:
    if not _is_split(arguments):
        return build("lepton.watershed_whole", **arguments)
    return build("lepton.basins", **{name: arguments[name] for name in ("image", "markers", "connectivity", "mask")})


# ------------------------------------------------------------------------------------------------ binary propagation


def propagated(input: View, structure: Any, mask: View | None, state: View | None, where: Where) -> tuple[Array, bool]:
    """A block flooded from what its surroundings have reached, and whether it changed.

    Source: `scipy.ndimage.binary_propagation`, run on the block and its surroundings.
    """
    from scipy.ndimage import binary_propagation

    wide = where.region.expand(_structure_halo(len(where.shape), structure), where.shape)
    inside = where.region.within(wide)
    before = (input if state is None else state).read(wide).astype(bool)
    limit = None if mask is None else mask.read(wide)
    after = binary_propagation(before, structure, limit)
    return after[inside], state is None or bool((after[inside] != before[inside]).any())


def _structure_halo(ndim: int, structure: Any) -> tuple[int, ...]:
    """Twice what a structure reaches: with less than a structure's length of pixels SciPy reads outside of them."""
    return tuple(n - 1 for n in ((3,) * ndim if structure is None else np.shape(structure)))


def _check_propagation(arguments: Arguments) -> None:
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
        raise InputError("structure leaves out its middle, so that floods never settle; set it")
    if any(n > max(3, size) for n, size in zip(lengths, shape, strict=True)):
        raise InputError(f"structure of shape {lengths} is larger than the image of shape {shape}; give a smaller one")


def _expand_propagation(arguments: Arguments, build: Build) -> Any:
    names = ("input", "structure", "mask")
    return build("lepton.settled", image=build("lepton.propagated", **{name: arguments[name] for name in names}))


def entries() -> list[Entry]:
    """Floods."""
    here = "lepton_celery.catalogue.segmentation.watershed"
    source = "skimage.segmentation.watershed"
    images = ("image", "markers", "mask")
    return [
        Local(
            name="lepton.basins",
            source=f"{here}.basins",
            images=images,
            function=basins,
            geometry=Stencil(constant(FIRST_PX), f"{FIRST_PX}, more as far as basins reach"),
            own_stage=any_block,
            reads_itself=True,
            dtype=lambda arguments: arguments["markers"].dtype,
            cost_ns=1500.0,
        ),
        whole("lepton.watershed_whole", source=source, images=images, values=("markers",), cost_ns=700.0),
        Composite(
            name="segmentation.watershed",
            source=source,
            images=images,
            values=("markers",),
            samples={"markers": "markers"},
            check=_check,
            expand=_expand,
            gives="image",
        ),
        Iterated(
            name="lepton.propagated",
            source=f"{here}.propagated",
            images=("input", "mask"),
            function=propagated,
            halo=lambda arguments: _structure_halo(len(arguments["input"].shape), arguments["structure"]),
            dtype=lambda arguments: np.dtype(bool),
            cost_ns=100.0,
        ),
        Composite(
            name="ndimage.binary_propagation",
            source="scipy.ndimage.binary_propagation",
            images=("input", "mask"),
            samples={"mask": "mask"},
            check=_check_propagation,
            expand=_expand_propagation,
            gives="image",
        ),
    ]
