"""Rules for the code: short functions, typed numbers, and no checks of an entry's class outside the catalogue."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "lepton_celery"

MAX_FUNCTION_LINES = 60
MAX_ARGUMENTS = 8
MAX_FILE_LINES = 500

NUMBERS = {
    "block": "BlockIndex",
    "place": "Place",
    "stage": "StageIndex",
    "stage_index": "StageIndex",
    "number": "StageNumber",
}
"""Names of numbers of blocks and stages, with the type that each must have."""

TYPED = ("ledger", "stores/journal.py", "errors.py", "engines", "execution", "planning", "jobs")
"""The folders and files in which these names must have their types."""

KINDS = frozenset(
    {
        "Local",
        "Drawn",
        "Reduction",
        "ValueFunction",
        "Labelling",
        "Iterated",
        "Composite",
        "Refused",
        "Source",
        "Mergeable",
    }
)


@cache
def trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text()) for path in sorted(ROOT.rglob("*.py"))}


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.arg]:
    arguments = function.args
    rest = [argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *rest]
    return [argument for argument in named if argument.arg not in ("self", "cls")]


def test_functions_are_short() -> None:
    def lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
        assert function.end_lineno is not None
        return function.end_lineno - function.lineno + 1

    assert [f"{name}: {lines(node)}" for name, node in functions() if lines(node) > MAX_FUNCTION_LINES] == []


def test_functions_take_few_arguments() -> None:
    counts = {name: len(parameters(node)) for name, node in functions()}
    assert {name: count for name, count in counts.items() if count > MAX_ARGUMENTS} == {}


def test_files_are_short() -> None:
    project = ROOT.parent
    folders = [ROOT, *(project / name for name in ("benchmarks", "examples", "settings", "tests", "workers"))]
    files = [path for folder in folders for path in folder.rglob("*.py")]
    counts = {str(path.relative_to(project)): len(path.read_text().splitlines()) for path in files}
    assert {name: count for name, count in counts.items() if count > MAX_FILE_LINES} == {}


def annotated(tree: ast.Module) -> Iterator[tuple[int, str, str]]:
    """Line, name and annotation of each parameter and each field."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for argument in parameters(node):
                if argument.annotation is not None:
                    yield argument.lineno, argument.arg, ast.unparse(argument.annotation)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.lineno, node.target.id, ast.unparse(node.annotation)


def test_numbers_of_blocks_and_stages_have_types() -> None:
    bare = [
        f"{path.relative_to(ROOT)}:{line} {name}: {annotation}, not {NUMBERS[name]}"
        for path, tree in trees().items()
        if str(path.relative_to(ROOT)).startswith(TYPED)
        for line, name, annotation in annotated(tree)
        if name in NUMBERS and annotation in ("int", "int | None")
    ]
    assert bare == []


@pytest.mark.parametrize("folder", [path.name for path in sorted(ROOT.iterdir()) if path.name != "catalogue"])
def test_only_the_catalogue_checks_the_class_of_an_entry(folder: str) -> None:
    asked = [
        f"{path.relative_to(ROOT)}:{node.lineno} {ast.unparse(node)}"
        for path, tree in trees().items()
        if path.relative_to(ROOT).parts[0] == folder
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "isinstance"
        and {name.id for name in ast.walk(node.args[1]) if isinstance(name, ast.Name)} & KINDS
    ]
    assert asked == []
