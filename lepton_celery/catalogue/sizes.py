"""Parameters whose size costs time and memory while a graph is built: how large they may be, and stand-ins for asking.

A graph may come from anybody, and a web process that builds it must not compute for minutes or fill its memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments
from lepton_celery.errors import InputError

MOST = {"num_sigma": 256, "max_layer": 64, "bins": 1 << 22, "nbins": 1 << 22, "decimals": 1000}
"""The largest number that a parameter may be: it is a number of images in the graph, or of numbers in memory."""

MAX_PICKED_PX = 1 << 24
"""Largest length of an axis that is padded or repeated beyond four times its length: the positions of its pixels are in
memory."""

MAX_LINE_PX = 10**7
"""Largest number of pixels of a line's profile, whose positions are in memory."""

MAX_KERNEL_PX = 10**7
"""Largest number of pixels of a kernel that is made of parameters."""

_ONLY_TIME = frozenset(
    "sigma sigmas sigma_x sigma_y min_sigma max_sigma low_sigma high_sigma n_stds truncate radius size "
    "sigma_spatial win_size num_iter max_num_iter max_iter n_iter iterations niter smoothing patch_size "
    "patch_distance npad ksize window_size zoom".split()
)
"""Parameters that cost a function time, and on which the dtype of its result does not depend."""

_ASKED = 32
"""The largest number that such a parameter is when a function is asked for the dtype of its result."""


def check_most(name: str, arguments: Arguments) -> None:
    """Refuse numbers that are larger than `MOST`; `name` is the function's."""
    for parameter, most in MOST.items():
        given = arguments.get(parameter)
        if isinstance(given, int | float | np.integer | np.floating) and not -most <= given <= most:
            raise InputError(f"{name}: {parameter}={given!r}; give a number of at most {most:,}")


def for_asking(parameter: str, value: Any) -> Any:
    """A value with which the function is called on a few pixels, to learn the dtype of its result in little time."""
    if parameter not in _ONLY_TIME or isinstance(value, bool):
        return value
    if isinstance(value, tuple | list):
        return type(value)(for_asking(parameter, item) for item in value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "iuf":
        return np.minimum(value, _ASKED).astype(value.dtype)
    if not isinstance(value, int | float | np.integer | np.floating) or not value > _ASKED:
        return value
    return _ASKED + int(value) % 2 if isinstance(value, int | np.integer) else type(value)(_ASKED)  # odd sizes stay odd
