"""What the functions of the catalogue are given: arrays, arguments by name, stored images, and where they are at work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lepton_celery.grid import BlockGrid, BlockIndex, Region

Array = NDArray[Any]
Arguments = Mapping[str, Any]
"""Arguments by parameter name: images and values with their shape and dtype, the rest as plain Python values."""
Partial = dict[str, Array]
"""What one block contributes to a whole-image value: named arrays."""
Partials = Iterable[tuple[BlockIndex, Partial]]
"""Blocks and their partials, in index order."""


@dataclass(frozen=True)
class Where:
    """Where in the whole image a function is at work."""

    region: Region
    """The part of the first image that the function gets. A function that reads images itself gets the part it must make."""
    shape: tuple[int, ...]
    """Shape of the whole first image."""
    grid: BlockGrid | None = None
    """The blocks in which the first image was labelled or stored; None if it was neither."""
    result: Region | None = None
    """The part of the result that is wanted. It differs from `region` where a result is not the shape of its image."""


class View(Protocol):
    """A stored image that a function reads itself, any region at a time."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def read(self, region: Region) -> Array:
        """The pixels of a region, C-contiguous."""
