"""`skimage.segmentation.watershed`: floods from many markers.

The watershed of a block is computed with a halo around it and then checked. scikit-image floods pixels in the order of
(height, time), where the height of a pixel is the least height that a path from a marker has to climb. A pixel gets the
label of the neighbour that was flooded first; this is one of its lowest neighbours, here called its parents. Therefore

- heights computed in a part of the image, with floods from all of its cut faces, are never too great;
- if no ancestor of a pixel is on a cut face, its ancestors and their heights are those of the whole image;
- if moreover all parents of each ancestor have its label, the pixel has that label too, in whatever order they are flooded.

Otherwise the halo is doubled. If labels meet at equal heights, the time decides, and it depends on the whole image: such a
block takes its labels from scikit-image's result for the whole image, which each process computes once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary, ref

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Shape, View, Where
from lepton_celery.catalogue.declare import declare, whole
from lepton_celery.catalogue.entries import Build, Composite, Local
from lepton_celery.catalogue.geometry import Stencil, any_block
from lepton_celery.catalogue.results import dtype_of
from lepton_celery.errors import InputError
from lepton_celery.grid import Region

FIRST_HALO_PX = 64
"""The first halo that is tried for a block."""
MAX_PX = 1 << 26
"""The largest number of pixels that are flooded at once."""
_FACE = np.iinfo(np.int64).min
"""The label of floods that enter through cut faces."""
_IMAGES = ("image", "markers", "mask")


@declare(
    Local(
        "lepton.basins",
        images=_IMAGES,
        geometry=Stencil(FIRST_HALO_PX, f"{FIRST_HALO_PX}, more as far as basins reach"),
        own_stage=any_block,
        reads_itself=True,
        dtype=dtype_of("markers"),
        cost_ns=1500.0,
    )
)
def basins(image: View, markers: View, connectivity: Any, mask: View | None, where: Where) -> Array:
    """Runs `skimage.segmentation.watershed` on the block and on the margin that can change the block's labels."""
    region, shape = where.region, where.shape
    footprint = _footprint(connectivity, len(shape))
    reach = tuple(n // 2 for n in footprint.shape)
    halo = FIRST_HALO_PX
    while not (wide := region.expand((halo,) * len(shape), shape)).contains(Region.whole(shape)):
        _check_size(wide)
        flood = _flooded(_Pixels.read(image, markers, mask, wide), _faces(wide, shape, reach), footprint)
        inside = region.within(wide)
        depends_on_faces = flood.from_faces[inside]
        if not depends_on_faces.any() and not flood.contested[inside].any():
            return flood.labels[inside].astype(markers.dtype)
        if (flood.contested[inside] & ~depends_on_faces).any():
            break  # no halo can decide between markers whose labels meet at equal heights
        halo *= 2
    return _whole_labels(image, markers, mask, footprint)[region.slices]


@dataclass(frozen=True)
class _Pixels:
    """The pixels of the image, the markers and the mask in a region."""

    heights: Array
    markers: Array
    mask: Array

    @classmethod
    def read(cls, image: View, markers: View, mask: View | None, region: Region) -> _Pixels:
        heights = image.read(region)
        if heights.dtype.kind == "f" and np.isnan(heights).any():
            raise InputError("the image has NaN, which is neither higher nor lower than other pixels; fill NaN first")
        inside = np.ones(region.shape, bool) if mask is None else mask.read(region).astype(bool)
        return cls(heights, markers.read(region) * inside, inside)


@dataclass(frozen=True)
class _Flood:
    labels: Array
    from_faces: Array
    """Pixels with an ancestor on a cut face."""
    contested: Array
    """Pixels with an ancestor whose parents have more than one label."""


def _flooded(pixels: _Pixels, faces: Array, footprint: Array) -> _Flood:
    """Floods a part of the image from its markers and from the cut faces."""
    from skimage.morphology import reconstruction
    from skimage.segmentation import watershed

    faces = faces & pixels.mask
    markers = np.where(faces, _FACE, pixels.markers.astype(np.int64))
    # ranked as float64, which is what scikit-image compares
    values, ranks = np.unique(pixels.heights.astype(np.float64), return_inverse=True)
    dry = len(values) + 1
    heights = np.where(faces, 0, np.where(pixels.mask, ranks.reshape(pixels.heights.shape) + 1, dry))
    labels = watershed(heights, markers, footprint, mask=pixels.mask)
    sources = markers != 0
    flooded = reconstruction(np.where(sources, heights, dry), heights, "erosion", footprint)
    child, parent = _parents(flooded, ~sources & (labels != 0), footprint)
    flat = labels.ravel()
    contested = np.zeros(flat.shape, bool)
    contested[child[flat[child] != flat[parent]]] = True
    below = [_descendants(start, child, parent).reshape(labels.shape) for start in (faces.ravel(), contested)]
    return _Flood(labels, *below)


def _parents(flooded: Array, wanted: Array, footprint: Array) -> tuple[Array, Array]:
    """Pixels and their lowest neighbours, as pairs of raster indices."""
    from scipy.ndimage import minimum_filter

    around = footprint.copy()
    around[tuple(n // 2 for n in footprint.shape)] = False
    lowest = minimum_filter(flooded, footprint=around, mode="constant", cval=np.inf)
    indices = np.arange(flooded.size).reshape(flooded.shape)
    pairs = [(indices.ravel()[:0],) * 2]
    for here, there in _neighbours(around, flooded.shape):
        chosen = wanted[here] & (flooded[there] == lowest[here])
        pairs.append((indices[here][chosen], indices[there][chosen]))
    child, parent = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return child, parent


def _neighbours(around: Array, shape: Shape) -> Iterator[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    """For each offset in a footprint, the slices of the pixels with a neighbour there, and of these neighbours."""
    for position in zip(*np.nonzero(around), strict=True):
        steps = [int(p) - n // 2 for p, n in zip(position, around.shape, strict=True)]
        here = tuple(slice(max(0, -s), max(0, n - max(0, s))) for s, n in zip(steps, shape, strict=True))
        there = tuple(slice(max(0, s), max(0, n - max(0, -s))) for s, n in zip(steps, shape, strict=True))
        if all(abs(s) < n for s, n in zip(steps, shape, strict=True)):
            yield here, there


def _descendants(start: Array, child: Array, parent: Array) -> Array:
    """Which pixels are in `start` or have an ancestor there."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order

    reached = np.zeros(start.size + 1, bool)
    begins = np.flatnonzero(start)
    if begins.size:
        origin = start.size  # one more node, the parent of all pixels of `start`
        rows = np.concatenate([parent, np.full(begins.size, origin)])
        columns = np.concatenate([child, begins])
        graph = csr_array((np.ones(rows.size, np.int8), (rows, columns)), shape=(reached.size, reached.size))
        reached[breadth_first_order(graph, origin, return_predecessors=False)] = True
    return reached[:-1]


def _faces(region: Region, shape: Shape, reach: tuple[int, ...]) -> Array:
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

_whole_results: WeakKeyDictionary[View, tuple[Any, ...]] = WeakKeyDictionary()
"""By the `View` of the markers: the other arguments, and scikit-image's result for the whole image."""
_whole_lock = Lock()


def _whole_labels(image: View, markers: View, mask: View | None, footprint: Array) -> Array:
    """scikit-image's result for the whole image, cached for the next blocks as long as the `View` of the markers exists."""
    from skimage.segmentation import watershed

    _check_size(Region.whole(image.shape))
    given = (ref(image), None if mask is None else ref(mask), footprint.tobytes(), footprint.shape)
    with _whole_lock:
        known = _whole_results.get(markers)
        if known is None or known[:-1] != given:
            pixels = _Pixels.read(image, markers, mask, Region.whole(image.shape))
            known = (*given, watershed(pixels.heights, pixels.markers, footprint, mask=pixels.mask))
            _whole_results[markers] = known
    labels: Array = known[-1]
    return labels


def _check_size(region: Region) -> None:
    if region.size > MAX_PX:
        raise InputError(
            f"separating the basins of this image takes a flood of {region.size:,} pixels at once, more than "
            f"{MAX_PX:,}; give more markers, or an image with fewer equal pixels, such as a smoothed float one"
        )


# ------------------------------------------------------------------------------------------------ arguments


def _footprint(connectivity: Any, ndim: int) -> Array:
    from skimage.morphology._util import _validate_connectivity

    footprint: Array = _validate_connectivity(ndim, connectivity, None)[0]
    return footprint


def _can_be_split(arguments: Arguments) -> bool:
    """Whether the check of a block's labels is valid for these arguments; otherwise one worker floods the whole image."""
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
    connectivity = arguments["connectivity"]
    if connectivity is not None and np.ndim(connectivity) not in (0, len(shape)):
        raise InputError(
            f"connectivity has {np.ndim(connectivity)} axes, the image {len(shape)}; give the same number of axes"
        )
    if arguments["offset"] is not None:
        _check_offset(np.shape(connectivity) or (3,) * len(shape), arguments["offset"])


def _check_offset(lengths: tuple[int, ...], offset: Any) -> None:
    """Refuse an offset for which scikit-image's flood would read and write outside the image that it pads by the offset."""
    if np.shape(offset) != (len(lengths),) or any(n - 1 - o > o for n, o in zip(lengths, offset, strict=True)):
        raise InputError(
            f"offset {offset!r} leaves more of a connectivity of shape {lengths} behind it than before it, "
            "and scikit-image would flood past the image; give for each axis at least (length - 1) / 2"
        )


@declare(
    Composite(
        "segmentation.watershed",
        images=_IMAGES,
        values=("markers",),
        samples={"markers": "markers"},
        check=_check,
        gives="image",
    )
)
def _expand(arguments: Arguments, build: Build) -> Lazy:
    if not _can_be_split(arguments):
        return build("lepton.watershed_whole", **arguments)
    return build("lepton.basins", **{name: arguments[name] for name in ("image", "markers", "connectivity", "mask")})


ENTRIES = (
    whole(
        "lepton.watershed_whole",
        source="skimage.segmentation.watershed",
        images=_IMAGES,
        values=("markers",),
        cost_ns=700.0,
    ),
)
