"""Steps of entries, each with an optional compiled kernel that gives the same result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lepton_celery.catalogue.arrays import Array
from lepton_celery.kernels import Kernel, load

KERNELS: dict[Callable[..., Array], Kernel] = {}
"""The kernels of functions that entries call on a block, added by the modules of these functions."""


def fastest(function: Callable[..., Array], arguments: dict[str, Any], kernels: bool) -> Array:
    """Call a function of `KERNELS` or, if `kernels` is set and it covers the arguments, its compiled kernel."""
    kernel = KERNELS[function]
    if kernels and kernel.covers(arguments) and (compiled := load(kernel, function)) is not None:
        return compiled(**arguments)
    return function(**arguments)
