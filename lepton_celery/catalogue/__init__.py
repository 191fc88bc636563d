"""The catalogue: every function that can be split, one declarative entry each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from lepton_celery.catalogue.entries import Entry, Local, resolve
from lepton_celery.catalogue.shared import label_kernels as labelparts
from lepton_celery.errors import UnknownOperation
from lepton_celery.kernels import load

FAMILIES = (
    *("source", "shared", "numpy", "ndimage", "filters", "feature", "measure", "morphology", "segmentation"),
    *("transform", "exposure", "color", "metrics", "restoration", "util", "own"),
)
"""The folders and modules that declare entries; a function of scikit-image is in the one that its name begins with."""


@cache
def catalogue() -> dict[str, Entry]:
    """All entries by name."""
    return by_name(declaring_modules())


def declaring_modules() -> Iterator[ModuleType]:
    """The modules of all families, imported."""
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
    declared_in: dict[str, str] = {}
    for module in modules:
        for entry in getattr(module, "entries", tuple)():
            if entry.name in entries:
                raise ValueError(
                    f"{entry.name} is declared in {declared_in[entry.name]} and in {module.__name__}; remove one of them"
                )
            entries[entry.name] = entry
            declared_in[entry.name] = module.__name__
    return entries


def load_kernels() -> None:
    """Load every compiled kernel, where there are any; what is loaded before a fork is there after it."""
    for entry in catalogue().values():
        if isinstance(entry, Local) and entry.kernel is not None:
            load(entry.kernel, resolve(entry.source))
    for function, kernel in labelparts.PARTS.items():
        load(kernel, function)


def public_names() -> list[str]:
    """Names a user may call; those under `lepton.` are parts that the planner uses."""
    return sorted(name for name in catalogue() if not name.startswith("lepton."))


def get_entry(name: str) -> Entry:
    """The entry called `name`: in full (`filters.gaussian`) or, where that names one function, in short (`gaussian`).

    A short name is scikit-image's, where SciPy or NumPy has it too.

    Raises:
        UnknownOperation: there is none; the message names the nearest.
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
        raise UnknownOperation(f"operation {name!r} could be {' or '.join(short)}; give the full name")
    raise UnknownOperation(f"there is no operation {name!r}{nearest(name)}")


def nearest(name: str) -> str:
    """A hint at the operations whose names are near, for an error message."""
    by_short = {full.rpartition(".")[2]: full for full in public_names()}
    close = get_close_matches(name.rpartition(".")[2], by_short, n=3, cutoff=0.5)
    if close:
        return f"; did you mean {', '.join(by_short[c] for c in close)}?"
    return "; `lepton operations` lists those there are"
