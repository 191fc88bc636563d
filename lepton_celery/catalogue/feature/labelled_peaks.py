"""Peaks of each labelled object, as `skimage.feature.peak_local_max` finds them with `labels`.

scikit-image looks at one object after the other, in the object's bounding box, with all other pixels at the dtype's least
value. Here each block does so with its part of an object and a halo, clipped at the same bounding box. What needs the whole
object comes last: whether every pixel of it is a peak, and which of its peaks are far enough from stronger ones. For an
object that lies in one block, the block does that too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Partial, Partials, View, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Local, Reduction
from lepton_celery.catalogue.feature.spacing import points
from lepton_celery.catalogue.shared.halos import footprint_halo
from lepton_celery.catalogue.shared.values import Extent
from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid, Region

_FINAL, _PEAK, _ISOLATED = 0, 1, 2
"""What a row of a partial is: a peak of an object that lies in one block; or, of an object that blocks cut, a peak, or a
pixel that counts as a peak if every pixel of the object is one."""
_OPENING_HALO = 2
"""The halo of the binary opening by which scikit-image finds isolated pixels."""


@declare(Local("lepton.inner_labels", images=("labels",), dtype_kinds="biu", wants_where=True, cost_ns=1.0))
def inner_labels(labels: Array, border: Sequence[int], where: Where | None = None) -> Array:
    """The labels as integers, 0 on the pixels that are less than `border` pixels from the image's edge."""
    result = labels.astype(np.uint8) if labels.dtype == bool else labels.copy()
    if where is not None:
        for axis, (first, n, width) in enumerate(zip(where.region.start, where.shape, border, strict=True)):
            position = np.arange(first, first + labels.shape[axis])
            outside = np.flatnonzero((position < width) | (position >= n - width))
            result[(slice(None),) * axis + (outside,)] = 0
    return result


@dataclass(frozen=True)
class _Rule:
    """What makes a pixel a peak of its object."""

    threshold: Any
    footprint: Array
    border: Sequence[int]
    num_peaks_per_label: float
    min_distance: int
    p_norm: float

    @property
    def halo(self) -> tuple[int, ...]:
        """Pixels that the rule looks at around a pixel."""
        ndim = len(self.border)
        return tuple(max(h, _OPENING_HALO) for h in footprint_halo(self.footprint, ndim))

    def strongest(self, position: Array, value: Array, shape: Sequence[int]) -> Array:
        """The raster indices of the peaks that remain of an object's candidates, in scikit-image's order."""
        if position.size <= min(1, self.num_peaks_per_label):
            return position  # most objects have one candidate
        candidates = {"position": position, "value": value}
        kept = points(candidates, shape, self.num_peaks_per_label, self.min_distance, self.p_norm)
        remaining: Array = np.ravel_multi_index(tuple(kept.T), tuple(shape)).astype(np.int64)
        return remaining


@dataclass(frozen=True)
class _Part:
    """The pixels of one object in a block, with a halo."""

    label: int
    pixels: Array
    """The object's pixels; the dtype's least value elsewhere."""
    mask: Array
    """Whether each pixel belongs to the object."""
    inside: tuple[slice, ...]
    """The block's part, as an index into the arrays."""
    start: tuple[int, ...]
    """The position of the arrays' first pixel in the image."""
    is_whole: bool
    """Whether the object lies in this block."""
    box_px: int
    """Pixels of the object's bounding box."""

    def found(self, rule: _Rule) -> tuple[Array, Array, bool]:
        """The peaks, the pixels that are peaks if all of the object's are, and whether all of this part's are."""
        from scipy import ndimage

        above = self.mask & (self.pixels > rule.threshold)
        if rule.footprint.size == 1 or self.box_px == 1:  # scikit-image compares with the threshold only
            return above, above, False
        peaks = self.pixels == ndimage.maximum_filter(self.pixels, footprint=rule.footprint, mode="nearest")
        trivial = bool(peaks[self.inside][self.mask[self.inside]].all())
        isolated = self.mask ^ ndimage.binary_opening(self.mask) if trivial else self.mask
        return above & peaks, above & isolated, trivial

    def rows(self, rule: _Rule, shape: Sequence[int]) -> Iterator[tuple[int, Array, Array]]:
        """Kind, raster indices and values of the rows that this part leaves."""
        peaks, isolated, trivial = self.found(rule)
        if self.is_whole:
            position, value = self._at(isolated if trivial else peaks, shape)
            kept = rule.strongest(position, value, shape)
            yield _FINAL, kept, value[np.searchsorted(position, kept)]
            return
        yield (_PEAK, *self._at(peaks, shape))
        if trivial:
            yield (_ISOLATED, *self._at(isolated, shape))

    def _at(self, chosen: Array, shape: Sequence[int]) -> tuple[Array, Array]:
        """Raster indices and values of the chosen pixels of the block."""
        at = np.nonzero(chosen[self.inside])
        corner = [piece.start + first for piece, first in zip(self.inside, self.start, strict=True)]
        position = np.ravel_multi_index([a + first for a, first in zip(at, corner, strict=True)], tuple(shape))
        return position.astype(np.int64), self.pixels[self.inside][at]


