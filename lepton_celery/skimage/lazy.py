"""Makes a module of lazy functions from the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lepton_celery.catalogue import catalogue, nearest, public_names
from lepton_celery.graph.nodes import apply


def lazy_module(module: str) -> tuple[Callable[[str], Callable[..., Any]], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` for a module whose functions are the catalogue's entries under `module`."""

    def find(name: str) -> Callable[..., Any]:
        full = f"{module}.{name}"
        if name.startswith("__") or full not in catalogue():
            raise AttributeError(f"{full} is not in the catalogue{nearest(name)}")
        return lazy(full)

    def names() -> list[str]:
        return [full.rpartition(".")[2] for full in public_names() if full.rpartition(".")[0] == module]

    return find, names


def lazy(full: str) -> Callable[..., Any]:
    """The lazy version of a function, with the signature of its source."""
    entry = catalogue()[full]

    def function(*args: Any, **kwargs: Any) -> Any:
        return apply(full, *args, **kwargs)

    function.__name__ = function.__qualname__ = full.rpartition(".")[2]
    varies = "Whether it is identical to the whole-image result depends on the arguments."
    exactness = varies if callable(entry.promise) else f"Compared with the whole-image result it is {entry.promise}."
    function.__doc__ = f"Lazy `{entry.source}`, with the same parameters. {exactness}"
    function.__signature__ = entry.signature  # type: ignore[attr-defined]
    return function
