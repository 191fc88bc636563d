"""The public names of the package."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import lepton_celery
from lepton_celery import errors

SOURCE = Path(lepton_celery.__file__)


@pytest.mark.parametrize("name", lepton_celery.__all__)
def test_every_public_name_is_defined_in_a_module(name: str) -> None:
    home = SOURCE.parent.joinpath(*lepton_celery._HOMES[name].split("."))
    assert home.with_suffix(".py").exists() or (home / "__init__.py").exists()


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(SOURCE.read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    shown = {
        alias.asname or alias.name: str(node.module).removeprefix("lepton_celery.")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert shown == lepton_celery._HOMES


def test_public_names_stand_under_their_headings() -> None:
    text = SOURCE.read_text()
    listed = text[text.index("_HOMES = {") : text.index("}", text.index("_HOMES = {"))]
    headings = [line.strip()[2:] for line in listed.splitlines() if line.strip().startswith("#")]
    assert headings == ["Images", "Jobs", "Graphs as JSON", "Applications", "Errors"]


def test_other_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = lepton_celery.nothing


def test_the_root_of_the_errors_is_public_and_the_others_have_a_module() -> None:
    assert lepton_celery.LeptonError is errors.LeptonError


def test_the_package_has_a_version_and_a_docstring_with_an_example() -> None:
    assert lepton_celery.__version__.count(".") == 2
    assert "lepton.compute(" in (lepton_celery.__doc__ or "")
    assert (SOURCE.parent / "py.typed").exists()
