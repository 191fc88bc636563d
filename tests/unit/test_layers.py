"""Imports point downward only, never in a circle, and importing does nothing else."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "lepton_celery"

LAYERS = (
    "log_fields",
    "text",
    "errors",
    "limits",
    "signing",
    "priority",
    "tenants",
    "config",
    "json_lines",
    "grid",
    "kernels",
    "catalogue",
    "stores",
    "ledger",
    "doctor",
    "graph",
    "records",
    "planning",
    "execution",
    "tracing",
    "engines",
    "fleet",
    "jobs",
    "views",
    "api",
    "web",
    "skimage",
    "ndimage",
    "local",
    "proving",
    "calibration",
    "flower",
    "cli",
    "contrib",
    "app",
)
"""The folders and files of the package from the bottom up. Each imports only itself and those before it."""

RESERVED = {
    "records": "Tables, text and logs that are split as images are.",
}
"""Planned folders, which need not exist yet."""

PAGES = ("README.md", "docs/design.md")
"""The pages that show the map."""

CELERY_USERS = (
    "engines.celery",
    "fleet",
    "jobs",
    "api",
    "web",
    "local",
    "calibration",
    "flower",
    "contrib",
    "cli",
    "app",
)


@cache
def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:  # the package's own module is lazy; test_public tests it
            found[name] = path
    return found


def typing_only(tree: ast.AST) -> set[ast.AST]:
    """All nodes under `if TYPE_CHECKING`."""
    blocks = [n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test).endswith("TYPE_CHECKING")]
    return {node for block in blocks for statement in block.body for node in ast.walk(statement)}


@cache
def imports(name: str) -> dict[str, bool]:
    """Full names of the modules that a module imports, with whether the import is at its top level."""
    tree = ast.parse(modules()[name].read_text())
    hidden = typing_only(tree)
    inner = {
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    found: dict[str, bool] = {}
    for node in ast.walk(tree):
        if node in hidden:
            continue
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import"
            for alias in node.names:
                inside = f"{node.module}.{alias.name}"
                is_module = inside.removeprefix("lepton_celery.") in modules()
                names.append(inside if is_module else str(node.module))
        for imported in names:
            found[imported] = found.get(imported, False) or node not in inner
    return found


def own_imports(name: str) -> dict[str, bool]:
    found = {
        k.removeprefix("lepton_celery."): top for k, top in imports(name).items() if k.startswith("lepton_celery.")
    }
    assert set(found) <= set(modules()), name
    return found


def layer_of(name: str) -> int:
    return LAYERS.index(name.partition(".")[0])


def test_the_package_has_exactly_the_layers_of_the_tuple() -> None:
    at_the_top = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert at_the_top - {"__init__", "__pycache__"} - set(RESERVED) == set(LAYERS) - set(RESERVED)


def drawn() -> str:
    """The map of the package: its layers from the top down, each with the first sentence of its docstring."""
    lines = ["lepton_celery/"]
    for name in reversed(LAYERS):
        path = ROOT / name / "__init__.py"
        is_folder = path.exists() or name in RESERVED
        path = path if path.exists() else ROOT / f"{name}.py"
        if path.exists():
            docstring = ast.get_docstring(ast.parse(path.read_text()))
            assert docstring, f"{path} has no docstring"
            about = docstring.partition("\n")[0]
        else:
            about = f"[to come] {RESERVED[name]}"
        lines.append(f"  {name + ('/' if is_folder else '.py'):<14}{about}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_show_the_map(page: str) -> None:
    assert f"```text\n{drawn()}```\n" in (ROOT.parent / page).read_text(), f"{page} lacks this map:\n{drawn()}"


def test_imports_point_downward() -> None:
    upward = [
        f"{name} -> {imported}"
        for name in modules()
        for imported in own_imports(name)
        if layer_of(imported) > layer_of(name)
    ]
    assert upward == []


def test_modules_import_each_other_in_no_circle() -> None:
    graph = {name: set(own_imports(name)) for name in modules()}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise AssertionError(f"a circle of imports: {' -> '.join(error.args[1])}") from None


def test_only_what_is_above_the_celery_engine_imports_celery() -> None:
    for name in modules():
        third = {imported.partition(".")[0] for imported in imports(name)}
        assert name.startswith(CELERY_USERS) or not third & {"celery", "kombu", "billiard"}, name


def test_the_catalogue_imports_only_what_is_below_it() -> None:
    for name in modules():
        if name.startswith("catalogue"):
            allowed = ("catalogue", "kernels", "grid", "errors", "limits", "text")
            assert all(imported.startswith(allowed) for imported in own_imports(name)), name


def run(code: str) -> str:
    command = [sys.executable, "-B", "-W", "ignore", "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT.parent).stdout


def test_importing_the_package_imports_no_library() -> None:
    code = "import sys, lepton_celery; print(*sys.modules)"
    loaded = {name.partition(".")[0] for name in run(code).split()}
    assert not loaded & {"celery", "kombu", "skimage", "scipy", "numpy", "zarr", "tifffile", "PIL", "redis", "rich"}


def test_a_graph_is_built_without_celery_and_without_formats() -> None:
    code = """
import sys, numpy as np, lepton_celery as lepton
from lepton_celery.skimage import filters
filters.gaussian(lepton.open(np.ones((9, 9))), sigma=2)
print(*sys.modules)
"""
    loaded = {name.partition(".")[0] for name in run(code).split()}
    assert not loaded & {"celery", "kombu", "zarr", "tifffile", "redis", "rich", "click"}
