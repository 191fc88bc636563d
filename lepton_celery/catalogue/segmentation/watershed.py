"""`skimage.segmentation.watershed`: floods from many markers.

scikit-image takes pixels from one heap, ordered by (height, time). The height of a pixel is the least height that a path
from a marker to it has to climb; the time counts the pixels that were put into the heap, and is 0 for all markers. A pixel
gets the label of its first flooded neighbour. Let the *history* of a pixel be the heights of the path by which it was
flooded, from the pixel back to its marker. Then

1. Pixels leave the heap in the lexicographic order of their histories: of two pixels of equal height, the first is the one
   whose neighbour left the heap first. Only pixels of equal histories are left to the time.
2. A pixel's history is the least one that its neighbours' histories allow, like a distance in Dijkstra's algorithm, so it is
   the same in whatever order pixels of equal histories are flooded. Hence the *parents* of a pixel, its neighbours with the
   least history, are known, and its label is that of a marker from which parents lead to it. If all these markers have one
   label, the label is *decided*.
3. If they have several, their heights are equal, and so are their times, 0: their order in the heap results from all that
   was put into it before, anywhere in the image. Such a pixel is *contested*. Its label is found only by running
   scikit-image's heap over the whole image, other components of the mask included.
4. A part of an image is flooded from its markers and from its cut faces, which are lower than any pixel. All paths from
   outside cross the cut faces, so no history is greater than in the whole image. If no chain of parents leads from a pixel
   to a cut face, its history is that of a path in the part, thus neither is it less. So these pixels have the parents that
   they have in the whole image, and the same decided labels.

A block is flooded with a halo, which is doubled as long as a pixel of the block depends on a cut face. Floods do not leave a
component of the mask, so it suffices that the halo holds the components that reach into the block. If a pixel is contested,
or halos become large, the block takes its labels from the flood of the whole image, which one process does for all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary, ref

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Partial, Shape, View, Where
from lepton_celery.catalogue.declare import declare, whole
from lepton_celery.catalogue.entries import Build, Composite, Local
from lepton_celery.catalogue.geometry import Stencil, any_block
from lepton_celery.catalogue.results import dtype_of
from lepton_celery.catalogue.shared.fastest import KERNELS, fastest
from lepton_celery.errors import InputError
from lepton_celery.grid import Region
from lepton_celery.kernels import Kernel, load

FIRST_HALO_PX = 64
"""The first halo that is tried for a block, divided by the number of axes."""
MOST_READ = 1
"""How many times the pixels of the image a process may flood beyond its blocks before it floods the whole image instead."""
WHOLE_PX = 1 << 28
"""Pixels of an image above which a block reads any number of pixels rather than the whole image."""
_STRIP_PX = 1 << 22
"""Pixels that are read at once."""
CONTESTED, FROM_FACES = 1, 2
"""Flags of pixels to which parents lead from markers of several labels, and from a cut face."""
_WALL = -1
"""The number of pixels that are not flooded."""
_IMAGES = ("image", "markers", "mask")


@declare(
    Local(
        "lepton.basins",
        images=_IMAGES,
        geometry=Stencil(
            lambda arguments: FIRST_HALO_PX // len(arguments["image"].shape),
            f"{FIRST_HALO_PX} / number of axes, more as far as basins reach",
        ),
        own_stage=any_block,
        reads_itself=True,
        wants_kernels=True,
        dtype=dtype_of("markers"),
        cost_ns=300.0,
    )
)
def basins(
    image: View, markers: View, connectivity: Any, mask: View | None, where: Where, kernels: bool = False
) -> Array:
    """Runs `skimage.segmentation.watershed` on the block and on the margin that can change the block's labels.

    Without the compiled kernel, the whole image is flooded.
    """
    views = _Views(image, markers, mask, _footprint(connectivity, len(where.shape)))
    flooded = _whole_results.get(markers)
    found = None
    if kernels and (flooded is None or not flooded.is_of(views)):
        found = _labels_of_block(views, where.region)
    return _whole_flood(views, where, kernels).labels(where.region) if found is None else found


_read_px: WeakKeyDictionary[View, int] = WeakKeyDictionary()
"""The pixels that this process has flooded beyond its blocks, by the `View` of the markers."""


def _labels_of_block(views: _Views, block: Region) -> Array | None:
    """The labels of a block, from the flood of a part of the image; None if the whole image has to be flooded."""
    part = load(KERNELS[flooded_without_ties], flooded_without_ties)
    if part is None:
        return None
    image = Region.whole(views.shape)
    halo = FIRST_HALO_PX // block.ndim
    while not (wide := block.expand((halo,) * block.ndim, views.shape)).contains(image):
        _read_px[views.markers] = _read_px.get(views.markers, 0) + wide.size
        if _read_px[views.markers] > MOST_READ * image.size and image.size <= WHOLE_PX:
            break
        pixels = views.read(wide)
        numbers, flags = part(pixels.heights, pixels.numbers, pixels.cut(wide, image), pixels.steps)
        inside = block.within(wide)
        here = flags[pixels.inner][inside]
        if not here.any():
            _read_px[views.markers] -= block.size
            labels: Array = pixels.names[numbers[pixels.inner][inside]]
            return labels
        if (here == CONTESTED).any():
            break
        halo *= 2
    return None


@dataclass(frozen=True)
class _Pixels:
    """The heights and markers of a region, with a border of walls."""

    heights: Array
    numbers: Array
    """Markers, numbered from 1; 0 where there is none, and `_WALL` outside the mask."""
    names: Array
    """The label that belongs to each number."""
    footprint: Array

    @property
    def reach(self) -> tuple[int, ...]:
        """The thickness of the border."""
        return tuple(n // 2 for n in self.footprint.shape)

    @property
    def inner(self) -> tuple[slice, ...]:
        """The region itself, without the border."""
        return tuple(slice(thick, n - thick) for thick, n in zip(self.reach, self.heights.shape, strict=True))

    @property
    def steps(self) -> Array:
        """Distances to the neighbours of a pixel in raster order, in scikit-image's order."""
        from skimage.morphology._util import _offsets_to_raveled_neighbors

        steps: Array = _offsets_to_raveled_neighbors(self.heights.shape, self.footprint, self.reach)
        return steps.astype(np.intp)

    def cut(self, region: Region, image: Region) -> Array:
        """The pixels of the region that have neighbours beyond it in the image."""
        cut = np.zeros(self.heights.shape, bool)
        inner = cut[self.inner]
        for axis, thick in enumerate(self.reach):
            along = np.moveaxis(inner, axis, 0)
            if region.start[axis] > 0:
                along[:thick] = True
            if thick and region.stop[axis] < image.stop[axis]:
                along[-thick:] = True
        return cut


