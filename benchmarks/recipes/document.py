"""Writes docs/recipes.md: each recipe with its picture, its code and its figures."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from benchmarks.document import machine, table
from benchmarks.recipes.sources import FOLDER

PATH = Path(__file__).parents[2] / "docs" / "recipes.md"


class Figures(Protocol):
    """The runs of a recipe on one image."""

    name: str
    shape: tuple[int, ...]
    images: int
    differences: list[str]

    def best(self, system: str) -> float | None: ...


def write(measured: Sequence[Figures]) -> None:
    """Write the page with the figures of this machine."""
    PATH.write_text(page(measured), encoding="utf-8")


def page(measured: Sequence[Figures]) -> str:
    """The page as Markdown."""
    rows = []
    for found in measured:
        ours, whole, dask = (found.best(system) for system in ("lepton", "whole", "dask"))
        ratio = "" if ours is None or whole is None else f"**{ours / whole:.2f}**"
        rows.append(
            [
                f"[{found.name}](#{found.name})",
                (f"{found.images} of " if found.images > 1 else "") + " × ".join(f"{n:,}" for n in found.shape),
                *("" if seconds is None else f"{seconds:.2f} s" for seconds in (whole, ours, dask)),
                ratio,
                "; ".join(found.differences) or "identical",
            ]
        )
    lines = [
        "# Recipes",
        "",
        "Each recipe is a script in [examples/recipes](../examples/recipes), written as in scikit-image's gallery: only the",
        "imports differ. A test runs each and compares its results with those of scikit-image, SciPy and NumPy on the whole",
        "image. `python -m benchmarks.recipes` writes this page.",
        "",
        "The times are the best of some runs, from the file of the image to the files of the results: scikit-image in one",
        "process, and a job on two Celery workers, from `submit` to the result. Dask is measured where it can do a recipe,",
        f"with dask.array and dask-image on two threads. This machine: {machine()}.",
        "",
        *table(["recipe", "image", "scikit-image", "two workers", "Dask", "workers / scikit-image", "results"], rows),
        "",
    ]
    for name in dict.fromkeys(found.name for found in measured):
        source = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
        lines += [
            f"## {name}",
            "",
            (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0],
            "",
            f"![The image and the results of {name}](recipes/{name}.png)",
            "",
            "```python",
            function(source, "recipe"),
            "```",
            "",
        ]
    return "\n".join(lines)


def function(source: str, name: str) -> str:
    """The source of a function of a script, without its docstring."""
    [found] = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == name]
    lines = source.splitlines()
    first = found.body[1] if isinstance(found.body[0], ast.Expr) else found.body[0]
    return "\n".join([*lines[found.lineno - 1 : found.body[0].lineno - 1], *lines[first.lineno - 1 : found.end_lineno]])
