"""Which axes of an image are its rows and columns, its channels and its planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lepton_celery.stores.axes import Axis

_MOST_CHANNELS = 4
"""Largest length of a last axis that is taken for channels if the file does not name its axes."""


@dataclass(frozen=True, slots=True)
class ImageAxes:
    """The roles of an image's axes, by their numbers."""

    rows: int | None
    """None for an image of one axis, or of none."""
    columns: int | None
    channels: int | None
    planes: tuple[int, ...]
    """The other axes: one plane of each is shown at a time."""
    names: tuple[str, ...]
    """The name of each axis; empty if it has none."""

    def size(self, shape: Sequence[int]) -> tuple[int, int]:
        """Height and width of an image of this shape."""
        height, width = (1 if axis is None else shape[axis] for axis in (self.rows, self.columns))
        return height, width

    def has_colours(self, shape: Sequence[int]) -> bool:
        """Whether the channels are colours: three, or four with opacity, along the last axis."""
        return self.channels == len(shape) - 1 and shape[self.channels] in (3, 4)


def axes_of(shape: Sequence[int], axes: Sequence[Axis] = ()) -> ImageAxes:
    """The roles of the axes of an image, by their names if it has some.

    Without names, a short last axis of an image of three or more has its channels, and the last two others are rows and
    columns.
    """
    names = tuple(axis.name for axis in axes) if len(axes) == len(shape) else ("",) * len(shape)
    channels = _named("c", names)
    if channels is None and not any(names) and len(shape) > 2 and shape[-1] <= _MOST_CHANNELS:
        channels = len(shape) - 1
    rest = [axis for axis in range(len(shape)) if axis != channels]
    columns = _named("x", names)
    if columns is None:
        columns = next((axis for axis in reversed(rest) if names[axis] != "y"), None)
    rest = [axis for axis in rest if axis != columns]
    rows = _named("y", names)
    if rows is None and rest:
        rows = rest[-1]
    return ImageAxes(rows, columns, channels, tuple(axis for axis in rest if axis != rows), names)


def _named(name: str, names: Sequence[str]) -> int | None:
    return names.index(name) if name in names else None
