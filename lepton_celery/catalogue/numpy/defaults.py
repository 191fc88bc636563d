"""Checks and result rules that NumPy's reductions share."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments
from lepton_celery.catalogue.results import ResultRule, ValueType
from lepton_celery.errors import InputError


def check_defaults(name: str, *allowed: str) -> Callable[[Arguments], None]:
    """A check that the parameters of a NumPy reduction, except those `allowed`, have their defaults."""
    parameters = inspect.signature(getattr(np, name)).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty and p.name not in ("out", *allowed)}

    def check(arguments: Arguments) -> None:
        for parameter, default in defaults.items():
            given = arguments[parameter]
            if given is not default and not (isinstance(given, str) and given == default):
                usual = f" other than {default!r}" if isinstance(default, str | bool) else ""
                raise InputError(
                    f"numpy.{name} with {parameter}{usual} is not supported here; it is taken over the whole image"
                )

    return check


def result_like(function: Callable[..., Any]) -> ResultRule:
    """The shape and dtype of `function`'s result for two pixels of the image's dtype."""

    def result(arguments: Arguments) -> ValueType:
        more = (arguments["q"],) if "q" in arguments else ()
        sample = np.asarray(function(np.zeros(2, arguments["a"].dtype), *more))
        return sample.shape, sample.dtype

    return result
