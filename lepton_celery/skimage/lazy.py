"""Makes a module of lazy functions from the catalogue, with all other public names of the module that it mirrors.

The catalogue lists every function that takes pixels, also those that are refused. Everything else needs no pixels and is
passed through as it is: footprints, transforms, models, test images. So swapping the import is enough.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

from lepton_celery.catalogue import catalogue, nearest
from lepton_celery.catalogue.signatures import library_path, resolve
from lepton_celery.graph.nodes import apply


def lazy_module(module: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` for a module that mirrors `skimage.MODULE`, or `scipy.ndimage`."""

    def find(name: str) -> Any:
        full = f"{module}.{name}"
        if full in catalogue():
            return lazy(full)
        if name not in public_names(module):
            raise AttributeError(f"{library_path(module)} has no {name}{nearest(name)}")
        return getattr(import_module(library_path(module)), name)

    return find, lambda: public_names(module)


def public_names(module: str) -> list[str]:
    """The public names of a mirrored module that are no modules."""
    source = import_module(library_path(module))
    listed = getattr(source, "__all__", None) or dir(source)
    return [
        name for name in listed if not name.startswith("_") and not isinstance(getattr(source, name, None), ModuleType)
    ]


def lazy(full: str) -> Callable[..., Any]:
    """The lazy version of a function, with the signature of its source."""
    entry = catalogue()[full]

    def function(*args: Any, **kwargs: Any) -> Any:
        return apply(full, *args, **kwargs)

    function.__name__ = function.__qualname__ = full.rpartition(".")[2]
    varies = "Whether it is identical to the whole-image result depends on the arguments."
    exactness = varies if callable(entry.promise) else f"Compared with the whole-image result it is {entry.promise}."
    described = "" if entry.is_refused else inspect.getdoc(resolve(entry.source)) or ""
    function.__doc__ = f"Lazy `{entry.source}`, with the same parameters. {exactness}\n\n{described}".rstrip()
    function.__module__ = f"lepton_celery.{library_path(full.rpartition('.')[0]).removeprefix('scipy.')}"
    function.__signature__ = entry.signature  # type: ignore[attr-defined]
    return function
