"""How a module declares entries: with `declare` on the function that computes the result, or in its tuple `ENTRIES`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import FunctionType, ModuleType
from typing import Any, TypeVar

from lepton_celery.catalogue.arrays import Arguments
from lepton_celery.catalogue.entries import Entry, Local
from lepton_celery.catalogue.geometry import Geometry, Whole, one_block
from lepton_celery.errors import InputError

F = TypeVar("F", bound=Callable[..., Any])

_DECLARED = "__declared_entries__"


def declare(*entries: Entry) -> Callable[[F], F]:
    """Declare entries on the function that computes the result.

    A `Local` calls the function on each block, a `Reduction` or a `Labelling` for the partial of each block, a
    `ValueFunction` with whole-image values, and a `Composite` to expand itself. An internal entry has its signature.

    Example:
        @declare(Local("lepton.filled", images=("image", "mask")))
        def filled(image, mask, value): ...
    """

    def attach(function: F) -> F:
        declared: list[Entry] = vars(function).setdefault(_DECLARED, [])
        declared += [entry.declared_on(function) for entry in entries]
        return function

    return attach


def declared_in(module: ModuleType) -> Iterator[Entry]:
    """The entries that a module declares, on its functions and in `ENTRIES`."""
    for function in vars(module).values():
        if isinstance(function, FunctionType) and function.__module__ == module.__name__:
            yield from vars(function).get(_DECLARED, ())
    declared: Sequence[Entry] = getattr(module, "ENTRIES", ())
    yield from declared


def whole(name: str, geometry: Geometry = Whole(), **options: Any) -> Local:  # noqa: B008
    """The entry of a function that needs the whole image: it runs as one block, in a stage of its own."""
    return Local(name, geometry=geometry, own_stage=one_block, **options)


def leave_out(**advice: str) -> Callable[[Arguments], None]:
    """A check that refuses parameters other than None or False, with advice on what to do instead."""

    def check(arguments: Arguments) -> None:
        for name, instead in advice.items():
            value = arguments[name]
            if value is not None and value is not False:
                raise InputError(f"{name} was given, which is not supported here; {instead}")

    return check
