"""How the catalogue collects its entries from the modules that declare them."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from lepton_celery import catalogue as package
from lepton_celery.catalogue import FAMILIES, by_name, catalogue, declaring_modules
from lepton_celery.catalogue.declare import declare, declared_in
from lepton_celery.catalogue.entries import Composite, Entry, Local, Reduction, Refused, resolve

DECLARED_IN = {entry.name: module for module in declaring_modules() for entry in declared_in(module)}


def module(name: str, *entries: Entry) -> ModuleType:
    """A new module that declares these entries."""
    made = ModuleType(name)
    made.ENTRIES = entries  # type: ignore[attr-defined]
    return made


def test_a_name_that_two_modules_declare_is_an_error() -> None:
    twice = [module(name, Local(name="filters.same", source="numpy.copy")) for name in ("first", "second")]
    with pytest.raises(ValueError, match=r"filters\.same is declared in first and in second; remove one"):
        by_name(twice)


def test_try_all_threshold_is_refused_with_an_alternative() -> None:
    entry = catalogue()["filters.try_all_threshold"]
    assert isinstance(entry, Refused)
    assert entry.reason == "it draws a figure"
    assert "filters.threshold_otsu" in entry.instead


def test_a_function_is_declared_in_the_module_that_its_name_says() -> None:
    misplaced = []
    for name, entry in catalogue().items():
        module = DECLARED_IN[name].__name__.removeprefix(f"{package.__name__}.")
        family = "filters.rank" if name.startswith("filters.rank.") else name.partition(".")[0]
        wanted = "refused" if isinstance(entry, Refused) else family
        if not entry.is_internal and not f"{module}.".startswith(f"{wanted}."):
            misplaced.append(f"{name} is in {module}")
    assert misplaced == []


def test_every_module_of_the_catalogue_that_declares_entries_is_in_a_family() -> None:
    root = Path(str(package.__file__)).parent
    declaring = {path.relative_to(root).parts[0].removesuffix(".py") for path in root.rglob("*.py") if _declares(path)}
    assert declaring <= set(FAMILIES)


def _declares(path: Path) -> bool:
    text = path.read_text(encoding="utf-8")
    return "\n@declare(" in text or "\nENTRIES" in text


def test_every_entry_names_an_existing_function() -> None:
    for name, entry in catalogue().items():
        assert callable(resolve(entry.source)), name
        assert entry.signature is not None


def test_an_entry_is_declared_on_the_function_that_does_its_work() -> None:
    @declare(Local("lepton.twice"), Reduction("lepton.sum_of_twice"))
    def twice(image: object, factor: int = 2) -> object:
        return image

    local, reduction = declared_in(module_of(twice))
    assert isinstance(local, Local)
    assert isinstance(reduction, Reduction)
    assert [local.function, reduction.partial] == [twice, twice]
    assert local.source.endswith(".twice")


def test_a_public_name_gives_the_library_function_and_a_refused_entry_takes_no_declaration() -> None:
    assert Local("filters.gaussian").source == "skimage.filters.gaussian"
    assert Local("ndimage.gaussian_filter").source == "scipy.ndimage.gaussian_filter"
    assert Composite("numpy.mean").source == "numpy.mean"
    with pytest.raises(TypeError, match=r"filters\.wiener is a Refused and has no function"):
        declare(Refused("filters.wiener"))(test_a_name_that_two_modules_declare_is_an_error)


def module_of(function: object) -> ModuleType:
    """A new module with this function."""
    made = ModuleType(str(getattr(function, "__module__", "")))
    made.function = function  # type: ignore[attr-defined]
    return made