@dataclass(frozen=True)
class _Views:
    """The images of a watershed."""

    image: View
    markers: View
    mask: View | None
    footprint: Array

    @property
    def shape(self) -> Shape:
        return tuple(self.image.shape)

    def read(self, region: Region) -> _Pixels:
        """The pixels of a region: 12 bytes for each, of which little more is in memory at any time.

        Raises:
            InputError: they need more memory than this process may have, or the image has NaN.
        """
        padded = tuple(n + n_near - 1 for n, n_near in zip(region.shape, self.footprint.shape, strict=True))
        try:
            pixels = _Pixels(np.zeros(padded), np.full(padded, _WALL, np.int32), np.zeros(0), self.footprint)
        except MemoryError:
            raise InputError(
                f"separating the basins of this image takes a flood of {region.size:,} pixels at once, and more memory than "
                "this process may use; raise memory_limit_bytes, or give a mask, more markers, or an image with fewer "
                "equal pixels, such as a smoothed float one"
            ) from None
        heights, numbers = pixels.heights[pixels.inner], pixels.numbers[pixels.inner]
        found: list[Array] = []
        at: list[tuple[Region, Array]] = []
        for strip in _strips(region):
            there = strip.within(region)
            heights[there] = self.image.read(strip)
            if self.image.dtype.kind == "f" and np.isnan(heights[there]).any():
                raise InputError(
                    "the image has NaN, which is neither higher nor lower than other pixels; fill NaN first"
                )
            inside = np.ones(strip.shape, bool) if self.mask is None else self.mask.read(strip).astype(bool)
            numbers[there] = np.where(inside, 0, _WALL)
            markers = self.markers.read(strip)
            at.append((strip, marked := (markers != 0) & inside))
            found.append(markers[marked])
        names, order = np.unique(np.concatenate(found), return_inverse=True)
        ends = np.cumsum([markers.size for markers in found])[:-1]
        for (strip, marked), mine in zip(at, np.split(order + 1, ends), strict=True):
            numbers[strip.within(region)][marked] = mine
        return _Pixels(pixels.heights, pixels.numbers, np.append(names.dtype.type(0), names), self.footprint)


