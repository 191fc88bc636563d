"""What the functions of the catalogue are given: arrays, arguments by name, stored images, and where they are at work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lepton_celery.grid import BlockGrid, BlockIndex, Region

Array = NDArray[Any]
DType = np.dtype[Any]
Shape = tuple[int, ...]
Shapes = Sequence[Shape]
"""The shapes of a function's images, in the order of its parameters."""
Arguments = Mapping[str, Any]
"""Arguments by parameter name: images and values with their shape and dtype, the rest as plain Python values."""
Partial = dict[str, Array]
"""What one block contributes to a whole-image value: named arrays."""
Partials = Iterable[tuple[BlockIndex, Partial]]
"""Blocks and their partials, in index order."""


class Lazy(Protocol):
    """An image, a whole-image value or a table that a plan will compute; composites are expanded in terms of these."""

    @property
    def gives(self) -> str:
        """`image`, `value` or `table`."""

    @property
    def shape(self) -> Shape: ...

    @property
    def ndim(self) -> int: ...

    @property
    def dtype(self) -> DType: ...


@dataclass(frozen=True)
class Where:
    """Where in the whole image a function is at work."""

    region: Region
    """The part of the first image that the function gets. A function that reads images itself gets the part it must make."""
    shape: Shape
    """Shape of the whole first image."""
    grid: BlockGrid | None = None
    """The blocks in which the first image was labelled or stored; None if it was neither."""
    result: Region | None = None
    """The part of the result that is wanted. It differs from `region` where a result is not the shape of its image."""


class View(Protocol):
    """A stored image that a function reads itself, any region at a time."""

    @property
    def shape(self) -> Shape: ...

    @property
    def dtype(self) -> DType: ...

    def read(self, region: Region) -> Array:
        """The pixels of a region, C-contiguous."""


@dataclass(frozen=True, eq=False)
class MergedLabels:
    """The merged value of a labelling, with the partials it was merged from. Functions of the labels get it as a value."""

    value: Mapping[str, Array]
    grids: tuple[BlockGrid, ...]
    """The grid of blocks; then, level by level, the grids of the groups whose partials were combined."""
    partial: Callable[[int, BlockIndex], Partial]
    """(level, block or group of blocks) -> its partial."""


def float_dtype(dtype: DType) -> DType:
    """The dtype in which NumPy and scikit-image compute with such pixels: floats keep theirs, the rest becomes float64."""
    return dtype if dtype.kind == "f" else np.dtype(np.float64)
