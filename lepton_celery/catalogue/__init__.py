"""The functions that can be split, one declarative entry each.

The entry of `morphology.label` is in the folder `morphology/`, that of `util.crop` in the module `util.py`, and so on.
`shared/` has code that several families use; `refused.py` lists the functions that cannot be split.

May import: kernels, grid, errors, text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from lepton_celery.catalogue.declare import declared_in
from lepton_celery.catalogue.entries import Entry, Local, resolve
from lepton_celery.catalogue.shared.fastest import KERNELS
from lepton_celery.errors import UnknownOperation
from lepton_celery.kernels import load
from lepton_celery.text import quoted

FAMILIES = (
    *("source", "shared", "numpy", "ndimage", "filters", "feature", "measure", "morphology", "segmentation"),
    *(
        "transform",
        "exposure",
        "color",
        "metrics",
        "registration",
        "restoration",
        "util",
        "own",
        "stitching",
        "refused",
    ),
)
"""The folders and modules that declare entries."""


@cache
def catalogue() -> dict[str, Entry]:
    """All entries by name."""
    return by_name(declaring_modules())


def declaring_modules() -> Iterator[ModuleType]:
    """Import and yield the modules of all families."""
    for family in FAMILIES:
        module = import_module(f"{__name__}.{family}")
        yield module
        for inside in iter_modules(getattr(module, "__path__", ())):
            yield import_module(f"{module.__name__}.{inside.name}")


def by_name(modules: Iterable[ModuleType]) -> dict[str, Entry]:
    """The entries that these modules declare, by name.

    Raises:
        ValueError: two entries have the same name.
    """
    entries: dict[str, Entry] = {}
    declared_by: dict[str, str] = {}
    for module in modules:
        for entry in declared_in(module):
            if entry.name in entries:
                raise ValueError(
                    f"{entry.name} is declared in {declared_by[entry.name]} and in {module.__name__}; remove one of them"
                )
            entries[entry.name] = entry
            declared_by[entry.name] = module.__name__
    return entries


def load_kernels() -> None:
    """Load every compiled kernel, if Numba is installed. A process that forks later shares them with its children."""
    for entry in catalogue().values():
        if isinstance(entry, Local) and entry.kernel is not None:
            load(entry.kernel, resolve(entry.source))
    for function, kernel in KERNELS.items():
        load(kernel, function)


def public_names() -> list[str]:
    """The names that a user may call. Names that begin with `lepton.` are internal, for composites and the planner."""
    return sorted(name for name, entry in catalogue().items() if not entry.is_internal)


def get_entry(name: str) -> Entry:
    """The entry of a full name (`filters.gaussian`) or of an unambiguous short name (`gaussian`).

    A short name means a function of NumPy, SciPy or `filters.rank` only if no other function has it.

    Raises:
        UnknownOperation: no entry has the name, or a short name has several.
    """
    entries = catalogue()
    if name in entries:
        return entries[name]
    short = [full for full in public_names() if full.rpartition(".")[2] == name]
    for last in ("filters.rank.", "ndimage.", "numpy."):
        short = [full for full in short if not full.startswith(last)] or short
    if short and len({resolve(entries[full].source) for full in short}) == 1:
        return entries[short[0]]
    if short:
        raise UnknownOperation(f"operation {quoted(name)} could be {' or '.join(short)}; give the full name")
    raise UnknownOperation(f"there is no operation {quoted(name)}{nearest(name)}")


_NAME_CHARS = 100
"""Longest name for which similar ones are searched, since that takes its length squared."""


def nearest(name: str) -> str:
    """A hint at the operations with similar names, for an error message."""
    by_short = {full.rpartition(".")[2]: full for full in public_names()}
    close = get_close_matches(name[-_NAME_CHARS:].rpartition(".")[2], by_short, n=3, cutoff=0.5)
    if close:
        return f"; did you mean {', '.join(by_short[c] for c in close)}?"
    return "; `lepton operations` lists all of them"
