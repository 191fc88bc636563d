"""NumPy's basic indexing of lazy images and values, translated to operations of the catalogue."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lepton_celery.errors import ArgumentIndexError, InputError


def value_index(index: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """NumPy's basic index of a value as the argument of `lepton.pick_values`; a length of -1 is not known yet.

    Raises:
        ArgumentIndexError: the index is not a basic one, or is outside the value.
    """
    items = _per_axis(index, shape, "a value")
    normal: list[Any] = []
    lengths = iter(shape)
    for item in items:
        n = 0 if item is None else next(lengths)
        if item is None:
            normal.append(None)
        elif isinstance(item, slice) and item.step != 0:
            normal.append((item.start, item.stop, item.step))
        elif isinstance(item, int | np.integer) and not isinstance(item, bool):
            if n >= 0 and not -n <= item < n:
                raise ArgumentIndexError(f"index {index!r} is outside a value of shape {shape}")
            normal.append(int(item))
        else:
            raise ArgumentIndexError(f"index {index!r} of a lazy value: give whole numbers, slices, None or ...")
    return tuple(normal)


def _per_axis(index: Any, shape: tuple[int, ...], what: str) -> list[Any]:
    """The items of an index, with one for each axis in place of `...`."""
    items = list(index) if isinstance(index, tuple) else [index]
    # compared by identity, because == on an array or a node gives an array or a node
    ellipses = [number for number, item in enumerate(items) if item is Ellipsis]
    missing = len(shape) - sum(item is not None and item is not Ellipsis for item in items)
    if len(ellipses) > 1 or missing < 0:
        raise ArgumentIndexError(f"index {index!r} has too many entries for {what} of shape {shape}")
    gap = ellipses[0] if ellipses else len(items)
    items[gap : gap + 1] = [slice(None)] * missing
    return items


class NormalIndex(NamedTuple):
    """A basic index as the arguments of `lepton.select`, `numpy.flip` and `numpy.expand_dims`."""

    selected: tuple[Any, ...]
    """For each axis an integer, or (start, stop, step) with a positive step."""
    flipped: tuple[int, ...]
    """Axes of the result whose step is negative."""
    added: tuple[int, ...]
    """New axes of the result, of length 1."""


def normal_index(index: Any, shape: tuple[int, ...]) -> NormalIndex:
    """Translate NumPy's basic index of an image of `shape`.

    Raises:
        ArgumentIndexError: the index is not a basic one, or is outside the image.
        InputError: it picks no pixel.
    """
    items = _per_axis(index, shape, "an image")
    selected: list[Any] = []
    flipped, added, axis = [], [], 0
    for item in items:
        if item is None:
            added.append(axis)
        else:
            selected.append(_normal_item(item, shape[len(selected)], index, shape))
            if isinstance(selected[-1], int):
                continue
            if item.step is not None and item.step < 0:
                flipped.append(axis)
        axis += 1
    return NormalIndex(tuple(selected), tuple(flipped), tuple(added))


def _normal_item(item: Any, n: int, index: Any, shape: tuple[int, ...]) -> Any:
    """An item of `index`, for an axis of length `n`, as an integer or as (start, stop, step) with a positive step."""
    if isinstance(item, int | np.integer) and not isinstance(item, bool):
        if not -n <= item < n:
            raise ArgumentIndexError(f"index {index!r} is outside an image of shape {shape}")
        return int(item) % n
    if not isinstance(item, slice) or item.step == 0:
        raise ArgumentIndexError(
            f"index {index!r}: give whole numbers and slices (of a step other than 0), None or ..."
        )
    pixels = range(*item.indices(n))
    if len(pixels) == 0:
        raise InputError(f"index {index!r} picks no pixel of an image of shape {shape}")
    pixels = pixels if pixels.step > 0 else pixels[::-1]
    return (pixels[0], pixels[-1] + 1, pixels.step)
