"""Functions of the user's own: named by `package.module:function`, never sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import cache
from importlib import import_module
from typing import Any

from lepton_celery.errors import InputError

OwnFunction = Callable[..., Any] | str
"""A function, or the path by which workers find it."""


def path_of(function: OwnFunction) -> OwnFunction:
    """`package.module:function`, by which workers find a function. A lambda or local function has none and stays itself."""
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
        InputError: there is none.
    """
    module, _, name = path.partition(":")
    try:
        function: Callable[..., Any] = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"there is no function {path!r}: {error}; give package.module:function") from error
    if not callable(function):
        raise InputError(f"{path!r} is {type(function).__name__}, not a function")
    return function


def check_allowed(path: str, allowed: Sequence[str]) -> None:
    """Refuse a function that no pattern of the allow-list names.

    Raises:
        InputError: it is not allowed.
    """
    if not any(fnmatchcase(path, pattern) for pattern in allowed):
        listed = ", ".join(allowed) if allowed else "nothing"
        raise InputError(
            f"workers may not call {path!r}: allowed_functions has {listed}; "
            f"add {path!r} to it on the workers and where jobs are submitted"
        )


def callable_of(function: OwnFunction) -> Callable[..., Any]:
    """The function itself, loaded if it is given by its path."""
    return load(function) if isinstance(function, str) else function


def name_of(function: OwnFunction) -> str:
    """The name of a function, for messages."""
    return function if isinstance(function, str) else getattr(function, "__qualname__", repr(function))
