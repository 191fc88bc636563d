"""What a case is: a function, its arguments, and the images to compare it on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Array
from tests.oracle import picture

FLAT = (23, 31)
SOLID = (11, 13, 12)
BLOCKS: Mapping[int, Sequence[tuple[int, ...]]] = {
    1: [(7,), (100,)],
    # smaller than most halos, prime and ragged, thin, larger than the image
    2: [(5, 7), (11, 13), (2, 31), (64, 64)],
    3: [(4, 5, 3), (11, 7, 12)],
    4: [(4, 5, 3, 6)],
}
EVERY = ("bool", "uint8", "uint16", "int16", "int32", "float32", "float64")
NUMBERS = EVERY[1:]
COMMON = ("uint8", "uint16", "float32", "float64")
FLOATS = ("float32", "float64")


@dataclass(frozen=True)
class Case:
    """A call to check over dtypes and shapes."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    dtypes: Sequence[str] = COMMON
    shape: tuple[int, ...] = FLAT
    more: Sequence[Callable[[Array], Any]] = ()
    """Further positional arguments, from the image."""
    given: Mapping[str, Callable[[Array], Any]] = field(default_factory=dict)
    """Further arguments by name, from the image: masks, second images."""
    blocks: Sequence[tuple[int, ...]] = ()
    make: Callable[[tuple[int, ...], Any], Array] = picture

    def __str__(self) -> str:
        named = {name: getattr(value, "__name__", value) for name, value in self.options.items()}
        options = ",".join(f"{k}={v}".partition("\n")[0][:28] for k, v in named.items())
        return f"{self.name}({options})-{len(self.shape)}d"


def labelled(image: Array) -> Array:
    """Labels for an image, with a background and gaps."""
    return (picture(image.shape[:2], "uint8", seed=5) // 64 * 3).astype(np.int32)


def shifted(image: Array) -> Array:
    return picture(image.shape, image.dtype, seed=9)


def positive(shape: tuple[int, ...], dtype: Any) -> Array:
    image = picture(shape, dtype)
    return np.where(image == 0, np.array(1, image.dtype), image)


def signed(shape: tuple[int, ...], dtype: Any) -> Array:
    image = picture(shape, dtype)
    return image if image.dtype.kind in "bu" else (picture(shape, dtype, seed=3) - image).astype(dtype)


def number(value: Any) -> Callable[[Array], Any]:
    return lambda image: value
