"""A case: a function, its arguments, and the images on which blocks are compared with the whole image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Array
from lepton_celery.proving import samples
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
    """A call that the prover does not try: with other arguments than the entry's example, or on harder images."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    dtypes: Sequence[str] = COMMON
    shape: tuple[int, ...] = FLAT
    more: Sequence[Callable[[Array], Any]] = ()
    """Further positional arguments, made from the image."""
    given: Mapping[str, Callable[[Array], Any]] = field(default_factory=dict)
    """Further arguments by name, made from the image: masks, second images."""
    blocks: Sequence[tuple[int, ...]] = ()
    """Shapes of blocks; empty for those of `BLOCKS`."""
    make: Callable[[tuple[int, ...], Any], Array] = picture

    def __str__(self) -> str:
        named = {name: getattr(value, "__name__", value) for name, value in self.options.items()}
        options = ",".join(f"{k}={v}".partition("\n")[0][:28] for k, v in named.items())
        return f"{self.name}({options})-{len(self.shape)}d"


def labelled(image: Array) -> Array:
    """Labels for an image: objects in patches on a background, with gaps in their numbers."""
    return samples.sample_for("labels", "plateaus", image.shape[:2], np.dtype(np.int32), seed=5)


def mask(image: Array) -> Array:
    """True on about half of the pixels of an image."""
    return picture(image.shape, "bool", seed=7)


def shifted(image: Array) -> Array:
    """Another image of the same shape and dtype."""
    return picture(image.shape, image.dtype, seed=9)


def signed(shape: tuple[int, ...], dtype: Any) -> Array:
    """Pixels of both signs, if the dtype has them."""
    return samples.sample("signed" if np.dtype(dtype).kind in "if" else "noise", shape, np.dtype(dtype))


def number(value: Any) -> Callable[[Array], Any]:
    """An argument that does not depend on the image."""
    return lambda image: value


def in_range(values: Array, dtype: Any) -> Array:
    """Numbers from 0 to 1 as pixels over the non-negative range of the dtype."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return values > 0.5
    if dtype.kind == "f":
        return values.astype(dtype)
    return (values * float(np.iinfo(dtype).max) * 0.999).astype(dtype)
