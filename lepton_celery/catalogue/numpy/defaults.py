"""The parameters of NumPy's functions that are given, and checks of those that are not supported."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments
from lepton_celery.errors import InputError


@cache
def _defaults(name: str) -> Mapping[str, Any]:
    """The defaults of a NumPy function's parameters."""
    parameters = inspect.signature(getattr(np, name)).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty and p.name != "out"}


def _is_default(given: Any, default: Any) -> bool:
    return given is default or (isinstance(given, str) and given == default)


def is_given(name: str, parameter: str, arguments: Arguments) -> bool:
    """Whether a parameter of a NumPy function is given, and is not its default."""
    return parameter in arguments and not _is_default(arguments[parameter], _defaults(name).get(parameter))


def check_defaults(name: str, *allowed: str) -> Callable[[Arguments], None]:
    """A check that the parameters of a NumPy function, except those `allowed`, have their defaults."""

    def check(arguments: Arguments) -> None:
        for parameter, default in _defaults(name).items():
            if parameter not in allowed and not _is_default(arguments[parameter], default):
                usual = f" other than {default!r}" if isinstance(default, str | bool) else ""
                raise InputError(f"numpy.{name} with {parameter}{usual} is not supported here; leave it out")

    return check


def given_options(name: str, arguments: Arguments) -> tuple[tuple[str, Any], ...]:
    """The parameters of a NumPy reduction, other than the image, `axis` and `keepdims`, that are given."""
    defaults = _defaults(name)
    given = {
        parameter: np.dtype(value).name if parameter == "dtype" else value
        for parameter, value in arguments.items()
        if parameter not in ("a", "axis", "keepdims", "where")
        and (parameter not in defaults or not _is_default(value, defaults[parameter]))
    }
    return tuple(given.items())
