"""Label images of overlapping windows, joined: `lepton.map_overlap(…, merge="labels")`.

Each window is segmented once, and the labels are stored side by side, window by window, in an image of tiles. The rule:

1. An object of one window and an object of a neighbouring window are the same if, among the pixels that both windows have,
   their intersection over union is at least the threshold. What is the same as the same object is the same too.
2. A pixel belongs to the window that has most to spare around it: windows share their overlap in the middle.
3. Objects are numbered by their first pixel in raster order, as by `skimage.measure.label`.

Nothing of this depends on blocks or on the order in which they are done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Partial, Partials, Shape, Shapes, View, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Local, Reduction
from lepton_celery.catalogue.own import Parameters, window_starts
from lepton_celery.catalogue.results import always, value_of
from lepton_celery.catalogue.shared.functions import OwnFunction, callable_of, name_of
from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid, Region

Joined = Mapping[str, Array]
"""`offsets`: the labels of all windows before each window; `objects`: the object of each label of each window, from 1."""

# ------------------------------------------------------------------------------------------------ windows


@dataclass(frozen=True)
class Layout:
    """The windows of an image along each axis, and the image of tiles that has them side by side."""

    shape: Shape
    """The image's shape, without channels."""
    starts: tuple[list[int], ...]
    """The first pixel of each window."""
    lengths: Shape
    """Pixels of a window: fewer than asked for if the image is shorter."""

    @classmethod
    def of(cls, shape: Shape, window: Sequence[int], overlap: Sequence[int]) -> Layout:
        spatial = tuple(shape[: len(window)])
        starts = tuple(window_starts(n, w, o) for n, w, o in zip(spatial, window, overlap, strict=True))
        return cls(spatial, starts, tuple(min(n, w) for n, w in zip(spatial, window, strict=True)))

    @property
    def counts(self) -> Shape:
        """Windows along each axis."""
        return tuple(map(len, self.starts))

    @property
    def tiles_shape(self) -> Shape:
        return tuple(count * length for count, length in zip(self.counts, self.lengths, strict=True))

    def windows_in(self, tiles: Region) -> list[range]:
        """The windows along each axis whose tiles have pixels in a region of the image of tiles."""
        ends = zip(tiles.start, tiles.stop, self.lengths, strict=True)
        return [range(start // length, -(-stop // length)) for start, stop, length in ends]

    def pixels_of(self, index: Sequence[int]) -> Region:
        """The pixels of the image in a window."""
        start = tuple(starts[i] for starts, i in zip(self.starts, index, strict=True))
        return Region(start, tuple(a + length for a, length in zip(start, self.lengths, strict=True)))

    def in_tiles(self, index: Sequence[int], pixels: Region) -> Region:
        """The pixels of the image as a region of the window's tile."""
        corner = [i * length - starts[i] for i, length, starts in zip(index, self.lengths, self.starts, strict=True)]
        return Region(
            tuple(a + c for a, c in zip(pixels.start, corner, strict=True)),
            tuple(b + c for b, c in zip(pixels.stop, corner, strict=True)),
        )

    def owned(self, axis: int, number: int) -> tuple[int, int]:
        """The pixels along an axis that belong to a window: from the middle of one overlap to the middle of the next."""
        starts, length = self.starts[axis], self.lengths[axis]
        cuts = [0, *((after + before + length) // 2 for before, after in pairwise(starts))]
        return cuts[number], [*cuts[1:], self.shape[axis]][number]

    def owners(self, region: Region) -> list[list[int]]:
        """The windows along each axis that own pixels of a region of the image."""
        return [
            [
                number
                for number in range(count)
                if self.owned(axis, number)[0] < region.stop[axis] and self.owned(axis, number)[1] > region.start[axis]
            ]
            for axis, count in enumerate(self.counts)
        ]


def _layout(shape: Shape, arguments: Arguments) -> Layout:
    return Layout.of(shape, arguments["window"], arguments["overlap"])


class Tiles:
    """The image of tiles, made from the windows of an image that may have channels."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        return _layout(images[0], arguments).tiles_shape

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        layout = _layout(images[0], arguments)
        windows = layout.windows_in(region)
        channels = images[0][len(windows) :]
        first, last = (layout.pixels_of([numbers[end] for numbers in windows]) for end in (0, -1))
        return [Region((*first.start, *(0 for _ in channels)), (*last.stop, *channels))]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result


def _whole_tiles(shape: Shape, wanted: Shape, arguments: Arguments) -> Shape:
    """Blocks of whole tiles, so that no window is segmented twice."""
    lengths = [min(n, w) for n, w in zip(shape, arguments["window"], strict=True)]
    return tuple(max(1, w // length) * length for w, length in zip(wanted, lengths, strict=True))


@declare(
    Local(
        "lepton.segmented_tiles",
        own_functions=("function",),
        geometry=Tiles(),
        own_stage=_whole_tiles,
        wants_where=True,
        dtype=always(np.int32),
        cost_ns=1000.0,
    )
)
def segmented_tiles(
    image: Array,
    function: OwnFunction,
    parameters: Parameters,
    window: Sequence[int],
    overlap: Sequence[int],
    where: Where,
) -> Array:
    """The tiles of a region, with the labels of each window renumbered 1, 2 … in the order of the function's numbers."""
    assert where.result is not None
    layout = Layout.of(where.shape, window, overlap)
    result = np.zeros(where.result.shape, np.int32)
    for index in product(*layout.windows_in(where.result)):
        pixels = layout.pixels_of(index)
        origin = Region(where.region.start[: pixels.ndim], where.region.stop[: pixels.ndim])
        labels = _segmented(np.ascontiguousarray(image[pixels.within(origin)]), function, parameters, pixels.shape)
        result[layout.in_tiles(index, pixels).within(where.result)] = labels
    return result


def _segmented(pixels: Array, function: OwnFunction, parameters: Parameters, shape: Shape) -> Array:
    """The function's labels for one window, checked and renumbered."""
    labels = np.asarray(callable_of(function)(pixels, **dict(parameters)))
    if labels.shape != shape or labels.dtype.kind not in "iub" or (labels < 0).any():
        raise InputError(
            f"{name_of(function)} gave {labels.dtype} of shape {labels.shape} for a window of shape {pixels.shape}; "
            f'merge="labels" needs whole numbers from 0 of shape {shape}'
        )
    names, numbers = np.unique(labels, return_inverse=True)
    renumbered: Array = numbers.reshape(shape) + int(names[0] > 0)
    return renumbered


# ------------------------------------------------------------------------------------------------ joining


def _same_objects(first: Array, second: Array, threshold: float) -> tuple[Array, Array]:
    """The labels in two images of the same pixels whose intersection over union is at least `threshold`."""
    rows = int(second.max(initial=0)) + 1
    pairs, shared = np.unique(first.ravel().astype(np.int64) * rows + second.ravel(), return_counts=True)
    one, other = pairs // rows, pairs % rows
    union = np.bincount(first.ravel())[one] + np.bincount(second.ravel())[other] - shared
    same = (one > 0) & (other > 0) & (shared >= threshold * union)
    return one[same], other[same]


def _later_neighbours(index: Sequence[int], counts: Shape) -> Iterator[tuple[int, ...]]:
    """The neighbours of a window, diagonal ones too, that come after it in raster order."""
    for step in product((-1, 0, 1), repeat=len(counts)):
        near = tuple(i + s for i, s in zip(index, step, strict=True))
        if step > (0,) * len(step) and all(0 <= i < n for i, n in zip(near, counts, strict=True)):
            yield near


def merge_tiles(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Joined:
    """The object of each label of each window; objects are numbered in no particular order."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    of_blocks = [partial for _, partial in partials]
    window, count, pairs = (
        np.concatenate([partial[name] for partial in of_blocks]) for name in ("window", "count", "pairs")
    )
    counts = count[np.argsort(window)]
    offsets: Array = np.cumsum(counts) - counts
    ends = offsets[pairs[:, [0, 2]]] + pairs[:, [1, 3]] - 1
    total = int(counts.sum())
    joined = coo_array((np.ones(len(ends), bool), (ends[:, 0], ends[:, 1])), shape=(total, total))
    objects = connected_components(joined, directed=False)[1] if total else np.zeros(0, np.int32)
    return {"offsets": offsets, "objects": objects.astype(np.int32) + 1}


@declare(
    Reduction(
        "lepton.same_objects",
        images=("tiles",),
        merge=merge_tiles,
        reads_itself=True,
        cost_ns=20.0,
    )
)
def same_objects_partial(
    tiles: View, shape: Shape, window: Sequence[int], overlap: Sequence[int], threshold: float, where: Where
) -> Partial:
    """For windows whose tile begins in this block: the number of labels, and those that later neighbours have too."""
    layout = Layout.of(tuple(shape), window, overlap)
    begun = [
        [i for i in numbers if i * length >= first]
        for numbers, length, first in zip(
            layout.windows_in(where.region), layout.lengths, where.region.start, strict=True
        )
    ]
    windows, counts, pairs = [], [], [np.zeros((0, 4), np.int64)]
    for index in product(*begun):
        own = layout.pixels_of(index)
        number = int(np.ravel_multi_index(index, layout.counts))
        windows.append(number)
        counts.append(int(tiles.read(layout.in_tiles(index, own)).max(initial=0)))
        for near in _later_neighbours(index, layout.counts):
            other = layout.pixels_of(near)
            start, stop = tuple(map(max, own.start, other.start)), tuple(map(min, own.stop, other.stop))
            if any(a >= b for a, b in zip(start, stop, strict=True)):
                continue
            shared = Region(start, stop)
            one, two = tiles.read(layout.in_tiles(index, shared)), tiles.read(layout.in_tiles(near, shared))
            first, second = _same_objects(one, two, threshold)
            later = int(np.ravel_multi_index(near, layout.counts))
            pairs.append(np.stack([np.full(first.size, number), first, np.full(first.size, later), second], axis=1))
    return {
        "window": np.array(windows, np.int64),
        "count": np.array(counts, np.int64),
        "pairs": np.concatenate(pairs).astype(np.int64),
    }


# ------------------------------------------------------------------------------------------------ the image


class Owned:
    """The image, each pixel from the tile of the window that it belongs to."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        return tuple(arguments["shape"])

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        layout = _layout(tuple(arguments["shape"]), arguments)
        owners = layout.owners(region)
        ends = [[numbers[end] for numbers in owners] for end in (0, -1)]
        first, last = (layout.in_tiles(index, layout.pixels_of(index)) for index in ends)
        return [Region(first.start, last.stop)]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result


@declare(
    Local(
        "lepton.owned_objects",
        images=("tiles",),
        values=("joined",),
        geometry=Owned(),
        wants_where=True,
        dtype=always(np.int32),
        cost_ns=5.0,
    )
)
def owned_objects(
    tiles: Array, joined: Joined, shape: Shape, window: Sequence[int], overlap: Sequence[int], where: Where
) -> Array:
    """The object that each pixel of a region belongs to, 0 for the background."""
    region = where.result
    assert region is not None
    layout = Layout.of(tuple(shape), window, overlap)
    result = np.zeros(region.shape, np.int32)
    for index in product(*layout.owners(region)):
        spans = [layout.owned(axis, number) for axis, number in enumerate(index)]
        pixels = Region(
            tuple(max(a, s) for a, (s, _) in zip(region.start, spans, strict=True)),
            tuple(min(b, e) for b, (_, e) in zip(region.stop, spans, strict=True)),
        )
        labels = tiles[layout.in_tiles(index, pixels).within(where.region)]
        offset = int(joined["offsets"][np.ravel_multi_index(index, layout.counts)])
        objects = np.concatenate(
            [np.zeros(1, np.int32), joined["objects"][offset : offset + int(labels.max(initial=0))]]
        )
        result[pixels.within(region)] = objects[labels]
    return result


def merge_first(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Array:
    """The number of each object in the raster order of first pixels; 0 for objects without pixels."""
    of_blocks = [partial for _, partial in partials]
    objects = np.concatenate([partial["object"] for partial in of_blocks])
    position = np.concatenate([partial["position"] for partial in of_blocks])
    count = int(objects.max(initial=0)) + 1
    first = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(first, objects, position)
    seen = np.zeros(count, bool)
    seen[objects] = True
    order = np.flatnonzero(seen)
    numbers = np.zeros(count, np.int32)
    numbers[order[np.argsort(first[order])]] = np.arange(1, order.size + 1)
    return numbers


@declare(
    Reduction("lepton.object_numbers", merge=merge_first, result=value_of(np.int32, -1), wants_where=True, cost_ns=20.0)
)
def object_numbers_partial(image: Array, where: Where) -> Partial:
    """The objects in a block and the raster index, in the whole image, of their first pixel in it."""
    objects, first = np.unique(image, return_index=True)
    at = np.unravel_index(first[objects > 0], image.shape)
    position = np.ravel_multi_index([a + s for a, s in zip(at, where.region.start, strict=True)], where.shape)
    return {"object": objects[objects > 0].astype(np.int64), "position": np.asarray(position, np.int64)}


@declare(Local("lepton.numbered_objects", values=("numbers",), dtype=always(np.int32), cost_ns=2.0))
def numbered_objects(image: Array, numbers: Array) -> Array:
    """The final number of each pixel's object."""
    result: Array = numbers[image]
    return result


def joined_labels(build: Build, image: Lazy, threshold: float, **given: Any) -> Lazy:
    """The label image; `given` has the `function`, its `parameters`, the `window` and the `overlap` of `map_overlap`."""
    layout = {name: given[name] for name in ("window", "overlap")}
    shape = tuple(image.shape[: len(given["window"])])
    tiles = build("lepton.segmented_tiles", image=image, **given)
    joined = build("lepton.same_objects", tiles=tiles, shape=shape, threshold=threshold, **layout)
    objects = build("lepton.owned_objects", tiles=tiles, joined=joined, shape=shape, **layout)
    return build("lepton.numbered_objects", image=objects, numbers=build("lepton.object_numbers", image=objects))
