"""How the catalogue is put together from the modules that declare its entries."""

from __future__ import annotations

from types import ModuleType

import pytest

from lepton_celery.catalogue import by_name, catalogue
from lepton_celery.catalogue.entries import Entry, Local, Refused


def module(name: str, *entries: Entry) -> ModuleType:
    """A module that declares these entries."""
    made = ModuleType(name)
    made.entries = lambda: list(entries)  # type: ignore[attr-defined]
    return made


def test_a_name_that_two_modules_declare_is_an_error() -> None:
    twice = [module(name, Local(name="filters.same", source="numpy.copy")) for name in ("first", "second")]
    with pytest.raises(ValueError, match=r"filters\.same is declared in first and in second; remove one"):
        by_name(twice)


def test_a_figure_of_thresholds_is_refused_with_what_to_use() -> None:
    entry = catalogue()["filters.try_all_threshold"]
    assert isinstance(entry, Refused)
    assert entry.reason == "it draws a figure"
    assert "filters.threshold_otsu" in entry.instead
