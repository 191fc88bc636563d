"""The order of an image's axes in the memory of NumPy's array, on which NumPy's sums of floats depend.

Nothing here is stored in another order: lepton only finds out in which order NumPy would add up the pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Layout
from lepton_celery.catalogue.entries import Entry, lazy_images

_MAKES_C_ORDER = ("numpy.round",)
"""Elementwise functions whose result NumPy allocates in C order, whatever the order of the image."""


def layout_of_array(array: Array) -> Layout:
    """The layout of an array of this process."""
    order = tuple(sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis])))
    return Layout(order, array.transpose(order).flags.c_contiguous)


def in_c_order(ndim: int) -> Layout:
    """The layout of most results."""
    return Layout(tuple(range(ndim)), True)


def layout_of(entry: Entry, arguments: Arguments, ndim: int) -> Layout | None:
    """The layout of a function's result; None if it is not known."""
    images = list(lazy_images(entry, arguments).values())
    layouts = [image.layout for image in images]
    if any(layout is None for layout in layouts):
        return None
    if entry.name == "lepton.turn":
        return _turned(layouts[0], arguments)
    if entry.name == "lepton.select":
        return _selected(layouts[0], arguments["index"], images[0].shape)
    if entry.name == "lepton.reshape" and layouts[0] != in_c_order(images[0].ndim):
        return None  # a copy or, where axes are only divided, a view
    if all(layout.order == tuple(range(len(layout.order))) for layout in layouts):
        return in_c_order(ndim)
    orders = {layout.order for image, layout in zip(images, layouts, strict=True) if image.ndim == ndim}
    keeps_order = entry.broadcasts and entry.name not in _MAKES_C_ORDER
    same = len(orders) == 1 and all(image.ndim == ndim for image in images)
    return Layout(orders.pop(), True) if keeps_order and same else None


def _turned(layout: Layout, arguments: Arguments) -> Layout:
    """The layout of a view with permuted and flipped axes."""
    of_image = {axis: number for number, axis in enumerate(arguments["axes"]) if axis is not None}
    added = [number for number, axis in enumerate(arguments["axes"]) if axis is None]
    order = (*added, *(of_image[axis] for axis in layout.order if axis in of_image))
    return Layout(order, layout.contiguous and not arguments["flips"])


def _selected(layout: Layout, index: Any, shape: tuple[int, ...]) -> Layout:
    """The layout of a view of some of the pixels: contiguous if only the slowest axes are cut."""
    remaining = [axis for axis, item in enumerate(index) if not isinstance(item, int)]
    order = tuple(remaining.index(axis) for axis in layout.order if axis in remaining)
    dummy = np.lib.stride_tricks.as_strided(np.empty(0, np.uint8), _laid_out(layout, shape), _strides(layout, shape))
    items = [index[axis] for axis in layout.order]
    view = dummy[tuple(item if isinstance(item, int) else slice(*item) for item in items)]
    return Layout(order, layout.contiguous and view.flags.c_contiguous)


def _laid_out(layout: Layout, shape: tuple[int, ...]) -> list[int]:
    return [shape[axis] for axis in layout.order]


def _strides(layout: Layout, shape: tuple[int, ...]) -> list[int]:
    """Pixels between neighbours along each axis in the layout's order."""
    lengths = _laid_out(layout, shape)
    return [int(np.prod(lengths[number + 1 :], dtype=np.int64)) for number in range(len(lengths))]
