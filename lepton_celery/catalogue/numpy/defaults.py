"""What NumPy's reductions have in common: parameters that must keep their defaults, and results known from two pixels."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments
from lepton_celery.catalogue.results import ResultRule, ValueType
from lepton_celery.errors import InputError


def check_defaults(name: str, *allowed: str) -> Callable[[Arguments], None]:
    """A check that refuses all parameters of a NumPy reduction but those allowed: it reduces the whole image."""
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
    """Shape and dtype of what a function of NumPy gives for two pixels of the image's dtype."""

    def result(arguments: Arguments) -> ValueType:
        more = (arguments["q"],) if "q" in arguments else ()
        sample = np.asarray(function(np.zeros(2, arguments["a"].dtype), *more))
        return sample.shape, sample.dtype

    return result
