"""Cases by family: each module has a list `CASES`."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from tests.exactness.cases.case import Case


def every_case() -> list[Case]:
    """The cases of all families."""
    names = sorted(module.name for module in iter_modules(__path__) if module.name != "case")
    return [case for name in names for case in import_module(f"{__name__}.{name}").CASES]
