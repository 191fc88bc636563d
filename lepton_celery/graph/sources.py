"""What `lepton.open` takes beside paths: arrays, lists of numbers and Pillow's images."""

from __future__ import annotations

from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Array
from lepton_celery.errors import InputError

_PIXEL_MODES = ("1", "L", "LA", "RGB", "RGBA", "I;16", "I", "F")
"""Pillow's modes whose values are pixels; the others are palettes and colour spaces that scikit-image does not know."""

_IN_MEMORY = {
    "zarr": "open it by its path, lepton.open('a.zarr/NAME'), or take its pixels into memory with lepton.open(array[...])",
    "h5py": "take its pixels into memory with lepton.open(dataset[...]), or save it as .zarr, which is read in place",
    "dask": "take its pixels into memory with lepton.open(array.compute()), or save it with .to_zarr and open that",
}
"""The remedy for arrays of other libraries whose pixels are elsewhere, by the name of the library."""


def array_of(source: object) -> Array:
    """An array, a list or a Pillow image as a plain array, without a copy if it is one.

    Raises:
        InputError: it is something else, or something of it would be lost; the message says what to give.
    """
    if isinstance(source, np.ndarray):
        _check_subclass(source)
        return np.asarray(source)
    kind, library = type(source), type(source).__module__.partition(".")[0]
    named = f"{kind.__module__}.{kind.__qualname__}"
    if library == "PIL" and hasattr(source, "mode"):
        if source.mode not in _PIXEL_MODES:
            raise InputError(f"a Pillow image of mode {source.mode} does not hold pixels; give image.convert('RGB')")
        return np.asarray(source)
    if isinstance(source, list | tuple | range):
        return _array_of_list(source)
    if library in _IN_MEMORY:
        raise InputError(f"{named} is not read in place; {_IN_MEMORY[library]}")
    if isinstance(source, np.generic):
        raise InputError(f"{source!r} is a single number, which has no axes; give an array of pixels")
    if hasattr(source, "__array__"):
        raise InputError(f"{named} is not taken as it is; give its pixels as an array, such as np.asarray(image)")
    raise InputError(f"{source!r:.80} is no image; give a path, a NumPy array or a list of numbers")


def _check_subclass(array: np.ndarray[Any, Any]) -> None:
    """Refuse arrays of classes with something that a plain array does not have."""
    if np.ma.is_masked(array):
        raise InputError(
            "an array with masked pixels would lose its mask; fill the pixels with .filled(value), and give the mask "
            "as an argument where the function has one"
        )
    if isinstance(array, np.matrix):
        raise InputError("an np.matrix multiplies as matrices do, and images pixel by pixel; give np.asarray(matrix)")
    if (unit := getattr(array, "unit", getattr(array, "units", None))) is not None:
        raise InputError(f"an array in {unit} would lose its unit; give its plain values, such as array.value")


def _array_of_list(numbers: object) -> Array:
    try:
        return np.asarray(numbers)
    except ValueError as error:  # rows of different lengths
        raise InputError(f"the list {numbers!r:.80} is no image: {error}; give rows of equal length") from error
