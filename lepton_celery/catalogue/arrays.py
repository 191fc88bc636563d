"""Types of the arguments and results of catalogue functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lepton_celery.grid import BlockGrid, BlockIndex, Region

Array = NDArray[Any]
DType = np.dtype[Any]
Shape = tuple[int, ...]
Shapes = Sequence[Shape]
"""The shapes of a function's images, in the order of its parameters."""
Arguments = Mapping[str, Any]
"""Arguments by parameter name: images and whole-image values as objects with a shape and a dtype, others as given."""
Partial = dict[str, Array]
"""What one block contributes to a whole-image value, as named arrays."""
Partials = Iterable[tuple[BlockIndex, Partial]]
"""Blocks and their partials, in the order of block indices."""


class Layout(NamedTuple):
    """How NumPy's array of an image lies in memory."""

    order: tuple[int, ...]
    """The axes, the slowest first."""
    contiguous: bool
    """Whether the pixels follow each other without gaps."""


class Lazy(Protocol):
    """A node of the graph: an image, a whole-image value or a table that has not been computed yet."""

    @property
    def gives(self) -> str:
        """`image`, `value` or `table`."""

    @property
    def shape(self) -> Shape: ...

    @property
    def ndim(self) -> int: ...

    @property
    def dtype(self) -> DType: ...

    @property
    def weak(self) -> bool:
        """Whether it is a Python number, which adopts the dtype of the pixels that it meets."""

    @property
    def layout(self) -> Layout | None:
        """How NumPy's array of it would lie in memory; None if that is not known."""


@dataclass(frozen=True)
class Where:
    """The position of a function's pixels in the whole image."""

    region: Region
    """The region of the first image that the function gets; with `reads_itself`, the region of the result to compute."""
    shape: Shape
    """Shape of the whole first image."""
    grid: BlockGrid | None = None
    """The blocks in which the first image was labelled or stored; None if it was neither."""
    result: Region | None = None
    """The region of the result to compute; set for a `Local` with `wants_where`."""
    shared: Callable[[Callable[[], Partial]], Partial] | None = None
    """Gives the arrays that a function of no arguments computes, which one process computes for the blocks of all; set for
    functions that read themselves."""


class View(Protocol):
    """A stored image from which a function can read any region."""

    @property
    def shape(self) -> Shape: ...

    @property
    def dtype(self) -> DType: ...

    def read(self, region: Region) -> Array:
        """The pixels of a region, C-contiguous."""


@dataclass(frozen=True, eq=False)
class MergedLabels:
    """The merged value of a labelling and the partials it was merged from, passed to functions of the labels."""

    value: Mapping[str, Array]
    grids: tuple[BlockGrid, ...]
    """The grid of blocks, followed by the grid of block groups of each level at which partials were combined."""
    partial: Callable[[int, BlockIndex], Partial]
    """(level, index of a block or block group in `grids[level]`) -> its partial."""


def float_dtype(dtype: DType) -> DType:
    """`dtype` if it is a float dtype, else float64, as NumPy and scikit-image compute."""
    return dtype if dtype.kind == "f" else np.dtype(np.float64)
