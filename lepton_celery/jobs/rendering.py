"""How pixels are shown: a display range, 8 bits, distinct colours of labels, PNG."""

from __future__ import annotations

import base64
import colorsys
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lepton_celery.catalogue.arrays import Array

Look = Literal["grey", "colours", "labels"]
"""How an image is shown: each pixel's value in grey, as a colour, or as a label in a colour of its own."""

OUTSIDE_PERCENT = 0.1
"""Share of the pixels of a sample that are darker than the display range, and of those that are brighter."""

LABEL_COLOURS = 4093
"""Number of different colours of labels, a prime number: labels that differ by a round number differ in colour too."""

_EQUAL_NEIGHBOURS = 0.8
"""Share of neighbouring pixels of equal value from which on whole numbers may be labels."""
_LABEL_STEP = 2
"""Least median difference of neighbours of different values, in images of labels: brightness changes by single steps."""


@dataclass(frozen=True, slots=True)
class DisplayRange:
    """The values that are shown as black and as white; those between are shown in proportion."""

    black: float
    white: float


def display_range(sample: Array) -> DisplayRange:
    """The range in which an image is shown, from a sample of its pixels.

    Booleans are black and white. Of numbers, all but the darkest and the brightest pixels of the sample are in the range.
    """
    if sample.dtype == bool:
        return DisplayRange(0, 1)
    values = _real(sample)
    values = values[np.isfinite(values)]
    if not values.size:
        return DisplayRange(0, 1)
    black, white = np.percentile(values, [OUTSIDE_PERCENT, 100 - OUTSIDE_PERCENT])
    if black == white:  # nearly all pixels are equal
        black, white = values.min(), values.max()
    return DisplayRange(float(black), float(white) if white > black else float(black) + 1)


def are_labels(pairs: Array) -> bool:
    """Whether an image is one of labels, by a sample of neighbouring pixels, `(pixels, 2)`.

    Labels are whole numbers that are equal over areas and change by any step at their edges. Brightness has noise, or
    changes by single steps.
    """
    if pairs.dtype.kind not in "iu" or not pairs.size:
        return False
    left, right = (pairs[:, side].astype(np.float64) for side in (0, 1))
    is_object = (left != 0) | (right != 0)
    left, right = left[is_object], right[is_object]
    values = np.unique(left)
    if len(values) < (2 if pairs.dtype.itemsize >= 4 else 3):  # two values in a small dtype are a mask
        return False
    steps = np.abs(left - right)
    changes = steps[steps > 0]
    is_flat = changes.size <= (1 - _EQUAL_NEIGHBOURS) * steps.size
    return bool(is_flat and (not changes.size or np.median(changes) >= _LABEL_STEP))


def eight_bits(pixels: Array, look: Look, within: DisplayRange) -> NDArray[np.uint8]:
    """Pixels `(y, x)`, or `(y, x, 3 or 4)` of colours, as 8-bit grey, grey and opacity, or colours.

    What is no number is transparent. The fourth channel of colours is their opacity.
    """
    if look == "labels":
        colours = pixels.astype(np.uint64 if pixels.dtype.kind == "u" else np.int64) % LABEL_COLOURS
        return _label_colours()[np.where(pixels == 0, 0, 1 + colours.astype(np.int64))]
    if look == "colours" and pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    values = _real(pixels)
    step = 255 / (within.white - within.black)
    with np.errstate(invalid="ignore", over="ignore"):
        shown = np.clip((values - within.black) * step, 0, 255)
    known = ~np.isnan(shown)
    if known.all():
        return _rounded(shown)
    grey = _rounded(np.where(known, shown, 0))
    if look == "grey":
        return np.stack([grey, 255 * known.astype(np.uint8)], axis=-1)
    opaque = 255 * known.all(axis=-1, keepdims=True).astype(np.uint8)
    return np.concatenate([grey[..., :3], opaque], axis=-1)


def png(pixels: NDArray[np.uint8], *, quick: bool = False) -> bytes:
    """A PNG file of 8-bit grey, grey and opacity, or colours; a quick one is larger."""
    from PIL import Image as Pillow

    file = BytesIO()
    Pillow.fromarray(pixels).save(file, "PNG", compress_level=1 if quick else 6)
    return file.getvalue()


def png_url(pixels: NDArray[np.uint8]) -> str:
    """A PNG file as the address of an embedded picture."""
    return f"data:image/png;base64,{base64.b64encode(png(pixels)).decode()}"


def spread_hue(index: int) -> float:
    """The hue of one of many things, from 0 to 1: neighbours differ by the golden ratio."""
    return (0.58 + index * 0.618034) % 1


def _rounded(values: NDArray[Any]) -> NDArray[np.uint8]:
    return (values + 0.5).astype(np.uint8)


def _real(pixels: Array) -> NDArray[Any]:
    """The values as real floats that can be computed with; of complex numbers, the magnitude."""
    if pixels.dtype.kind == "c":
        return np.abs(pixels).astype(np.float64)
    return pixels.astype(np.float32 if pixels.dtype.itemsize < 4 else np.float64)


@cache
def _label_colours() -> NDArray[np.uint8]:
    """The colours of labels: black for the background, then one for each label, which begin anew after the last."""
    colours = [(0.0, 0.0, 0.0)]
    for label in range(LABEL_COLOURS):
        colours.append(colorsys.hls_to_rgb(spread_hue(label), (0.5, 0.62, 0.42)[label % 3], 0.7))
    return np.round(255 * np.array(colours)).astype(np.uint8)
