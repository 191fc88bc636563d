"""The objects of a label image by their bounding boxes: each box is measured by the block in which it begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lepton_celery.catalogue.arrays import Array, View
from lepton_celery.errors import InputError
from lepton_celery.grid import Region

MAX_BOX_PX = 1 << 26
"""Pixels of the largest bounding box of an object in several blocks. One worker measures it, in 10 to 80 bytes per pixel."""


@dataclass(frozen=True)
class ObjectBoxes:
    """The objects whose bounding box begins in a region."""

    row: Array
    """Their rows among all objects."""
    labels: Array
    starts: Array
    """The first pixel of each box, an axis per row."""
    stops: Array
    """One past the last pixel of each box, an axis per row."""
    region: Region

    @classmethod
    def begin_in(cls, region: Region, objects: Mapping[str, Array]) -> ObjectBoxes:
        """The objects that begin in `region`; `objects` has the label and the bounding box of every object."""
        boxes = np.stack([[objects[f"{edge}{axis}"] for axis in range(region.ndim)] for edge in ("start", "stop")])
        block = _edges(region)
        row = np.flatnonzero(((boxes[0] >= block[0]) & (boxes[0] < block[1])).all(axis=0))
        return cls(row, objects["label"][row], boxes[0][:, row], boxes[1][:, row], region)

    @property
    def sizes(self) -> Array:
        """Pixels of each box."""
        size: Array = (self.stops - self.starts).prod(axis=0)
        return size

    @property
    def cut(self) -> Array:
        """Which boxes reach beyond the region."""
        beyond: Array = (self.stops > _edges(self.region)[1]).any(axis=0)
        return beyond

    def box(self, number: int) -> Region:
        """The box of one of the objects."""
        return Region(tuple(self.starts[:, number].tolist()), tuple(self.stops[:, number].tolist()))

    def refuse_huge(self, remedy: str) -> None:
        """Refuse an object that lies in several blocks and whose box is too large to be measured at once."""
        sizes = self.sizes
        for index in np.flatnonzero(self.cut & (sizes > MAX_BOX_PX)):
            raise InputError(
                f"object {self.labels[index]} has a bounding box of {sizes[index]:,} pixels, over the limit of "
                f"{MAX_BOX_PX:,} for one worker; {remedy}"
            )

    @property
    def near_region(self) -> Region:
        """The region around all boxes that end at most half a block beyond the block; it may be empty."""
        block = _edges(self.region)
        near = (self.stops <= block[1] + (block[1] - block[0]) // 2).all(axis=0)
        start = self.starts[:, near].min(axis=1) if near.any() else block[0, :, 0]
        stop = self.stops[:, near].max(axis=1) if near.any() else start
        return Region(tuple(start.tolist()), tuple(stop.tolist()))


def _edges(region: Region) -> Array:
    return np.array([region.start, region.stop])[:, :, None]


class Boxed:
    """A stored image that is indexed like an array. Boxes inside the region `near` are cut from one read of that region."""

    def __init__(self, view: View, near: Region) -> None:
        self.shape = tuple(view.shape)
        self.ndim = len(self.shape)
        self._view = view
        self._near = self._with_channels(near.start, near.stop)

    def __getitem__(self, box: tuple[slice, ...]) -> Array:
        region = self._with_channels([edge.start for edge in box], [edge.stop for edge in box])
        if self._near.contains(region):
            return self._pixels[region.within(self._near)]
        return self._view.read(region)

    def _with_channels(self, start: Sequence[int], stop: Sequence[int]) -> Region:
        channels = self.shape[len(start) :]
        return Region((*start, *(0 for _ in channels)), (*stop, *channels))

    @cached_property
    def _pixels(self) -> Array:
        return self._view.read(self._near)