def _parts(labels: View, image: View, objects: Mapping[str, Array], rule: _Rule, region: Region) -> Iterator[_Part]:
    """The part of each object in a block's region."""
    from scipy import ndimage

    shape = labels.shape
    inner = _without_border(shape, rule.border)
    core = _common(region, inner)
    if core is None:
        return
    read = _common(core.expand(rule.halo, shape), inner)
    assert read is not None
    names, pixels = labels.read(read), image.read(read)
    if pixels.dtype.kind == "f" and np.isnan(pixels).any():
        raise InputError("the image has NaN, for which peaks are undefined; fill it first, with numpy.nan_to_num")
    present, compact = np.unique(names[core.within(read)], return_inverse=True)
    numbers = np.where(present > 0, np.arange(present.size) + 1, 0)[compact.reshape(core.shape)]
    least = np.finfo(pixels.dtype).min if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype).min
    for name, local in zip(present, ndimage.find_objects(numbers, max_label=present.size), strict=True):
        if local is None:
            continue
        row = int(np.searchsorted(objects["label"], int(name)))
        box = Region(*(tuple(int(objects[f"{edge}{a}"][row]) for a in range(len(shape))) for edge in ("start", "stop")))
        own = Region(
            tuple(piece.start + first for piece, first in zip(local, core.start, strict=True)),
            tuple(piece.stop + first for piece, first in zip(local, core.start, strict=True)),
        )
        crop = _common(own.expand(rule.halo, shape), box)
        assert crop is not None
        mask = names[crop.within(read)] == name
        values = np.where(mask, pixels[crop.within(read)], least)
        yield _Part(int(name), values, mask, own.within(crop), crop.start, own == box, box.size)


def _without_border(shape: Sequence[int], border: Sequence[int]) -> Region:
    """The pixels that are at least `border` pixels from the image's edge; an empty region if there are none."""
    start = tuple(min(width, n) for n, width in zip(shape, border, strict=True))
    return Region(start, tuple(max(a, n - width) for a, n, width in zip(start, shape, border, strict=True)))


def _common(one: Region, other: Region) -> Region | None:
    """The pixels that two regions share; None if there are none."""
    start, stop = tuple(map(max, one.start, other.start)), tuple(map(min, one.stop, other.stop))
    return Region(start, stop) if all(a < b for a, b in zip(start, stop, strict=True)) else None


def _threshold(extent: Extent | None, threshold_abs: Any, threshold_rel: Any, dtype: Any) -> Any:
    """The threshold, not cast, so that NumPy chooses the dtype of the comparison, as in scikit-image.

    Raises:
        InputError: pixels outside the objects would be peaks too.
    """
    threshold = threshold_abs
    if extent is not None:
        low, high = extent
        threshold = low if threshold_abs is None else threshold_abs
        threshold = threshold if threshold_rel is None else max(threshold, threshold_rel * high)
    least = np.finfo(dtype).min if dtype.kind == "f" else np.iinfo(dtype).min
    if threshold < least:
        raise InputError(
            f"threshold {threshold} is below every {dtype} pixel, so that pixels outside the objects would be peaks too; "
            f"give a threshold of at least {least}"
        )
    return threshold


_RULE = ("footprint", "border", "num_peaks_per_label", "min_distance", "p_norm")


