"""Footprints and transforms that a step may make by name, such as `disk(3)` or `AffineTransform(scale=2)`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pkgutil import resolve_name
from typing import Any

from lepton_celery.errors import InputError

_FOOTPRINTS = ("ball", "diamond", "disk", "ellipse", "footprint_rectangle", "octagon", "octahedron", "star")
_TRANSFORMS = ("AffineTransform", "EuclideanTransform", "ProjectiveTransform", "SimilarityTransform")
_SOLID = ("ball", "octahedron")
"""Footprints of three axes, whatever their arguments."""

SHAPES = {
    **{name: f"skimage.morphology:{name}" for name in _FOOTPRINTS},
    **{name: f"skimage.transform:{name}" for name in _TRANSFORMS},
    "array": "numpy:array",
    "ones": "numpy:ones",
}
"""Each name that may be called, with the function or class that it calls."""

_MAX_PIXELS = 10**7
"""Largest number of pixels of a footprint, so that a mistyped radius does not fill the memory."""


def make(name: str, positional: Sequence[Any], keyword: Mapping[str, Any]) -> Any:
    """A footprint, a transform or an array.

    Raises:
        InputError: the name is not one of `SHAPES`, or its arguments are refused.
    """
    if name not in SHAPES:
        close = get_close_matches(name, SHAPES, n=1)
        hint = f"did you mean {close[0]}?" if close else f"give one of {', '.join(SHAPES)}"
        raise InputError(f"{name}(…) cannot be called in a step; {hint}")
    given = ", ".join([*map(repr, positional), *(f"{key}={value!r}" for key, value in keyword.items())])
    if name not in _TRANSFORMS and _pixels(name, [*positional, *keyword.values()]) > _MAX_PIXELS:
        raise InputError(f"{name}({given}) has more than {_MAX_PIXELS:,} pixels; give smaller lengths")
    try:
        return resolve_name(SHAPES[name])(*positional, **keyword)
    except Exception as error:  # scikit-image and NumPy refuse arguments with any exception
        raise InputError(f"{name}({given}) is refused: {error}") from error


def _pixels(name: str, values: Sequence[Any]) -> float:
    """An upper bound of the pixels of a footprint with these arguments; of an array, its own values."""
    lengths = [abs(number) for number in _numbers(values)]
    if name == "array":
        return len(lengths)
    if name in ("ones", "footprint_rectangle"):
        return math.prod(lengths)
    return (2.0 * sum(lengths) + 1) ** (3 if name in _SOLID else 2)


def _numbers(values: Any) -> Iterator[float]:
    for value in values:
        if isinstance(value, tuple | list):
            yield from _numbers(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield float(value)
