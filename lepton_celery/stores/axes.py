"""The axes of an image: their names and pixel sizes, as OME names them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

CENTIMETERS = {
    "angstrom": 1e-8,
    "nanometer": 1e-7,
    "micrometer": 1e-4,
    "millimeter": 1e-1,
    "centimeter": 1.0,
    "inch": 2.54,
    "meter": 100.0,
}
"""The units of length, with their lengths. The names are those of OME-NGFF."""

SYMBOLS = {
    "angstrom": "Å",
    "nanometer": "nm",
    "micrometer": "µm",
    "millimeter": "mm",
    "centimeter": "cm",
    "inch": "in",
    "meter": "m",
}
"""The symbols of the units in OME-XML."""

_ALIASES = {
    **{symbol: name for name, symbol in SYMBOLS.items()},
    **dict.fromkeys(("um", "μm", "\\u00B5m", "micron", "microns", "micrometre", "micrometers"), "micrometer"),
    **{name.replace("meter", "metre"): name for name in CENTIMETERS},
}


@dataclass(frozen=True)
class Axis:
    """An axis of an image."""

    name: str = ""
    """`t`, `z`, `y`, `x`, or `c` for channels and colours; empty if it is not known."""
    size: float = 0.0
    """The size of a pixel along the axis, or the distance of two slices, in `unit`; 0 if it is not known."""
    unit: str = ""
    """A unit of length, as OME-NGFF names it; empty if it is not known."""

    def every(self, step: int) -> Axis:
        """The axis of every `step`-th pixel."""
        return replace(self, size=self.size * step)


Axes = tuple[Axis, ...]
"""The axes of an image in their order; empty if nothing is known about them."""


def axis(name: Any, size: Any = 0.0, unit: Any = "") -> Axis:
    """The axis that a file describes; a size without a known unit of length, or of no positive number, is not known."""
    short = str(name or "").lower()
    short = {"s": "c"}.get(short, short) if short in "tczyxs" else ""
    known = _ALIASES.get(str(unit), str(unit))
    try:
        length = float(size)
    except (TypeError, ValueError):
        length = 0.0
    if known not in CENTIMETERS or not math.isfinite(length) or length <= 0:
        return Axis(short)
    return Axis(short, length, known)


def worth_keeping(axes: Iterable[Axis], ndim: int) -> Axes:
    """Axes of which something is known, if there is one for each of `ndim` axes of the image; else none."""
    found = tuple(axes)
    names = [item.name for item in found if item.name]
    is_useful = any(item != Axis() for item in found) and len(set(names)) == len(names)
    return found if is_useful and len(found) == ndim else ()