def merge_labelled_peaks(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Array:
    """The coordinates of all objects' peaks, object after object."""
    shape = grid.shape
    if not arguments["objects"]["label"].size:
        return np.empty((0, 2), dtype=int)  # for any number of axes, as from scikit-image
    of_blocks = [partial for _, partial in partials]
    label, position, value, kind, varied = (
        np.concatenate([partial[name] for partial in of_blocks])
        for name in ("label", "position", "value", "kind", "varied")
    )
    rule = _Rule(None, **{name: arguments[name] for name in _RULE})
    final = kind == _FINAL
    found = [(label[final], position[final])]
    cut = ~final
    order = np.lexsort((position[cut], label[cut]))
    of_label = label[cut][order]
    starts = np.flatnonzero(np.diff(of_label, prepend=-1))
    for rows in np.split(np.flatnonzero(cut)[order], starts[1:]) if starts.size else ():
        name = label[rows[0]]
        rows = rows[kind[rows] == (_PEAK if name in varied else _ISOLATED)]
        kept = rule.strongest(position[rows], value[rows], shape)
        found.append((np.full(kept.size, name), kept))
    names, kept = (np.concatenate(columns) for columns in zip(*found, strict=True))
    kept = kept[np.argsort(names, kind="stable")]
    if kept.size > arguments["num_peaks"]:
        kept = np.unique(kept)
        lookup = np.argsort(position, kind="stable")
        values = value[lookup][np.searchsorted(position[lookup], kept)]
        spaced = (arguments["num_peaks"], arguments["min_distance"], arguments["p_norm"])
        return points({"position": kept, "value": values}, shape, *spaced)
    return np.transpose(np.unravel_index(kept, shape)).astype(np.int64)


@declare(
    Reduction(
        "lepton.labelled_peaks",
        images=("labels", "image"),
        values=("objects", "extent", "threshold_abs"),
        merge=merge_labelled_peaks,
        result=lambda arguments: ((-1, len(arguments["labels"].shape)), np.dtype(np.int64)),
        reads_itself=True,
        cost_ns=60.0,
    )
)
def labelled_peaks_partial(
    labels: View,
    image: View,
    objects: Mapping[str, Array],
    extent: Extent | None,
    threshold_abs: Any,
    threshold_rel: Any,
    where: Where,
    **rule: Any,
) -> Partial:
    """The peaks of the objects in one block, and the labels of cut objects of which not every pixel here is a peak."""
    rule.pop("num_peaks")  # for the merge
    applied = _Rule(_threshold(extent, threshold_abs, threshold_rel, image.dtype), **rule)
    rows: list[tuple[int, int, Array, Array]] = []
    varied: list[int] = []
    for part in _parts(labels, image, objects, applied, where.region):
        of_part = list(part.rows(applied, labels.shape))
        rows += [(part.label, *row) for row in of_part]
        if not part.is_whole and len(of_part) == 1:
            varied.append(part.label)
    sizes = [position.size for _, _, position, _ in rows]
    return {
        "label": np.repeat(np.array([label for label, *_ in rows], np.int64), sizes),
        "kind": np.repeat(np.array([kind for _, kind, *_ in rows], np.int8), sizes),
        "position": np.concatenate([np.zeros(0, np.int64), *(position for _, _, position, _ in rows)]),
        "value": np.concatenate([np.zeros(0, image.dtype), *(value for *_, value in rows)]),
        "varied": np.array(varied, np.int64),
    }


def find_labelled_peaks(build: Build, arguments: Arguments, border: Sequence[int]) -> Lazy:
    """The node of the peaks of every object; `arguments` are those of `peak_local_max`."""
    image, labels, distance = arguments["image"], arguments["labels"], int(arguments["min_distance"])
    footprint = arguments["footprint"]
    width = [int(n) for n in border]
    thresholds = {name: arguments[name] for name in ("threshold_abs", "threshold_rel")}
    needs_extent = thresholds["threshold_abs"] is None or thresholds["threshold_rel"] is not None
    inner = build("lepton.inner_labels", labels=labels, border=width)
    return build(
        "lepton.labelled_peaks",
        labels=labels,
        image=image,
        objects=build("lepton.objects", label_image=inner, intensity_image=None, properties=("bbox",), connected=False),
        extent=build("lepton.extent", image=image) if needs_extent else None,
        **thresholds,
        footprint=np.ones((2 * distance + 1,) * image.ndim, bool) if footprint is None else np.asarray(footprint),
        border=width,
        min_distance=distance,
        **{name: arguments[name] for name in ("num_peaks", "num_peaks_per_label", "p_norm")},
    )
