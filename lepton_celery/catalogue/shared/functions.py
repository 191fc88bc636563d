"""The user's own functions, which workers import by `package.module:function`; code is never sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import cache
from importlib import import_module
from typing import Any

from lepton_celery.errors import InputError
from lepton_celery.text import quoted

OwnFunction = Callable[..., Any] | str
"""A function, or its path `package.module:function`."""


def path_of(function: OwnFunction) -> OwnFunction:
    """The path by which workers import a function, or the function itself if it has none, as a lambda or local function."""
    if isinstance(function, str):
        load(function)
        return function
    module, name = getattr(function, "__module__", ""), getattr(function, "__qualname__", "")
    path = f"{module}:{name}"
    importable = module not in ("", "__main__", None) and name.isidentifier()
    return path if importable and load(path) is function else function


@cache
def load(path: str) -> Callable[..., Any]:
    """The function at `package.module:function`. The caller has checked that the path may be loaded.

    Raises:
        InputError: there is no such function.
    """
    module, _, name = path.partition(":")
    try:
        function: Callable[..., Any] = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"there is no function {quoted(path)}: {error}; give package.module:function") from error
    if not callable(function):
        raise InputError(f"{quoted(path)} is {type(function).__name__}, not a function")
    return function


def check_allowed(path: str, allowed: Sequence[str]) -> None:
    """Refuse a function whose path matches no pattern of the setting `allowed_functions`."""
    if not any(fnmatchcase(path, pattern) for pattern in allowed):
        listed = ", ".join(allowed) if allowed else "nothing"
        raise InputError(
            f"workers may not call {quoted(path)}: allowed_functions has {listed}; "
            f"add {quoted(path)} to it on the workers and where jobs are submitted"
        )


def callable_of(function: OwnFunction) -> Callable[..., Any]:
    """The function itself, loaded if it is given by its path."""
    return load(function) if isinstance(function, str) else function


def name_of(function: OwnFunction) -> str:
    """The name of a function, for messages."""
    return function if isinstance(function, str) else getattr(function, "__qualname__", repr(function))