def _strips(region: Region) -> Iterator[Region]:
    """The region, cut along its first axis."""
    rows = max(1, _STRIP_PX * region.shape[0] // max(1, region.size))
    for first in range(region.start[0], region.stop[0], rows):
        last = min(first + rows, region.stop[0])
        yield Region((first, *region.start[1:]), (last, *region.stop[1:]))


# ------------------------------------------------------------------------------------------------ the whole image


@dataclass(frozen=True)
class _Whole:
    """scikit-image's result for the whole image."""

    given: tuple[Any, ...]
    numbers: Array
    names: Array

    def is_of(self, views: _Views) -> bool:
        """Whether it is the result for these images; the image of the markers is known to be the same."""
        return self.given == _key(views)

    def labels(self, region: Region) -> Array:
        labels: Array = self.names[np.maximum(self.numbers[region.slices], 0)]
        return labels


_whole_results: WeakKeyDictionary[View, _Whole] = WeakKeyDictionary()
"""Results by the `View` of the markers, kept as long as it exists."""
_whole_lock = Lock()


def _key(views: _Views) -> tuple[Any, ...]:
    mask = None if views.mask is None else ref(views.mask)
    return (ref(views.image), mask, views.footprint.tobytes(), views.footprint.shape)


def _whole_flood(views: _Views, where: Where, kernels: bool) -> _Whole:
    """scikit-image's result for the whole image, computed once for all blocks."""
    with _whole_lock:
        known = _whole_results.get(views.markers)
        if known is None or not known.is_of(views):
            flood = partial(_flooded_whole, views, kernels)
            found = flood() if where.shared is None else where.shared(flood)
            known = _Whole(_key(views), found["numbers"], found["names"])
            _whole_results[views.markers] = known
    return known


def _flooded_whole(views: _Views, kernels: bool) -> Partial:
    """The numbers of the markers that scikit-image gives to all pixels, and their labels."""
    pixels = views.read(Region.whole(views.shape))
    given = {"heights": pixels.heights, "numbers": pixels.numbers, "steps": pixels.steps, "in_place": True}
    numbers, names = fastest(flooded_in_order, given, kernels)[pixels.inner], pixels.names
    del pixels, given  # the heights, which are twice as large
    return {"numbers": np.ascontiguousarray(numbers), "names": names}


def flooded_in_order(heights: Array, numbers: Array, steps: Array, in_place: bool = False) -> Array:
    """The numbers after scikit-image's flood; `skimage.segmentation.watershed` itself would copy the images."""
    from skimage.segmentation._watershed_cy import watershed_raveled

    numbers = numbers if in_place else numbers.copy()
    sources = np.flatnonzero(numbers > 0)
    mask = (numbers != _WALL).astype(np.int8)
    strides = np.array(heights.strides, np.intp) // heights.itemsize
    watershed_raveled(heights.reshape(-1), sources, steps, mask.reshape(-1), strides, 0.0, numbers.reshape(-1), False)
    return numbers


# ------------------------------------------------------------------------------------------------ the kernel


def flooded_without_ties(heights: Array, numbers: Array, cut: Array, steps: Array) -> Array:
    """The result of the kernel for an image that is not cut, in which no labels meet at equal heights."""
    numbers = flooded_in_order(heights, numbers, steps)
    return np.stack([np.maximum(numbers, 0), np.zeros_like(numbers)])


def _part_trials() -> Iterator[dict[str, Any]]:
    for given in _trials(levels=1 << 30):
        yield given | {"cut": np.zeros(given["heights"].shape, bool)}


def _trials(levels: int) -> Iterator[dict[str, Any]]:
    """Images whose heights are distinct, or take at most `levels` different values."""
    random = np.random.default_rng(30)
    for shape in ((40, 50), (9, 12, 11)):
        pixels = _Pixels(
            random.permutation(np.arange(np.prod(shape), dtype=float)).reshape(shape) % levels,
            np.full(shape, _WALL, np.int32),
            np.zeros(0),
            _footprint(1, len(shape)),
        )
        inner = pixels.numbers[pixels.inner]
        inner[...] = np.where(random.random(inner.shape) < 0.03, random.integers(1, 9, inner.shape), 0)
        inner[random.random(inner.shape) < 0.2] = _WALL
        yield {"heights": pixels.heights, "numbers": pixels.numbers, "steps": pixels.steps}


KERNELS[flooded_in_order] = Kernel(
    "lepton_celery.kernels.watershed.flooded_in_order", lambda arguments: True, lambda: _trials(levels=7)
)
KERNELS[flooded_without_ties] = Kernel("lepton_celery.kernels.watershed.flooded", lambda arguments: True, _part_trials)


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
