"""Compiled kernels of SciPy's filters: the arguments that each covers, and its trials."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array
from lepton_celery.kernels import Kernel, trials
from lepton_celery.kernels.border import MODES, is_plain


def _covers_median(arguments: Arguments) -> bool:
    """Windows of 3 × 3 pixels, for images of 8 or 16 bits."""
    image, footprint, mode = arguments["input"], arguments["footprint"], arguments["mode"]
    if not is_plain(image) or image.dtype.name not in ("uint8", "uint16", "int16") or image.ndim != 2:
        return False
    if footprint is None:
        window = np.shape(arguments["size"]) in ((), (2,)) and bool(np.all(np.equal(arguments["size"], 3)))
    else:
        window = np.shape(footprint) == (3, 3) and bool(np.all(footprint))
    info, cval = np.iinfo(image.dtype), float(arguments["cval"])
    inside = mode != "constant" or (cval.is_integer() and info.min <= cval <= info.max)
    return window and isinstance(mode, str) and mode in MODES and inside and not np.any(arguments["origin"])


def _median_trials() -> Iterator[dict[str, Any]]:
    for image in trials.integers("uint8", "uint16", "int16"):
        if image.ndim == 2:
            for mode in MODES:
                yield _trial(image, mode, size=3, footprint=None, cval=7)


def _covers_gaussian(arguments: Arguments) -> bool:
    """Float images, order 0, and a radius computed from sigma."""
    image, mode = arguments["input"], arguments["mode"]
    plain = is_plain(image) and image.dtype.kind == "f" and isinstance(mode, str) and mode in MODES
    positive = bool(np.all(np.asarray(arguments["sigma"]) >= 0))
    return plain and positive and not np.any(arguments["order"]) and arguments["radius"] is None


def _gaussian_trials() -> Iterator[dict[str, Any]]:
    modes = cycle(MODES)
    for image in trials.floats():
        yield _trial(image, next(modes), sigma=1.7, order=0, cval=0.3, truncate=3.0, radius=None)


def _trial(image: Array, mode: str, **arguments: Any) -> dict[str, Any]:
    rest = {"origin": 0} if "size" in arguments else {}
    return {"input": image, "mode": mode, "output": None, "axes": None, **rest, **arguments}


def _on_all_axes(covers: Callable[[Arguments], bool]) -> Callable[[Arguments], bool]:
    """The predicate `covers`, restricted to filters along all axes whose result has the image's dtype."""
    return lambda arguments: arguments["output"] is None and arguments["axes"] is None and covers(arguments)


KERNELS = {
    "median_filter": Kernel("lepton_celery.kernels.median.median_filter", _on_all_axes(_covers_median), _median_trials),
    "gaussian_filter": Kernel(
        "lepton_celery.kernels.gaussian.gaussian_filter", _on_all_axes(_covers_gaussian), _gaussian_trials
    ),
}
"""The filters that have a compiled kernel."""
