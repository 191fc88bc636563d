"""In the code, a word of the glossary names only values of the types that the glossary lists beside the word."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
ROW = re.compile(r"^\| (?P<word>[a-z ]+) \| (?P<meaning>.+) \| (?P<types>.*?) ?\|$")


def rows() -> dict[str, frozenset[str]]:
    """Each word of the glossary with the types that may carry it; no types if any type may."""
    matches = [ROW.match(line) for line in (TOP / "docs/glossary.md").read_text().splitlines()]
    return {
        match["word"]: frozenset(re.findall(r"`([^`]+)`", match["types"]))
        for match in matches
        if match is not None and match["word"] != "word"
    }


@cache
def all_definitions() -> list[tuple[Path, int, str, str]]:
    """Path, line, name and annotation of all definitions of the package."""
    paths = sorted((TOP / "lepton_celery").rglob("*.py"))
    return [(path, *found) for path in paths for found in definitions(ast.parse(path.read_text()))]


def definitions(tree: ast.Module) -> Iterator[tuple[int, str, str]]:
    """Line, name and annotation of each parameter, field, property and public function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.lineno, node.target.id, ast.unparse(node.annotation)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            if node.returns is not None:
                yield node.lineno, node.name, ast.unparse(node.returns)
            for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]:
                if argument.annotation is not None:
                    yield argument.lineno, argument.arg, ast.unparse(argument.annotation)


def test_the_glossary_is_read() -> None:
    assert len(rows()) > 25 and sum(map(bool, rows().values())) > 12
    written = re.findall(r"^\| (?!word)", (TOP / "docs/glossary.md").read_text(), re.M)
    assert len(written) == len(rows())  # one row for each word


@pytest.mark.parametrize("word", [word for word, types in rows().items() if types])
def test_a_word_means_one_thing(word: str) -> None:
    allowed = rows()[word]
    other = [
        f"{path.relative_to(TOP)}:{line} {name}: {annotation}"
        for path, line, name, annotation in all_definitions()
        if name == word.replace(" ", "_") and not {annotation, *annotation.split(" | ")} & allowed
    ]
    assert other == []
