"""The source functions of entries, by import path, and their signatures."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np


def library_path(name: str) -> str:
    """The import path of the library function with this public name: `skimage.filters.gaussian` for `filters.gaussian`."""
    family = name.partition(".")[0]
    return name if family == "numpy" else f"scipy.{name}" if family == "ndimage" else f"skimage.{name}"


def resolve(path: str) -> Callable[..., Any]:
    """The function at an import path of the catalogue; never call it with a path from a user."""
    module, _, name = path.rpartition(".")
    function: Callable[..., Any] = getattr(import_module(module), name)
    return function


@cache
def signature_of(path: str) -> inspect.Signature:
    """The signature of the function at an import path, without `out`, because a lazy result has no array to write to."""
    function = resolve(path)
    either = inspect.Parameter.POSITIONAL_OR_KEYWORD
    if isinstance(function, np.ufunc):  # ufuncs have no signature
        names = [f"x{i + 1}" for i in range(function.nin)] if function.nin > 1 else ["x"]
        return inspect.Signature([inspect.Parameter(name, either) for name in names])
    signature = inspect.signature(function)
    # graphs store all arguments by name
    parameters = [
        parameter.replace(kind=either) if parameter.kind is inspect.Parameter.POSITIONAL_ONLY else parameter
        for parameter in signature.parameters.values()
        if parameter.name != "out"
    ]
    return signature.replace(parameters=parameters)
