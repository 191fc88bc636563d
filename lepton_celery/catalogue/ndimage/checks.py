"""Checks of arguments: options that are not supported here, and options with which SciPy itself fails."""

from __future__ import annotations

from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments
from lepton_celery.catalogue.shared.halos import check_mode
from lepton_celery.errors import InputError


def check_filter(arguments: Arguments) -> None:
    """Refuse options that no filter supports here."""
    check_output_dtype(arguments.get("output"))
    check_mode(arguments)
    if np.iscomplexobj(arguments.get("weights", 0)) or np.iscomplexobj(arguments.get("cval", 0)):
        raise InputError("complex weights are not supported here; filter with their real and imaginary parts in turn")
    footprint, structure = arguments.get("footprint"), arguments.get("structure")
    if footprint is not None and structure is not None and np.shape(footprint) != np.shape(structure):
        raise InputError(
            f"footprint of shape {np.shape(footprint)} and structure of shape {np.shape(structure)} do not match; "
            "give both the same shape"
        )


def check_size(arguments: Arguments) -> None:
    """Refuse what `check_filter` refuses, and a window without pixels."""
    check_filter(arguments)
    if np.min(arguments["size"]) < 1:
        raise InputError(f"size={arguments['size']} is too small; give at least 1")


def check_output_dtype(output: Any) -> None:
    """Refuse an `output` other than a dtype of integers or floats."""
    if output is None:
        return
    if isinstance(output, np.ndarray) or np.dtype(output).kind not in "iuf":
        raise InputError(
            f"output is {type(output).__name__} {output!r}; give a dtype of integers or floats, the result is returned"
        )


def check_origin(arguments: Arguments, structure: str = "structure", origin: str = "origin") -> None:
    """Refuse an origin outside the structuring element, with which SciPy reads memory that is not its own and can crash."""
    given, shift = arguments[structure], arguments[origin]
    ndim = len(arguments["input"].shape)
    lengths = (3,) * ndim if given is None else np.shape(given)
    if shift is None:
        return
    for length, moved in zip(lengths, np.broadcast_to(shift, (len(lengths),)).tolist(), strict=True):
        if not 0 <= length // 2 + moved < length:
            raise InputError(
                f"{origin}={shift!r} is outside a {structure} of shape {tuple(lengths)}; "
                "give a shift of at most half the length of each axis"
            )


MAX_STRUCTURE_PX = 1 << 14
"""Largest number of pixels of the structure of binary morphology, for which SciPy takes up to 2 GB."""


def check_hit_or_miss(arguments: Arguments) -> None:
    """Refuse an `output`, and origins outside the structuring elements."""
    no_output(arguments)
    _check_size(arguments, "structure1", "structure2")
    check_origin(arguments, "structure1", "origin1")
    check_origin(arguments, "structure1" if arguments["structure2"] is None else "structure2", "origin2")


def check_binary(arguments: Arguments) -> None:
    """Refuse an `output`, origins outside the structure, and iterations that go on until nothing changes."""
    no_output(arguments)
    _check_size(arguments, "structure")
    check_origin(arguments)
    if arguments.get("iterations", 1) < 1:
        raise InputError(
            f"iterations={arguments['iterations']} goes on until nothing changes anywhere in the image; "
            "give a number of iterations of at least 1, or use morphology.reconstruction"
        )


def _check_size(arguments: Arguments, *structures: str) -> None:
    """Refuse a structure for which SciPy would keep a table of gigabytes: all of it for each position near a corner."""
    for name in structures:
        if arguments[name] is not None and (pixels := np.size(arguments[name])) > MAX_STRUCTURE_PX:
            raise InputError(
                f"{name} has {pixels:,} pixels, and SciPy takes the square of that in memory, so at most "
                f"{MAX_STRUCTURE_PX:,} are allowed; give iterations with a smaller one, or use morphology.dilation"
            )


def check_spline(arguments: Arguments) -> None:
    """Refuse an unsupported `output` or spline order."""
    check_output_dtype(arguments["output"])
    if "axis" not in arguments and arguments["order"] not in (2, 3, 4, 5):
        raise InputError(f"order={arguments['order']} has no spline filter; give an order from 2 to 5")


def no_output(arguments: Arguments) -> None:
    """Refuse any `output`."""
    if arguments["output"] is not None:
        raise InputError("output is not supported here, the result is a new image; leave it out and use .astype")
