"""Unit tests import neither Celery nor a package that starts servers, directly or through other modules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.unit.conftest import SERVICES
from tests.unit.test_layers import typing_only

TOP = Path(__file__).parents[2]


@cache
def file_of(module: str) -> Path | None:
    """The file of a module of this project; None for other modules."""
    path = TOP.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()), None)


def names(node: ast.AST) -> list[str]:
    """The full names of the modules that an import statement may import."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


@cache
def imported(file: Path) -> frozenset[str]:
    """All modules that a file imports when it is imported, including the packages that contain it."""
    tree = ast.parse(file.read_text())
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    later = typing_only(tree) | {inner for function in functions for inner in ast.walk(function)}
    modules = {name for node in ast.walk(tree) if node not in later for name in names(node)}
    return frozenset(".".join(name.split(".")[: i + 1]) for name in modules for i in range(name.count(".") + 1))


def ways(file: Path, seen: set[Path]) -> Iterator[str]:
    """The chains of files through which a file imports a service."""
    seen.add(file)
    for name in sorted(imported(file)):
        inner = file_of(name)
        if name.partition(".")[0] in SERVICES:
            yield f"{file.relative_to(TOP)} -> {name}"
        elif inner is not None and inner not in seen:
            yield from (f"{file.relative_to(TOP)} -> {way}" for way in ways(inner, seen))


def test_no_unit_test_imports_a_service() -> None:
    found = [way for file in sorted((TOP / "tests/unit").glob("*.py")) for way in ways(file, set())]
    assert found == []


def test_no_unit_test_imports_a_service_while_it_runs() -> None:
    found = [
        f"{file.name}:{node.lineno} {name}"
        for file in sorted((TOP / "tests/unit").glob("*.py"))
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in names(node)
        if name.partition(".")[0] in SERVICES
    ]
    assert found == []
