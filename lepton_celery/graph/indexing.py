"""NumPy's basic indexing of a lazy image, in the form that the catalogue's `lepton.select` takes."""

from __future__ import annotations

from typing import Any

import numpy as np

from lepton_celery.errors import InputError


def normal_index(index: Any, shape: tuple[int, ...]) -> tuple[tuple[Any, ...], tuple[int, ...], tuple[int, ...]]:
    """An index as `lepton.select` takes it; of the result, the axes that are to run backwards and those that are new."""
    items = list(index) if isinstance(index, tuple) else [index]
    # by identity: arrays and nodes in an index answer == with more of their kind
    ellipses = [at for at, item in enumerate(items) if item is Ellipsis]
    missing = len(shape) - sum(item is not None and item is not Ellipsis for item in items)
    if len(ellipses) > 1 or missing < 0:
        raise InputError(f"index {index!r} has too many entries for an image of shape {shape}")
    at = ellipses[0] if ellipses else len(items)
    items[at : at + 1] = [slice(None)] * missing
    picked: list[Any] = []
    backwards, added, axis = [], [], 0
    for item in items:
        if item is None:
            added.append(axis)
        else:
            picked.append(_normal_item(item, shape[len(picked)], index, shape))
            if isinstance(picked[-1], int):
                continue
            if item.step is not None and item.step < 0:
                backwards.append(axis)
        axis += 1
    return tuple(picked), tuple(backwards), tuple(added)


def _normal_item(item: Any, n: int, index: Any, shape: tuple[int, ...]) -> Any:
    """A pixel's number, or (start, stop, step) with a step of at least 1."""
    if isinstance(item, int | np.integer) and not isinstance(item, bool):
        if not -n <= item < n:
            raise InputError(f"index {index!r} is outside an image of shape {shape}")
        return int(item) % n
    if not isinstance(item, slice) or item.step == 0:
        raise InputError(f"index {index!r}: give whole numbers and slices with steps other than 0, None or ...")
    places = range(*item.indices(n))
    if len(places) == 0:
        raise InputError(f"index {index!r} picks no pixel of an image of shape {shape}")
    places = places if places.step > 0 else places[::-1]
    return (places[0], places[-1] + 1, places.step)
