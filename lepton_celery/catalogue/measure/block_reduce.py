"""`skimage.measure.block_reduce`."""

from __future__ import annotations

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Lazy
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite
from lepton_celery.catalogue.shared.boxes import boxes
from lepton_celery.errors import InputError

REDUCTIONS = (
    *("mean", "max", "min", "sum", "median", "amax", "amin", "std", "var", "prod", "ptp", "any", "all"),
    *("nanmax", "nanmin", "nanmean", "nansum", "nanmedian", "nanstd", "nanvar", "count_nonzero"),
)
"""The NumPy functions that may reduce a box of pixels."""
_WITH_DTYPE = ("mean", "sum")


@declare(Composite("measure.block_reduce", gives="image"))
def _expand(arguments: Arguments, build: Build) -> Lazy:
    func, options = arguments["func"], dict(arguments["func_kwargs"] or {})
    name = func if isinstance(func, str) else getattr(func, "__name__", None)
    if name not in REDUCTIONS or (callable(func) and func is not getattr(np, name)):
        raise InputError(f"func {func!r}; give one of {', '.join(f'numpy.{known}' for known in REDUCTIONS)}")
    dtype = options.pop("dtype", None)
    if options or (dtype is not None and name not in _WITH_DTYPE):
        raise InputError(
            f"func_kwargs {arguments['func_kwargs']!r} of numpy.{name}; only dtype of mean and sum is supported"
        )
    return boxes(arguments["image"], "block_size", arguments["block_size"], name, arguments["cval"], dtype, build)
